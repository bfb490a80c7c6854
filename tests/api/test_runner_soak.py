"""Many clients, few models, and a hand that kills: every request ends in an answer or in a stated error.

    test_runner_soak.py OLL SHARED

24 clients ask for 18 s (OLL_SOAK_SECONDS for another time): short and long replies, readers that are slow or go
away, prompts that are too large, models that push each other out, embeddings, tokens. Meanwhile runners are killed,
stopped for a moment, stopped for longer than the time-out, and left without memory. At the end descriptors, memory and
processes must be what they were. 150 s and more are done with the usual time-out of 30 s: stops of 5 and 40 s.
"""

import collections
import contextlib
import http.client
import json
import os
import random
import resource
import signal
import socket
import sys
import tempfile
import threading
import time

from runner_tools import children, open_files, runners, send, status_value, stop_and_go, wait_for
from served import Checks, Server, skip

CLIENTS = 24
SECONDS = float(os.environ.get("OLL_SOAK_SECONDS", "18"))
SILENCE_S, SHORT_STOP_S, LONG_STOP_S = (30, 5, 40) if SECONDS >= 150 else (3, 0.5, 4)
SLOWEST_S = 60 if SECONDS < 150 else 240  # of one request: several loads, a stop, a queue
STARVED_BYTES = 4 << 20  # of a runner that gets no more memory: less than it has
GENERATORS = ("llama.gguf", "qwen3.gguf", "gemma3.gguf", "gpt-oss.gguf")
EMBEDDER = "bert.gguf"
STATED = {400, 404, 499, 500, 503, 504}
GROWTH_MIB = 48  # of the server: what allocators keep


class Wrong(Exception):
    """A reply that is neither an answer nor a stated error."""


class Client:
    """One of many; its choices follow from its seed."""

    def __init__(self, server, models, seed, until, counts):
        self.server, self.models, self.until, self.counts = server, models, until, counts
        self.random = random.Random(seed)
        self.wrong = []
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        actions = (self.generate, self.generate, self.chat, self.stream, self.leave, self.read_slowly,
                   self.too_large, self.embed, self.tokens, self.forget)
        while time.monotonic() < self.until:
            action = self.random.choice(actions)
            begin = time.monotonic()
            try:
                action()
            except (Wrong, OSError, http.client.HTTPException, ValueError) as e:
                self.wrong.append(f"{action.__name__}: {type(e).__name__} {e}")
            took = time.monotonic() - begin
            if took > SLOWEST_S:
                self.wrong.append(f"{action.__name__} took {took:.0f} s")
            self.counts[action.__name__] += 1

    def model(self):
        return self.random.choice(self.models)

    def options(self, most=200):
        return {"num_predict": self.random.randint(1, most), "seed": self.random.randint(0, 99)}

    def check(self, status, reply, good):
        """An answer has what it must have; anything else is an error with a text."""
        if status == 200 and isinstance(reply, dict) and good(reply):
            self.counts["answered"] += 1
        elif isinstance(reply, dict) and isinstance(reply.get("error"), str) and reply["error"] and \
                (status in STATED or status == 200):
            self.counts[f"stated {status}"] += 1
        else:
            raise Wrong(f"{status} {str(reply)[:300]}")

    def post(self, path, body, good):
        status, reply = self.server.post(path, body)
        self.check(status, reply, good)

    def generate(self):
        self.post("/api/generate", {"model": self.model(), "prompt": "Once upon", "raw": True, "stream": False,
                                    "options": self.options()}, lambda r: r["done"])

    def chat(self):
        body = {"model": self.model(), "messages": [{"role": "user", "content": "Hello"}], "stream": False,
                "options": self.options()}
        if self.random.random() < 0.3:
            body["format"] = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
        self.post("/api/chat", body, lambda r: r["done"])

    def open_stream(self, most):
        body = {"model": self.model(), "prompt": "a " * self.random.randint(1, 100), "raw": True,
                "logprobs": True, "top_logprobs": 5, "options": self.options(most)}
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=SLOWEST_S)
        connection.connect()
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.request("POST", "/api/generate", json.dumps(body))
        return connection, connection.getresponse()

    def read_stream(self, most, pause):
        connection, reply = self.open_stream(most)
        with contextlib.closing(connection):
            last = b""
            for line in reply:
                last = line if line.strip() else last
                if pause and self.random.random() < 0.02:
                    time.sleep(pause)
            self.check(reply.status, json.loads(last), lambda r: r.get("done"))

    def stream(self):
        self.read_stream(300, 0)

    def read_slowly(self):
        self.read_stream(600, 0.1)

    def leave(self):
        connection, reply = self.open_stream(2000)
        with contextlib.closing(connection):
            for _ in range(self.random.randint(0, 5)):
                reply.readline()
        self.counts["left"] += 1

    def too_large(self):
        self.post("/api/generate", {"model": self.model(), "prompt": "word " * 20000, "raw": True, "stream": False,
                                    "truncate": False, "options": self.options()}, lambda r: r["done"])

    def embed(self):
        self.post("/api/embed", {"model": "embedder", "input": ["one", "two three"] * self.random.randint(1, 8)},
                  lambda r: len(r["embeddings"]) > 1)

    def tokens(self):
        self.post("/api/tokenize", {"model": self.model(), "text": "some text " * 50}, lambda r: r["tokens"])

    def forget(self):
        self.post("/api/generate", {"model": self.model(), "keep_alive": 0, "stream": False}, lambda r: r["done"])


