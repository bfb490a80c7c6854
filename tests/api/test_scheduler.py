"""Loading, keeping and unloading models, from outside (cli-and-scheduler, cases 26 to 33, 37, 39).

    test_scheduler.py OLL SHARED
"""

import contextlib
import http.client
import json
import os
import re
import sys
import tempfile
import threading
import time

from served import Checks, Server, skip

SIZES = re.compile(r"model requires more system memory \([\d.]+ GiB\) than is available \([\d.]+ GiB\)")


def loads(server):
    """How many models have been loaded so far."""
    return len(re.findall(r'msg="loaded ', server.read_log(-1)))


def loaded(server):
    return {m["name"]: m for m in json.loads(server.call("GET", "/api/ps")[1])["models"]}


def ask(server, name, keep_alive=None, **options):
    body = {"model": name, "prompt": "a", "raw": True, "stream": False, "options": {"num_predict": 2, **options}}
    if keep_alive is not None:
        body["keep_alive"] = keep_alive
    return server.post("/api/generate", body)


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


@contextlib.contextmanager
def serving(oll, files, **environment):
    """A server that offers files under names."""
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "models"))
        arguments = [word for name, path in files.items() for word in ("--model", f"{name}={path}")]
        with Server(oll, os.path.join(folder, "models"), *arguments, **environment) as server:
            yield server


def check_keep_alive(checks, oll, a):
    with serving(oll, {"a": a}) as server:
        checks.equal(ask(server, "a", keep_alive=0)[0], 200, "keep_alive 0 answers")
        checks.true(wait_until(lambda: not loaded(server)), "and unloads")
        ask(server, "a")
        checks.equal(loads(server), 2, "the next one loads again")
        checks.true(wait_until(lambda: "a:latest" in loaded(server)), "and stays")
        body = {"model": "a", "keep_alive": 0}
        checks.equal(server.post("/api/generate", body)[1]["done_reason"], "unload", "empty prompt and keep_alive 0")
        checks.true(wait_until(lambda: not loaded(server)), "unloads")
        checks.equal(server.post("/api/generate", body)[1]["done_reason"], "unload", "also what is not loaded")
        checks.equal(loads(server), 2, "without loading it")
        ask(server, "a", keep_alive=-1)
        checks.true(loaded(server)["a:latest"]["expires_at"] > "2200", "negative: for ever")
        ask(server, "a")
        checks.true(loaded(server)["a:latest"]["expires_at"] > "2200", "it stays for those who say nothing")
        ask(server, "a", keep_alive="300ms")
        checks.true(wait_until(lambda: not loaded(server), 5), "a duration")
        ask(server, "a", keep_alive=0.3)
        checks.true(wait_until(lambda: not loaded(server), 5), "a fraction of a second")


def check_reload(checks, oll, a):
    with serving(oll, {"a": a, "same": a}) as server:
        ask(server, "a", num_ctx=64)
        ask(server, "a", num_ctx=64, temperature=0.1, top_k=3, seed=5)
        checks.equal(loads(server), 1, "another temperature loads nothing")
        ask(server, "same", num_ctx=64)
        checks.equal((loads(server), list(loaded(server))), (1, ["a:latest"]), "two names of one file share it")
        ask(server, "a", num_ctx=128)
        checks.equal(loads(server), 2, "another window is another load")
        ask(server, "a", num_ctx=100000)
        ask(server, "a", num_ctx=200000)
        checks.equal(loads(server), 3, "windows beyond the trained one are the trained one")
        checks.equal(len(re.findall("a context of 100000 tokens is asked for", server.read_log(-1))), 1, "which is said at the load")
        ask(server, "a", num_ctx=200000, num_batch=64)
        ask(server, "a", num_ctx=200000)
        checks.equal(loads(server), 4, "an option that is left open takes what there is")
        ask(server, "a", num_ctx=200000, num_thread=1)
        checks.equal(loads(server), 5, "num_thread")


def check_window(checks, oll, a):
    """OLLAMA_CONTEXT_LENGTH is the usual window, which the trained one bounds."""
    for said, expected in (("100", 100), ("8192", 256)):
        with serving(oll, {"a": a}, OLLAMA_CONTEXT_LENGTH=said) as server:
            ask(server, "a")
            checks.equal(loaded(server)["a:latest"]["context_length"], expected, f"OLLAMA_CONTEXT_LENGTH={said}")


def slow_request(server, name, n):
    """A request of n tokens on a thread of its own, and when it was answered."""
    done = {}

    def run():
        done["status"] = ask(server, name, num_predict=n, num_ctx=256)[0]
        done["at"] = time.monotonic()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, done


def check_one_model(checks, oll, a, b):
    with serving(oll, {"a": a, "b": b}, OLLAMA_MAX_LOADED_MODELS="1") as server:
        ask(server, "a", num_ctx=256)
        thread, done = slow_request(server, "a", 2500)
        time.sleep(0.05)
        status = ask(server, "b")[0]
        at = time.monotonic()
        thread.join()
        checks.equal((status, done["status"]), (200, 200), "both are answered")
        checks.true(done["at"] <= at, "the other model waits until the running request has ended")
        checks.equal(list(loaded(server)), ["b:latest"], "one model at once")


def check_gone(checks, oll, a, b):
    """A client that leaves while it waits: its model is never loaded."""
    with serving(oll, {"a": a, "b": b}, OLLAMA_MAX_LOADED_MODELS="1") as server:
        ask(server, "a", num_ctx=256)
        running = [slow_request(server, "a", 2500) for _ in range(20)]
        time.sleep(0.02)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("POST", "/api/generate", json.dumps({"model": "b", "prompt": "x"}))
        time.sleep(0.03)
        connection.close()
        for thread, _ in running:
            thread.join()
        checks.equal({done["status"] for _, done in running}, {200}, "the running ones are answered")
        time.sleep(0.3)
        checks.true("loaded b" not in server.read_log(-1), "a model that nobody waits for is not loaded")


def check_too_large(checks, oll, model):
    with serving(oll, {"m": model}, OLLAMA_NUM_PARALLEL="256") as server:
        status, reply = ask(server, "m", num_ctx=8192)
        checks.equal((status, bool(SIZES.search(reply["error"]))), (500, True), f"too large is refused: {reply}")
        checks.equal(loads(server), 0, "before it is loaded")


def check_cache_type(checks, oll, a):
    with serving(oll, {"a": a}, OLLAMA_KV_CACHE_TYPE="q8_0", OLLAMA_FLASH_ATTENTION="0") as server:
        checks.equal(ask(server, "a")[0], 200, "answers")
        checks.true("OLLAMA_FLASH_ATTENTION" in server.read_log(-1), "a quantised cache without flash attention is f16, and said")


def main():
    oll, shared = sys.argv[1:3]
    golden = os.path.join(shared, "data", "golden")
    a, b = os.path.join(golden, "llama-f16.gguf"), os.path.join(golden, "qwen2.gguf")
    if not os.path.exists(a):
        skip("../shared is absent")
    checks = Checks()
    check_keep_alive(checks, oll, a)
    check_reload(checks, oll, a)
    check_window(checks, oll, a)
    check_one_model(checks, oll, a, b)
    check_gone(checks, oll, a, b)
    check_cache_type(checks, oll, a)
    real = os.path.join(os.environ.get("OLL_TEST_MODELS", ""), "SmolLM2-135M-Instruct.Q4_1.gguf")
    if os.path.exists(real):
        check_too_large(checks, oll, real)
    else:
        print("left out: OLL_TEST_MODELS names no folder with SmolLM2")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
