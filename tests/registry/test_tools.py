"""What works on a store alone: du, prune, export, link, save, load, store move.

    test_tools.py OLL [--only PART]
"""

import argparse
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tarfile
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
    text = w.runs(store, "list")
    w.checks.that("one:latest" in text and "me/two:latest" in text and "is damaged, see oll verify" in text,
                  f"models whose weights cannot be read are listed: {text}")
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


def archive(w, store, *names):
    path = os.path.join(w.folder, f"{len(os.listdir(w.folder))}.tar")
    w.runs(store, "save", *names, "-o", path)
    return path


def same_models(a, b):
    """All models of b are those of a."""
    def read(store):
        found = {}
        for name in store.files("manifests"):
            with open(os.path.join(store.models, name), "rb") as f:
                found[name] = f.read()
        return found
    have, got = read(a), read(b)
    return got and all(have.get(name) == text for name, text in got.items())


@case
def save_and_load(w):
    store, other = w.store(), w.store(False)
    path = archive(w, store, "one", "me/two")
    with tarfile.open(path) as tar:
        names = tar.getnames()
        index = json.load(tar.extractfile("index.json"))
        for name in names[2:]:
            data = tar.extractfile(name).read()
            w.checks.that(name == "blobs/sha256/" + digest_of(data)[7:], f"save: {name} holds what it says")
    w.checks.that(names[:2] == ["oci-layout", "index.json"] and len(names) == 8 and len(set(names)) == 8, f"{names}")
    w.checks.that([m["annotations"]["org.opencontainers.image.ref.name"] for m in index["manifests"]] ==
                  [f"{HOST}/library/one:latest", f"{HOST}/me/two:latest"], str(index))
    text = w.runs(other, "load", path)
    w.checks.that("loaded 'one:latest'\nloaded 'me/two:latest'\n" in text, text)
    w.checks.that(other.complaint() is None and same_models(store, other) and len(other.files("blobs")) == 4,
                  f"load: {other.complaint()}")
    w.checks.that(not other.files("oll/leases") and not other.files("oll/tmp"), "load: leftovers")
    w.runs(other, "load", path)
    with open(path, "rb") as a, open(archive(w, other, "one", "me/two"), "rb") as b:
        w.checks.that(a.read() == b.read(), "equal models make equal archives")
    w.fails(store, ["exists; --force"], "save", "one", "-o", path)
    w.fails(store, ["model 'none:latest' not found"], "save", "one", "none", "-o", path + "x")
    w.fails(store, ["invalid model name"], "save", "a b", "-o", path + "x")
    w.checks.that(not os.path.exists(path + "x"), "a save that failed leaves no file")
    with open(w.blob(store, w.weights), "r+b") as f:
        f.write(b"?")
    w.fails(store, ["is damaged; see oll verify"], "save", "one", "-o", path + "x")
    w.checks.that(not [n for n in os.listdir(w.folder) if "x" in n], "a save of a damaged model leaves no file")


@case
def pipes(w):
    store, other = w.store(), w.store(False)
    save = subprocess.Popen([w.oll, "save", "one"], env=store.env(), stdout=subprocess.PIPE)
    load = subprocess.run([w.oll, "load"], env=other.env(), stdin=save.stdout, stdout=subprocess.PIPE, timeout=60, check=False)
    save.stdout.close()
    w.checks.that(save.wait() == 0 and load.returncode == 0 and load.stdout == b"loaded 'one:latest'\n", f"{load}")
    w.checks.that(other.complaint() is None and len(other.files("blobs")) == 3, "through a pipe")
    full = subprocess.run(f"'{w.oll}' save one > /dev/full", shell=True, env=store.env(), stderr=subprocess.PIPE, check=False)
    w.checks.that(full.returncode == 1 and b"Error: archive: no space left on device" in full.stderr, f"{full}")


def repack(path, change, form=tarfile.USTAR_FORMAT):
    """The archive again, its list of (name, bytes) changed."""
    with tarfile.open(path) as tar:
        entries = [(m.name, tar.extractfile(m).read()) for m in tar.getmembers()]
    out = path + ".changed"
    with tarfile.open(out, "w", format=form) as tar:
        for name, data in change(entries):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out


