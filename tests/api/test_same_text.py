#!/usr/bin/env python3
"""One seeded text in every company: test_same_text.py OLL SHARED.

A reply with a seed is the same alone, beside others, with its prompt cached, with and without speculation, and after a
restart from OLL_PREFIX_CACHE_DIR; what speculation has tried, and who vanished, is counted at /metrics. With OLL_TEST_MODELS also on a real model."""
import json
import os
import socket
import sys
import tempfile
import threading
import time

from served import Checks, Server, skip

LIST = "one red boat, two red boats, three red boats, four red boats; " * 2
REAL = "SmolLM2-135M-Instruct.Q4_1.gguf"
SETTINGS = ({}, {"OLL_SPECULATE": "0"})
KEPT_TIMEOUT_S = 20


class Case:
    """A prompt, how it is continued, and how much of it."""

    def __init__(self, name, model, prompt, n, window):
        self.name, self.model, self.prompt, self.n, self.window = name, model, prompt, n, window

    def ask(self, server, temperature, prompt=None, seed=7):
        status, reply = server.post("/api/generate", {
            "model": "m", "prompt": prompt or self.prompt, "raw": True, "stream": False,
            "options": {"seed": seed, "temperature": temperature, "num_predict": self.n, "num_ctx": self.window}})
        if status != 200:
            raise RuntimeError(f"{self.name}: {status} {reply}")
        return reply["response"]

    def beside(self, server, temperature, n_others):
        """The reply while others are made, whose prompts and seeds differ."""
        others = [threading.Thread(target=self.ask, args=(server, 0.9, f"{i} {self.prompt}", i)) for i in range(n_others)]
        for other in others:
            other.start()
        text = self.ask(server, temperature)
        for other in others:
            other.join()
        return text


def check_vanishing(checks, case, serve):
    """A client that goes before its reply is told from a failure of the server."""
    with serve() as server:
        case.ask(server, 0)
        body = json.dumps({"model": "m", "prompt": case.prompt, "raw": True, "stream": False,
                           "options": {"num_predict": 100000, "num_ctx": case.window}}).encode()
        counts = {}
        for attempt in range(50):  # a reply may end before its client is gone
            with socket.create_connection(("127.0.0.1", server.port)) as gone:
                gone.sendall(b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                time.sleep(0.01 * (attempt % 5))
            time.sleep(0.1)
            counts = {code: server.counter(f'oll_requests_total{{route="/api/generate",code="{code}"}}') for code in (499, 500)}
            if counts[499] or counts[500]:
                break
        checks.equal(counts, {499: 1, 500: 0}, "a vanished client is counted as such")


def wait_for_pages(folder):
    """Until the pages in the folder have stopped growing in number."""
    deadline, seen = time.monotonic() + KEPT_TIMEOUT_S, []
    while time.monotonic() < deadline:
        names = os.listdir(folder) if os.path.isdir(folder) else []
        if names and names == seen:
            return True
        seen = names
        time.sleep(0.5)
    return False


def check_texts(checks, case, serve, settings, expected):
    """All company under one setting. `expected`: texts by temperature, filled by the first setting."""
    what = f"{case.name} {settings}"
    with serve(**settings) as server:
        for temperature in (0, 0.8):
            text = case.ask(server, temperature)
            checks.equal(text, expected.setdefault(temperature, text), f"{what}: as with other settings, at {temperature}")
            checks.equal(case.ask(server, temperature), text, f"{what}: with its prompt cached, at {temperature}")
            checks.equal(case.beside(server, temperature, 3), text, f"{what}: beside three others, at {temperature}")
        for _ in range(20):  # on a busy machine it may take a while until drafts seem to pay
            if settings.get("OLL_SPECULATE") == "0" or server.counter("oll_accepted_tokens_total") > 0:
                break
            case.ask(server, 0)
        drafted, accepted = (server.counter(f"oll_{name}_tokens_total") for name in ("drafted", "accepted"))
        print(f"{what}: {drafted:.0f} tokens drafted, {accepted:.0f} accepted")
        if settings.get("OLL_SPECULATE") == "0":
            checks.equal((drafted, accepted), (0, 0), f"{what}: nothing is drafted")
        else:
            checks.true(0 < accepted <= drafted, f"{what}: {drafted} drafted, {accepted} accepted")


def check_restart(checks, case, serve, root, expected):
    folder = os.path.join(root, "prefixes")
    for i in range(2):
        with serve(OLL_PREFIX_CACHE_DIR=folder) as server:
            for temperature, text in expected.items():
                checks.equal(case.ask(server, temperature), text, f"{case.name}: kept in a folder, server {i}, at {temperature}")
            checks.true(wait_for_pages(os.path.join(folder, "pages")), f"{case.name}: its prompt is kept")


def check(checks, oll, case):
    expected = {}
    with tempfile.TemporaryDirectory() as root:
        models = os.path.join(root, "models")
        os.mkdir(models)

        def serve(**environment):
            return Server(oll, models, "--model", f"m={case.model}", OLLAMA_NUM_PARALLEL="4", **environment)

        check_vanishing(checks, case, serve)
        for settings in SETTINGS:
            check_texts(checks, case, serve, settings, expected)
        check_restart(checks, case, serve, root, expected)


def main():
    oll, shared = sys.argv[1:3]
    model = os.path.join(shared, "data", "golden", "llama.gguf")
    if not os.path.exists(model):
        skip(f"{model} is absent")
    checks = Checks()
    check(checks, oll, Case("golden", model, LIST, 100, 512))
    folder = os.environ.get("OLL_TEST_MODELS")
    real = os.path.join(folder, REAL) if folder else ""
    if os.path.exists(real):
        check(checks, oll, Case("SmolLM2", real, LIST, 100, 512))
    else:
        print("SKIPPED with a real model: OLL_TEST_MODELS is not set, or holds none")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
