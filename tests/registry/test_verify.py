"""oll verify: the damage that is reported is the damage that was done, and a repair fetches no more than that.

    test_verify.py OLL [--only PART]
"""

import argparse
import json
import os
import re
import shutil
import sys

from harness import CONFIG, MODEL, Checks, Store, digest_of, noise, stage

SIZE = 30_000_000  # eight chunks
CHUNK = 4 << 20
SYSTEM = "application/vnd.ollama.image.system"
CASES = []


def case(function):
    CASES.append(function)
    return function


class World:
    def __init__(self, oll, folder, registry, proxy, checks):
        self.oll, self.folder, self.registry, self.proxy, self.checks, self.n = oll, folder, registry, proxy, checks, 0
        self.blob, self.system = noise(SIZE), b"You are brief."
        self.config = json.dumps({"model_format": "gguf", "model_family": "llama"}).encode()
        registry.put_model("test/m", [(MODEL, self.blob), (SYSTEM, self.system), (CONFIG, self.config)])
        self.name = f"{proxy.name}/test/m"
        self.ready = Store(oll, os.path.join(folder, "ready"))
        proxy.begin()
        code, text = self.ready.run("pull", "--insecure", self.name)
        checks.that(code == 0, text)

    def store(self):
        self.n += 1
        store = Store(self.oll, os.path.join(self.folder, f"s{self.n}"))
        shutil.copytree(self.ready.models, store.models)
        return store

    @staticmethod
    def path(store, data):
        return os.path.join(store.models, "blobs", "sha256-" + digest_of(data)[7:])

    def verify(self, store, *flags, **more):
        """Exit code, the findings without their reasons, the whole text."""
        self.proxy.begin()
        code, text = store.run("verify", *flags, **more)
        lines = [line.split(";")[0] for line in text.splitlines() if re.match("(damaged|repaired): ", line)]
        return code, lines, text

    def line(self, data, what, word="damaged"):
        return f"{word}: {self.name}:latest: {digest_of(data)} {what}"

    def mended(self, what, store, most):
        sent = sum(e.sent for e in self.proxy.blobs())
        self.checks.that(store.complaint() is None, f"{what}: {store.complaint()}")
        self.checks.that(sent <= most, f"{what}: {sent} bytes fetched, at most {most} are damaged")
        self.checks.that(not store.files("oll/quarantine") and not store.files("oll/part"), f"{what}: leftovers")


def change(path, at, data):
    with open(path, "r+b") as f:
        f.seek(at)
        f.write(data)


@case
def clean(w):
    store = w.store()
    for flags in ((), ("--deep",), ("--deep", "--repair")):
        code, lines, text = w.verify(store, *flags)
        w.checks.that(code == 0 and not lines and "1 models, 3 blobs" in text and "no damage" in text, f"clean: {text}")
        w.checks.that(not w.proxy.exchanges, "clean: nobody is asked")
    empty = Store(w.oll, os.path.join(w.folder, "empty"))
    code, _, text = w.verify(empty)
    w.checks.that(code == 0 and "0 models, 0 blobs" in text, text)


@case
def flipped(w):
    store = w.store()
    path = w.path(store, w.blob)
    change(path, 9_000_000, bytes([w.blob[9_000_000] ^ 1]))
    code, lines, text = w.verify(store)
    w.checks.that(code == 0 and not lines, f"a flipped bit in a large blob is for --deep: {text}")
    code, lines, text = w.verify(store, "--deep")
    w.checks.that(code == 1 and len(lines) == 1 and lines[0].startswith(w.line(w.blob, "holds something else")), text)
    w.checks.that("1 damaged, 0 of them repaired" in text, text)
    code, lines, text = w.verify(store, "--deep", "--repair", "--insecure")
    w.checks.that(code == 0 and len(lines) == 1 and lines[0].startswith("repaired: "), text)
    w.mended("flipped", store, CHUNK)
    ranges = [e.range for e in w.proxy.blobs()]
    w.checks.that(ranges == [(2 * CHUNK, 3 * CHUNK - 1)], f"flipped: ranges {ranges}")
    store = w.store()
    change(w.path(store, w.blob), 0, b"x")
    change(w.path(store, w.blob), SIZE - 1, b"x")
    code, _, text = w.verify(store, "--deep", "--repair", "--insecure")
    w.checks.that(code == 0, text)
    w.mended("both ends flipped", store, CHUNK + SIZE % CHUNK)