@case
def other_archives(w):
    store = w.store()
    path = archive(w, store, "one", "me/two")
    forms = {
        "index last": lambda e: e[2:] + e[:2],
        "with ./ in front": lambda e: [("./" + n, d) for n, d in e],
        "with strangers": lambda e: [("README", b"x" * 1000), *e, ("blobs/sha512/" + "0" * 64, b"y")],
    }
    for what, change in forms.items():
        for form in (tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
            other = w.store(False)
            w.runs(other, "load", repack(path, change, form))
            w.checks.that(other.complaint() is None and same_models(store, other), f"{what}: {other.complaint()}")
    other = w.store(False)
    folder = os.path.join(w.folder, "unpacked")
    os.makedirs(folder)
    os.system(f"cd '{folder}' && tar xf '{path}' && tar cf '{path}.2' --format=pax .")
    w.runs(other, "load", path + ".2")
    w.checks.that(other.complaint() is None and same_models(store, other), "packed by tar, with folders")


def cut(path, n):
    with open(path, "rb") as f, open(path + ".cut", "wb") as out:
        out.write(f.read(n))
    return path + ".cut"


@case
def hostile_archives(w):
    store = w.store()
    path = archive(w, store, "one")
    size = os.path.getsize(path)

    def bad(what, words, name):
        other = w.store(False)
        w.fails(other, words, "load", name)
        w.checks.that(other.complaint() is None and not other.files("manifests") and not other.files("oll/tmp"),
                      f"{what}: {other.complaint()}")
        w.runs(other, "load", path)
        w.checks.that(other.complaint() is None and same_models(store, other), f"{what}, then the right one")

    def index(change):
        def with_index(entries):
            value = json.loads(entries[1][1])
            new = change(value)
            return [entries[0], ("index.json", new if isinstance(new, bytes) else json.dumps(new).encode()), *entries[2:]]
        return repack(path, with_index)

    def renamed(name):
        def change(value):
            value["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] = name
            return value
        return index(change)

    for n in (0, 100, 512, 1024, 2000, 4096, size // 2, size - 1024):
        bad(f"cut at {n}", ["ends early, at byte"], cut(path, n))
    bad("a blob changed", ["digest mismatch"], repack(path, lambda e: [(n, d[:-1] + b"?" if len(d) > 9999 else d) for n, d in e]))
    bad("a blob missing", ["is missing from the model store"], repack(path, lambda e: e[:-1]))
    bad("no index", ["no index.json"], repack(path, lambda e: [e[0], *e[2:]]))
    bad("index no JSON", ["invalid character"], index(lambda v: b"hello"))
    bad("empty index", ["names no models"], index(lambda v: {"manifests": []}))
    bad("no tar", ["this is no tar archive"], __file__)
    bad("name with dots", ['whose name is "../../etc/passwd"'], renamed("../../etc/passwd"))
    bad("no name", ['whose name is ""'], index(lambda v: {"manifests": [{**v["manifests"][0], "annotations": None}]}))
    bad("a layer as manifest", ["model "], index(lambda v: {"manifests": [{**v["manifests"][0], "digest": digest_of(w.weights)}]}))
    bad("index of 5 MiB", ["document of"], index(lambda v: b" " * (5 << 20)))
    bad("digest no digest", ["invalid digest"], index(lambda v: {"manifests": [{**v["manifests"][0], "digest": "sha256:../x"}]}))
    with open(path, "rb") as f:
        data = bytearray(f.read())
    for field, text in ((124, b"77777777777\0"), (124, b"\xff" * 12), (124, b"-0000000001\0"), (148, b"0000000\0")):
        head = data[:512]
        head[field:field + len(text)] = text
        if field != 148:
            head[148:156] = b" " * 8
            head[148:156] = b"%06o\0 " % sum(head)
        with open(path + ".head", "wb") as f:
            f.write(head + data[512:])
        bad(f"header {field} {text}", ["archive"], path + ".head")


@case
def replaced(w):
    """A name that exists gets the model of the archive; what only the old one used goes."""
    store, other = w.store(), w.store(False)
    put_model(other, HOST, "library/one", [(MODEL, noise(1000, 4)), (CONFIG, CONFIG_BYTES)])
    w.runs(other, "load", archive(w, store, "one"))
    w.checks.that(other.complaint() is None and len(other.files("blobs")) == 3, f"replaced: {other.files('blobs')}")


@case
def move(w):
    places = [os.path.join(w.folder, "to", "here")]
    if os.access("/dev/shm", os.W_OK) and os.stat("/dev/shm").st_dev != os.stat(w.folder).st_dev:
        places.append(tempfile.mkdtemp(prefix="oll-move-", dir="/dev/shm"))
    for place in places:
        store, twin, new = w.store(), w.store(), w.store(False)
        new.models = place
        manifest = os.path.join(store.models, "manifests", HOST, "library", "one", "latest")
        os.utime(manifest, (1_600_000_000, 1_600_000_000))
        inode = os.stat(w.blob(store, w.weights)).st_ino
        text = w.runs(store, "store", "move", place)
        w.checks.that("moved 2 models, 4 blobs" in text and f"OLLAMA_MODELS={place}" in text, text)
        w.checks.that(new.complaint() is None and same_models(new, twin), f"moved: {new.complaint()}")
        w.checks.that(store.files("manifests") == [] and store.files("blobs") == [], "moved: the old store is empty")
        at = os.path.join(place, os.path.relpath(manifest, store.models))
        w.checks.that(os.stat(at).st_mtime == 1_600_000_000, "moved: with its time")
        same = os.stat(w.blob(new, w.weights)).st_ino == inode
        w.checks.that(same == (place == places[0]), "moved: not copied on one file system")
        # A second store goes to the same place: equal models are no clash, others are.
        w.runs(twin, "store", "move", place)
        w.checks.that(new.complaint() is None and twin.files("blobs") == [], "merged")
        clash = w.store(False)
        put_model(clash, HOST, "library/one", [(MODEL, noise(1000, 4)), (CONFIG, CONFIG_BYTES)])
        w.fails(clash, ["has another model of the name one:latest"], "store", "move", place)
        w.checks.that(clash.complaint() is None and len(clash.files("blobs")) == 2, "a clash leaves all as it was")
        # What is damaged stays where it is.
        broken = w.store(False)
        put_model(broken, HOST, "library/b", [(MODEL, noise(3000, 5)), (CONFIG, CONFIG_BYTES)])
        os.remove(w.blob(broken, noise(3000, 5)))
        w.fails(broken, ["model 'b:latest' is damaged"], "store", "move", place)
        w.checks.that(len(broken.files("manifests")) == 1 and new.complaint() is None, "damaged: stays")
        if place != places[0]:
            shutil.rmtree(place)
    store = w.store()
    w.fails(store, ["lie in one another"], "store", "move", os.path.join(store.models, "sub"))
    w.fails(store, ["lie in one another"], "store", "move", store.models)
    w.fails(w.store(False), ["there is no model store at"], "store", "move", os.path.join(w.folder, "any"))
    w.fails(store, ["accepts 1 arg(s), received 0"], "store", "move")


@case
def link(w):
    """A file becomes a model where it is; what is done to the file is noticed, what is done to the model is not."""
    store = w.store(False)
    path = os.path.join(w.folder, "My Model (1).gguf")
    gguf = struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + text_key("general.architecture", "llama")
    write(path, gguf)
    text = w.runs(store, "link", "--local", path)
    w.checks.that(f"'{path}' is the model 'My-Model-1'" in text, text)
    text = w.runs(store, "link", "--local", path, "me/other:tag")
    w.checks.that(sorted(os.path.relpath(n, f"manifests/{HOST}") for n in store.files("manifests")) ==
                  ["library/My-Model-1/latest", "me/other/tag"], str(store.files("manifests")))
    blob = w.blob(store, gguf)
    linked = os.stat(blob).st_ino == os.stat(path).st_ino
    w.checks.that(linked == ("linked " in w.runs(w.store(False), "link", "--local", path)), "it is said when they are one")
    w.runs(store, "rm", "My-Model-1")
    w.runs(store, "rm", "me/other:tag")
    with open(path, "rb") as f:
        w.checks.that(f.read() == gguf and not store.files("blobs"), "rm leaves the user's file")
    w.runs(store, "link", "--local", path, "m")
    if linked:
        with open(path, "ab") as f:
            f.write(b"more")
        code, text = store.run("verify")
        w.checks.that(code == 1 and "bytes where" in text, text)
        code, text = store.run("verify", "--repair", "--insecure", http_proxy="http://127.0.0.1:9")
        w.checks.that(code == 1 and len(store.files("oll/quarantine")) == 1, text)
        with open(path, "rb") as f:
            w.checks.that(f.read() == gguf + b"more", "a repair does not touch the user's file")
    w.fails(store, ["is no GGUF file"], "link", "--local", __file__)
    w.fails(store, ["No such file"], "link", "--local", path + "x")
    w.fails(store, ["invalid model name: a b"], "link", "--local", path, "a b")


def text_key(key, value):
    return struct.pack("<Q", len(key)) + key.encode() + struct.pack("<IQ", 8, len(value)) + value.encode()


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
                os.makedirs(os.path.join(folder, function.__name__))
                function(World(args.oll, os.path.join(folder, function.__name__), checks))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return checks.end()


sys.exit(main())
