"""What works on a store alone: du, prune, export.

    test_tools.py OLL [--only PART]
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
import time

from harness import CONFIG, MODEL, Checks, Store, digest_of, noise, put_model

SYSTEM = "application/vnd.ollama.image.system"
TEMPLATE = "application/vnd.ollama.image.template"
CONFIG_BYTES = b'{"model_format":"gguf","model_family":"llama"}'
HOST = "registry.ollama.ai"
DAY = 86400
CASES = []


def case(function):
    CASES.append(function)
    return function


class World:
    def __init__(self, oll, folder, checks):
        self.oll, self.folder, self.checks, self.n = oll, folder, checks, 0
        self.weights = noise(5_000_000)

    def store(self, filled=True):
        self.n += 1
        store = Store(self.oll, os.path.join(self.folder, f"s{self.n}"))
        if filled:
            put_model(store, HOST, "library/one", [(MODEL, self.weights), (SYSTEM, b"first"), (CONFIG, CONFIG_BYTES)])
            put_model(store, HOST, "me/two", [(MODEL, self.weights), (SYSTEM, b"second!"), (CONFIG, CONFIG_BYTES)])
        return store

    def runs(self, store, *args, **more):
        code, text = store.run(*args, **more)
        self.checks.that(code == 0, f"{args}: exit code {code}: {text}")
        return text

    def fails(self, store, words, *args, **more):
        code, text = store.run(*args, **more)
        errors = [line for line in text.splitlines() if line.startswith("Error: ")]
        self.checks.that(code == 1 and len(errors) == 1 and all(w in errors[0] for w in words),
                         f"{args}: exit code {code}: {text}")

    @staticmethod
    def blob(store, data):
        return os.path.join(store.models, "blobs", "sha256-" + digest_of(data)[7:])


def write(path, data, age_s=0):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
    old = time.time() - age_s
    os.utime(path, (old, old))


@case
def du(w):
    store = w.store()
    write(w.blob(store, b"unused"), b"unused")
    write(os.path.join(store.models, "blobs", "sha256-" + "1" * 64 + "-partial"), noise(100_000))
    text = w.runs(store, "du")
    rows = {line.split()[0]: re.split(r"  +", line.strip())[1:] for line in text.splitlines() if ":latest" in line}
    w.checks.that(rows == {"one:latest": ["5.0 MB", "5 B", "5.0 MB"], "me/two:latest": ["5.0 MB", "7 B", "5.0 MB"]}, text)
    lines = dict(re.split(r":  +", line) for line in text.splitlines() if re.search(r":  ", line))
    w.checks.that(lines["models"] == "5.0 MB" and lines["unused blobs"] == "6 B" and
                  lines["partial downloads"].startswith("10") and lines["quarantine"] == "0 B", text)
    text = w.runs(w.store(False), "du")
    w.checks.that("NAME" in text and "total:                0 B" in text, text)


@case
def prune(w):
    store = w.store()
    young, old = w.blob(store, b"young"), w.blob(store, b"old")
    write(young, b"young")
    write(old, b"old", 2 * 3600)
    part = os.path.join(store.models, "oll", "part", "sha256-" + "2" * 64)
    theirs = os.path.join(store.models, "blobs", "sha256-" + "1" * 64 + "-partial")
    for path in (part, part + ".journal", theirs, theirs + "-0"):
        write(path, b"x" * 10, 40 * DAY)
    text = w.runs(store, "prune", "--dry-run")
    w.checks.that(all(os.path.exists(p) for p in (young, old, part, theirs)), "a dry run removes nothing")
    w.checks.that(text.count("would remove ") == 4 and "unused blob: blobs/" + os.path.basename(old) in text and
                  "to free" in text, text)
    w.runs(store, "prune", "--older", "60d")
    w.checks.that(not os.path.exists(old) and os.path.exists(part) and os.path.exists(theirs), "older than 60 days")
    text = w.runs(store, "prune")
    w.checks.that(not any(os.path.exists(p) for p in (part, part + ".journal", theirs, theirs + "-0")), text)
    w.checks.that(os.path.exists(young) and store.complaint() is None, f"what is in use stays: {store.complaint()}")
    bad = os.path.join(store.models, "manifests", HOST, "library", "bad", "latest")
    write(bad, b"{")
    write(old, b"old", 2 * 3600)
    w.fails(store, ["nothing is removed while the manifest of", "library/bad"], "prune")
    w.checks.that(os.path.exists(old), "one unreadable manifest stops the removal")
    w.fails(store, ["--older x: expected a number"], "prune", "--older", "x")


@case
def export(w):
    store = w.store()
    path = os.path.join(w.folder, "out.gguf")
    text = w.runs(store, "export", "one", path)
    with open(path, "rb") as f:
        w.checks.that(f.read() == w.weights, "export: the bytes of the model")
    w.checks.that(f"exported 'one' to {path} (5 MB)" in text and "not in this file: system" in text, text)
    w.fails(store, ["exists; --force"], "export", "one", path)
    w.runs(store, "export", "me/two", path, "--force", "--layer", "system")
    with open(path, "rb") as f:
        w.checks.that(f.read() == b"second!", "export: another layer")
    w.fails(store, ["has no layer of the kind projector"], "export", "one", path, "--force", "--layer", "projector")
    w.fails(store, ["model 'none' not found"], "export", "none", path + "2")
    w.fails(store, ["No such file"], "export", "one", "/nowhere/at/all.gguf")
    with open(w.blob(store, w.weights), "r+b") as f:
        f.write(b"?")
    w.fails(store, ["damaged; see oll verify"], "export", "one", path + "2")
    left = [n for n in os.listdir(w.folder) if n.startswith("out")]
    w.checks.that(left == ["out.gguf"], f"export: leftovers {left}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("oll")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    checks = Checks()
    folder = tempfile.mkdtemp(prefix="oll-tools-")
    try:
        for function in CASES:
            if args.only in function.__name__:
                function(World(args.oll, os.path.join(folder, function.__name__), checks))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return checks.end()


sys.exit(main())
