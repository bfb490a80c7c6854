"""Turns between clients of one model, told apart by their addresses or by their keys, and what the reply says of the line.

    test_fairness.py OLL SHARED
"""

import contextlib
import http.client
import json
import os
import sys
import tempfile
import threading
import time

from served import Checks, Server, skip

HOG, OTHER = "127.0.0.2", "127.0.0.3"
N_HOG = 16
# Two that have been let in, two turns of the other client, and one that ends at the same time.
MOST = 5
TOKENS = 2500  # the window moves on meanwhile


class Client(threading.Thread):
    """One request from an address; when it was answered, and the place in the line that the reply told."""

    def __init__(self, server, address, body, headers=None):
        super().__init__()
        self.server, self.address, self.body, self.headers = server, address, body, headers or {}
        self.status = self.position = self.since = self.at = None

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=120, source_address=(self.address, 0))
        with contextlib.closing(connection):
            self.since = time.monotonic()
            connection.request("POST", "/api/generate", json.dumps(self.body), self.headers)
            reply = connection.getresponse()
            self.status = reply.status
            self.position = int(reply.headers.get("X-Queue-Position", 0))
            reply.read()
            self.at = time.monotonic()


def body(**more):
    return {"model": "m", "prompt": "a b c", "raw": True, "stream": False,
            "options": {"num_predict": TOKENS, "num_ctx": 256, "temperature": 0}, **more}


def run(server, clients):
    """Starts them in their order, each when the one before it has surely come in."""
    for client in clients:
        client.start()
        time.sleep(0.004)
    for client in clients:
        client.join()
    return sorted(clients, key=lambda c: c.at)


def n_before(client, others):
    """How many of the others were answered while this one waited."""
    return sum(client.since < c.at < client.at for c in others)


def check_turns(checks, server):
    hogs = [Client(server, HOG, body()) for _ in range(N_HOG)]
    other = Client(server, OTHER, body())
    order = run(server, hogs[:N_HOG - 1] + [other] + hogs[N_HOG - 1:])
    checks.equal({c.status for c in order}, {200}, "all are answered")
    n_waited = sum(c.position > 0 for c in hogs)
    checks.true(n_waited > N_HOG // 2, f"most of the many wait, and are told so ({n_waited})")
    checks.true(n_before(other, hogs) <= MOST, f"one request waits for {n_before(other, hogs)} of another client's")
    checks.true(max(c.position for c in hogs) > other.position, "its place in the line is nearer")


def check_priority(checks, server):
    usual = [Client(server, HOG, body()) for _ in range(N_HOG)]
    urgent = Client(server, HOG, body(priority=5))
    run(server, usual + [urgent])
    checks.true(n_before(urgent, usual) <= MOST, f"one of higher priority waits for {n_before(urgent, usual)}")
    status, reply = server.post("/api/generate", body(priority="high"))
    checks.equal((status, "priority" in reply["error"]), (400, True), "a priority that is no number")


def check_keys(checks, oll, folder, model):
    """Two keys from one address are two clients."""
    keys = ["one-key-of-the-test", "two-key-of-the-test"]
    path = os.path.join(folder, "keys")
    with open(path, "w", encoding="ascii") as f:
        f.write("\n".join(keys) + "\n")
    with Server(oll, os.path.join(folder, "models"), "--model", f"m={model}", OLL_API_KEYS_FILE=path) as server:
        headers = [{"Authorization": "Bearer " + key} for key in keys]
        load = Client(server, HOG, body(), headers[0])
        run(server, [load])
        hogs = [Client(server, HOG, body(), headers[0]) for _ in range(N_HOG)]
        other = Client(server, HOG, body(), headers[1])
        run(server, hogs + [other])
        checks.true(n_before(other, hogs) <= MOST, f"keys are clients: one waits for {n_before(other, hogs)} of the other")


def check_full(checks, oll, folder, model):
    with Server(oll, os.path.join(folder, "models"), "--model", f"m={model}", OLLAMA_MAX_QUEUE="2") as server:
        server.post("/api/generate", {"model": "m", "options": {"num_ctx": 256}})
        order = run(server, [Client(server, HOG, body()) for _ in range(N_HOG)])
        checks.true({c.status for c in order} <= {200, 503} and any(c.status == 503 for c in order),
                    "who finds no room to wait is told so")
        checks.equal(server.post("/api/generate", body())[0], 200, "the line is open again")


def main():
    oll, shared = sys.argv[1:3]
    model = os.path.join(shared, "data", "golden", "llama-yarn.gguf")
    if not os.path.exists(model):
        skip("../shared is absent")
    checks = Checks()
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "models"))
        with Server(oll, os.path.join(folder, "models"), "--model", f"m={model}") as server:
            server.post("/api/generate", {"model": "m", "options": {"num_ctx": 256}})
            check_turns(checks, server)
            check_priority(checks, server)
        check_keys(checks, oll, folder, model)
        check_full(checks, oll, folder, model)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