@case
def sizes(w):
    for what, n in (("truncated", 11_000_000), ("emptied", 0), ("grown", SIZE + 5)):
        store = w.store()
        os.truncate(w.path(store, w.blob), n)
        code, lines, text = w.verify(store)
        w.checks.that(code == 1 and lines == [w.line(w.blob, f"has {n} bytes where {SIZE} should be")], text)
        code, _, text = w.verify(store, "--repair", "--insecure")
        w.checks.that(code == 0, f"{what}: {text}")
        w.mended(what, store, max(0, SIZE - n // CHUNK * CHUNK) if n < SIZE else SIZE % CHUNK)
    store = w.store()
    os.remove(w.path(store, w.blob))
    os.remove(w.path(store, w.system))
    code, lines, text = w.verify(store)
    w.checks.that(code == 1 and sorted(lines) == sorted([w.line(w.blob, "is missing"), w.line(w.system, "is missing")]),
                  text)
    code, lines, text = w.verify(store, "--repair", "--insecure")
    w.checks.that(code == 0 and len(lines) == 2, text)
    w.mended("missing", store, SIZE + 100)


@case
def without_sums(w):
    store = w.store()
    shutil.rmtree(os.path.join(store.models, "oll", "chunks"))
    code, _, text = w.verify(store, "--deep")
    w.checks.that(code == 0 and len(store.files("oll/chunks")) == 1, f"sums are written by a deep check: {text}")
    shutil.rmtree(os.path.join(store.models, "oll", "chunks"))
    change(w.path(store, w.blob), 5, b"x")
    code, _, text = w.verify(store, "--deep", "--repair", "--insecure")
    w.checks.that(code == 0, text)
    w.mended("without sums", store, SIZE)
    # Sums that lie: the digest decides, and the blob is fetched once more.
    store = w.store()
    sums = os.path.join(store.models, store.files("oll/chunks")[0])
    with open(w.path(store, w.blob), "r+b") as f:
        f.seek(0)
        f.write(b"x" * CHUNK)
    change(sums, 0, bytes.fromhex(digest_of(b"x" * CHUNK)[7:]))
    code, _, text = w.verify(store, "--deep", "--repair", "--insecure")
    w.checks.that(code == 0, text)
    w.mended("sums that lie", store, 2 * SIZE)


@case
def small(w):
    store = w.store()
    change(w.path(store, w.system), 0, b"y")
    code, lines, text = w.verify(store)
    w.checks.that(code == 1 and len(lines) == 1 and lines[0].startswith(w.line(w.system, "holds something else")), text)
    code, _, text = w.verify(store, "--repair", "--insecure")
    w.checks.that(code == 0, text)
    w.mended("small", store, 100)


@case
def manifests(w):
    store = w.store()
    path = os.path.join(store.models, store.files("manifests")[0])
    with open(path, "rb") as f:
        whole = f.read()
    for text in (whole[:100], b"", b"[]", b"\0" * len(whole)):
        with open(path, "wb") as f:
            f.write(text)
        os.makedirs(os.path.join(store.models, "manifests", "a.b", "c", "d"), exist_ok=True)
        code, lines, out = w.verify(store)
        w.checks.that(code == 1 and len(lines) == 1 and lines[0].startswith(f"damaged: {w.name}:latest: manifest: "), out)
        code, _, out = w.verify(store, "--repair", "--insecure")
        w.checks.that(code == 0, out)
        w.mended("manifest", store, 0)
        with open(path, "rb") as f:
            w.checks.that(f.read() == whole, "the manifest is as it was")
        w.checks.that(not os.path.exists(os.path.join(store.models, "manifests", "a.b")), "empty folders are gone")


@case
def beyond_repair(w):
    store = w.store()
    other = noise(2_000_000, 9)
    with open(w.path(store, other), "wb") as f:
        f.write(other[:-1] + b"?")
    code, lines, text = w.verify(store, "--deep")
    w.checks.that(code == 1 and len(lines) == 1 and lines[0].startswith(f"damaged: {digest_of(other)} holds"), text)
    code, lines, text = w.verify(store, "--deep", "--repair", "--insecure")
    w.checks.that(code == 1 and "not repaired: no model names it; it was put aside" in text, text)
    w.checks.that(store.complaint() is None and len(store.files("oll/quarantine")) == 1, "put aside")
    # A registry that does not answer; then it does.
    change(w.path(store, w.blob), 0, b"x")
    w.proxy.begin()
    w.proxy.rule = lambda e: {"status": 404}
    code, text = store.run("verify", "--deep", "--repair", "--insecure")
    w.checks.that(code == 1 and "file does not exist" in text and len(store.files("oll/quarantine")) == 2, text)
    code, lines, text = w.verify(store)
    w.checks.that(code == 1 and lines == [w.line(w.blob, "is missing")], text)
    code, _, text = w.verify(store, "--repair", "--insecure")
    w.checks.that(code == 0 and store.complaint() is None, text)
    w.checks.that(sum(e.sent for e in w.proxy.blobs()) <= CHUNK, "what was good is not fetched again")


@case
def two_models(w):
    """The registry of the second model is asked when that of the first does not have the blob."""
    store = w.store()
    code, text = store.run("cp", w.name, f"{w.proxy.name}/absent/a")
    w.checks.that(code == 0, text)
    change(w.path(store, w.blob), 0, b"x")
    code, lines, text = w.verify(store, "--deep", "--repair", "--insecure")
    w.checks.that(code == 0 and len(lines) == 1 and f"{w.proxy.name}/absent/a:latest" in lines[0], text)
    w.mended("two models", store, CHUNK + 1000)  # and what the refusal says


@case
def read_only(w):
    """A store that is not ours to write can be checked; a repair says whose it is."""
    store = w.store()
    change(w.path(store, w.system), 0, b"y")
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        print("read_only: skipped, needs root and setpriv")
        return
    os.system(f"chmod -R a+rX '{w.folder}' && chmod a+rx '{os.path.dirname(w.folder)}' && rm -rf '{store.models}/oll'")
    user = ("setpriv", "--reuid=65534", "--clear-groups")
    code, text = store.run_as(user, "verify", "--deep")
    w.checks.that(code == 1 and "holds something else" in text and "Error" not in text, f"{code} {text}")
    code, text = store.run_as(user, "verify", "--deep", "--repair", "--insecure")
    w.checks.that(code == 1 and "cannot write to the model store" in text and "as user nobody" in text, f"{code} {text}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("oll")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    checks = Checks()
    with stage() as (folder, registry, proxy):
        for function in CASES:
            if args.only in function.__name__:
                function(World(args.oll, os.path.join(folder, function.__name__), registry, proxy, checks))
    return checks.end()


sys.exit(main())
