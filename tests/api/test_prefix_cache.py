#!/usr/bin/env python3
"""Beginnings of prompts that outlive a server (OLL_PREFIX_CACHE_DIR): test_prefix_cache.py OLL SHARED.

With OLL_TEST_MODELS also with real models: the same text after a restart, from the folder."""
import json
import os
import resource
import stat
import sys
import tempfile
import time

from served import Checks, Server, skip

TEXT = "The harbour was quiet in the early light, and the boats lay still beside the pier. "
KEYS = ("key-of-alice-000", "key-of-bob-00000")
REAL = ("SmolLM2-135M-Instruct.Q4_1.gguf", "gemma-3-270m-q4_k_m.gguf")


def ask(server, prompt, n=12, key=None, **options):
    """Text, and seconds from the beginning of the prompt to the first token."""
    body = {"model": "m", "prompt": prompt, "stream": False, "raw": True,
            "options": {"temperature": 0, "num_predict": n, **options}}
    status, data = server.call("POST", "/api/generate", body, {"Authorization": f"Bearer {key}"} if key else {})
    reply = json.loads(data)
    if status != 200:
        raise RuntimeError(f"{status} {reply}")
    return reply["response"], reply["prompt_eval_duration"] / 1e9


def pages(folder):
    root = os.path.join(folder, "pages")
    return sorted(os.path.join(root, name) for name in os.listdir(root)) if os.path.isdir(root) else []


def settled(folder):
    """Waits until nothing is written any more; the number of pages."""
    n, since = len(pages(folder)), time.monotonic()
    while time.monotonic() - since < 1:
        time.sleep(0.1)
        now = len(pages(folder))
        if now != n:
            n, since = now, time.monotonic()
    return n


class Offer:
    def __init__(self, checks, oll, root, model):
        self.checks, self.oll, self.model = checks, oll, model
        self.models, self.folder = os.path.join(root, "models"), os.path.join(root, "prefixes")
        os.makedirs(self.models, exist_ok=True)

    def server(self, *arguments, **environment):
        return Server(self.oll, self.models, "--model", f"m={self.model}", *arguments,
                      **{"OLL_PREFIX_CACHE_DIR": self.folder, **environment})


def check_restart(checks, offer, prompt, window, what):
    with offer.server() as server:
        cold = ask(server, prompt, num_ctx=window)
        n = settled(offer.folder)
        checks.true(n > 0, f"{what}: pages are written in idle moments")
    checks.equal(stat.S_IMODE(os.stat(offer.folder).st_mode), 0o700, f"{what}: mode of the folder")
    with offer.server() as server:
        again = ask(server, prompt, num_ctx=window)
        checks.equal(again[0], cold[0], f"{what}: the text after a restart")
        total, cached = (server.counter(f"oll_prompt_tokens{name}_total") for name in ("", "_cached"))
        checks.true(cached > 0.5 * total, f"{what}: {cached} of {total} tokens come from the folder")
        checks.equal(ask(server, prompt, num_ctx=window)[0], cold[0], f"{what}: and once more")
        other = ask(server, prompt + " Then", num_ctx=window)
    # In one process with the server, without the folder: what it must be.
    with offer.server(OLL_PREFIX_CACHE_DIR="") as server:
        checks.equal(other[0], ask(server, prompt + " Then", num_ctx=window)[0], f"{what}: another end of the prompt")
    print(f"{what}: first token {cold[1] * 1e3:.0f} ms cold, {again[1] * 1e3:.0f} ms from the folder, {n} pages; "
          f"{cached:.0f} of {total:.0f} tokens")


def check_end(checks, offer, prompt, window):
    """What idle moments had no time for is written when the server ends; a runner that is killed loses it alone."""
    with offer.server() as server:
        ask(server, prompt, num_ctx=window)
    checks.true(len(pages(offer.folder)) > 0, "pages are written at the end")