def starve(pid):
    with contextlib.suppress(OSError):
        resource.prlimit(pid, resource.RLIMIT_DATA, (STARVED_BYTES, STARVED_BYTES))


def torment(server, until, counts):
    """Kills and stops runners, at random times."""
    r = random.Random(7)
    while time.monotonic() < until:
        time.sleep(r.uniform(0.2, 1.5))
        found = runners(server.process.pid)
        if not found:
            continue
        pid, how = r.choice(found), r.random()
        if how < 0.35:
            send(pid, signal.SIGKILL)
            counts["killed"] += 1
        elif how < 0.6:
            send(pid, signal.SIGSEGV)
            counts["faulted"] += 1
        elif how < 0.7:
            starve(pid)
            counts["left without memory"] += 1
        elif how < 0.9:
            stop_and_go(pid, SHORT_STOP_S)
            counts["stopped a while"] += 1
        else:
            # The others are tormented meanwhile.
            threading.Thread(target=stop_and_go, args=(pid, LONG_STOP_S)).start()
            counts["stopped too long"] += 1


def forget_all(server, models):
    for model in [*models, "embedder"]:
        server.post("/api/generate", {"model": model, "keep_alive": 0, "stream": False})
    return wait_for(lambda: not children(server.process.pid), 2 * SILENCE_S + 10)


def soak(checks, server, models, seconds):
    counts = collections.Counter()
    until = time.monotonic() + seconds
    clients = [Client(server, models, seed, until, counts) for seed in range(CLIENTS)]
    torment(server, until, counts)
    for client in clients:
        client.thread.join(SLOWEST_S * 2)
        checks.true(not client.thread.is_alive(), "a client's last request ends")
    wrong = [w for client in clients for w in client.wrong]
    for line in wrong[:20]:
        print(line)
    checks.equal(len(wrong), 0, "requests without an answer or a stated error")
    print(", ".join(f"{name}: {n}" for name, n in sorted(counts.items())))
    checks.true(counts["answered"] > CLIENTS, "most of it works")


def main():
    oll, shared = sys.argv[1:3]
    golden = os.path.join(shared, "data", "golden")
    names = [n for n in GENERATORS if os.path.exists(os.path.join(golden, n))]
    if not names or not os.path.exists(os.path.join(golden, EMBEDDER)):
        skip(f"{golden} has no models")
    checks = Checks()
    with tempfile.TemporaryDirectory() as root:
        folder = os.path.join(root, "models")
        os.mkdir(folder)
        offers = [f"{n[:-5]}={os.path.join(golden, n)}" for n in names] + [f"embedder={golden}/{EMBEDDER}"]
        arguments = [a for offer in offers for a in ("--model", offer)]
        models = [n[:-5] for n in names]
        with Server(oll, folder, *arguments, OLL_RUNNER_TIMEOUT=f"{SILENCE_S}s", OLLAMA_MAX_LOADED_MODELS="2",
                    OLLAMA_NUM_PARALLEL="4") as server:
            server.may_crash = True
            pid = server.process.pid
            soak(checks, server, models, min(10.0, SECONDS))  # until the allocator has what it needs
            checks.true(forget_all(server, models), "all runners end")
            time.sleep(11)  # idle threads and connections go
            files, memory = len(open_files(pid)), status_value(pid, "VmRSS")
            soak(checks, server, models, SECONDS)
            checks.true(forget_all(server, models), "all runners end, none is a zombie")
            checks.true(wait_for(lambda: len(open_files(pid)) <= files, 15),
                        f"descriptors: {files} before, {len(open_files(pid))} after: {open_files(pid)}")
            grown = (status_value(pid, "VmRSS") - memory) >> 10
            print(f"resident memory of the server: {memory >> 10} MiB, {grown:+d} MiB after the soak")
            checks.true(grown < GROWTH_MIB, f"memory returns: {grown} MiB more than before")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