def check_damage(checks, offer, prompt, window):
    with offer.server() as server:
        cold = ask(server, prompt, num_ctx=window)
    whole = {path: open(path, "rb").read() for path in pages(offer.folder)}
    harms = [lambda b, at=at: b[:at] + bytes([b[at] ^ 0x10]) + b[at + 1:] for at in (0, 9, 20, 50, 64, -33, -1)]
    harms += [lambda b, k=k: b[:len(b) * k // 7] for k in range(7)] + [lambda b: b + b"x", lambda b: os.urandom(len(b))]
    with offer.server(OLLAMA_KEEP_ALIVE="0") as server:  # each request loads anew
        for i, harm in enumerate(harms):
            for path, data in whole.items():
                with open(path, "wb") as f:
                    f.write(harm(data) if (i + hash(path)) % 2 or i % 3 == 0 else data)
            checks.equal(ask(server, prompt, num_ctx=window)[0], cold[0], f"damage {i}")
        checks.equal(settled(offer.folder), len(whole), "what was damaged is written anew")


def check_keys(checks, oll, root, model):
    offer = Offer(checks, oll, root, model)
    path = os.path.join(root, "keys")
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(KEYS) + "\n")
    prompt = TEXT[:120]
    with offer.server(OLL_API_KEYS_FILE=path) as server:
        text = ask(server, prompt, key=KEYS[0])[0]
    n = len(pages(offer.folder))
    with offer.server(OLL_API_KEYS_FILE=path) as server:
        checks.equal(ask(server, prompt, key=KEYS[0])[0], text, "the same key after a restart")
        checks.equal(len(pages(offer.folder)), n, "it needs no pages of its own")
        checks.equal(ask(server, prompt, key=KEYS[1])[0], text, "another key")
    checks.equal(len(pages(offer.folder)), 2 * n, "it shares nothing")


def check_limits(checks, oll, root, model):
    offer = Offer(checks, oll, root, model)
    with offer.server(OLL_PREFIX_CACHE_SIZE="20K") as server:
        for i in range(6):
            ask(server, f"{i} " + TEXT[:100])
        settled(offer.folder)
    n = sum(os.path.getsize(path) for path in pages(offer.folder))
    checks.true(0 < n <= 20 << 10, f"the folder holds {n} bytes")
    with offer.server(OLL_PREFIX_CACHE_SIZE="much") as server:
        ask(server, TEXT[:100])
        checks.true("is no size" in server.read_log(), "a size that is none is said")
    # No room: what files of 4 KiB at most are like.
    full = Offer(checks, oll, root, model)
    full.folder = os.path.join(root, "full")
    server = full.server()
    server.start_options = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))}
    with Offer(checks, oll, root, model).server(OLL_PREFIX_CACHE_DIR="") as plain:
        text = ask(plain, TEXT[:100])[0]
    with server:
        checks.equal(ask(server, TEXT[:100])[0], text, "a full disk")
    checks.equal(pages(full.folder), [], "and nothing is left in it")
    # A folder that cannot be one.
    with full.server(OLL_PREFIX_CACHE_DIR="/proc/none") as server:
        checks.equal(ask(server, TEXT[:100])[0], text, "a folder that cannot be")
        checks.true("prefixes are not kept" in server.read_log(), "is said")


def check_two(checks, oll, root, model):
    """Two servers on one folder, with the same and with different prompts, in turns."""
    offer = Offer(checks, oll, root, model)
    with offer.server() as a, offer.server() as b:
        for i in range(4):
            texts = [ask(s, f"{i % 2} " + TEXT[:110])[0] for s in (a, b, a)]
            checks.equal(len(set(texts)), 1, f"two servers: {i}")
    for path in pages(offer.folder):
        checks.true(path.endswith(".kv"), f"two servers: {path}")


def main():
    oll, shared = sys.argv[1:3]
    model = os.path.join(shared, "data", "golden", "llama.gguf")
    if not os.path.exists(model):
        skip(f"{model} is absent")
    checks = Checks()
    cases = [(check_keys, "keys"), (check_limits, "limits"), (check_two, "two")]
    for check, name in cases:
        with tempfile.TemporaryDirectory() as root:
            check(checks, oll, root, model)
    for check in (lambda o: check_restart(checks, o, TEXT[:110], 160, "golden"), lambda o: check_end(checks, o, TEXT[:110], 160),
                  lambda o: check_damage(checks, o, TEXT[:110], 160)):
        with tempfile.TemporaryDirectory() as root:
            check(Offer(checks, oll, root, model))
    real = os.environ.get("OLL_TEST_MODELS")
    for name in REAL if real else ():
        path = os.path.join(real, name)
        if not os.path.exists(path):
            print(f"SKIPPED: {path} is absent")
            continue
        with tempfile.TemporaryDirectory() as root:
            check_restart(checks, Offer(checks, oll, root, path), TEXT * 40, 2048, name)
    if not real:
        print("SKIPPED with real models: OLL_TEST_MODELS is not set")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
