"""What the machine does to a store: disks that fill up, folders that belong to others, links that were planted, and a
file system that shares blocks.

    test_faults.py OLL [--only PART]

Needs root for the mounts and for another user; what cannot be had is skipped and said.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time

from harness import CONFIG, MODEL, Checks, Store, digest_of, noise, put_model, stage

SIZE = 3_000_000
CASES, SKIPPED = [], []
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def case(function):
    CASES.append(function)
    return function


# The smallest file that is one: no tensors, an architecture.
GGUF = b"GGUF\3\0\0\0" + bytes(8) + b"\1" + bytes(7) + b"\x14" + bytes(7) + b"general.architecture" + \
    b"\x08\0\0\0" + b"\5" + bytes(7) + b"llama"


class World:
    def __init__(self, oll, folder, registry, proxy, checks):
        self.oll, self.folder, self.registry, self.proxy, self.checks, self.n = oll, folder, registry, proxy, checks, 0
        self.blob, self.config = noise(SIZE), json.dumps({"model_format": "gguf", "model_family": "llama"}).encode()
        registry.put_model("test/m", [(MODEL, self.blob), (CONFIG, self.config)])
        self.name = f"{proxy.name}/test/m"
        os.makedirs(folder)

    def store(self, folder=None):
        self.n += 1
        return Store(self.oll, folder or os.path.join(self.folder, f"s{self.n}"))

    def fails(self, what, words, done):
        code, text = done
        errors = [line for line in text.splitlines() if line.startswith("Error: ")]
        self.checks.that(code == 1 and len(errors) == 1 and all(w in errors[0] for w in words), f"{what}: {code}: {text}")

    def works(self, what, done):
        self.checks.that(done[0] == 0, f"{what}: {done}")
        return done[1]


@contextlib.contextmanager
def mounted(folder, *args):
    """A file system for the length of a test; None when it cannot be mounted."""
    os.makedirs(folder, exist_ok=True)
    done = subprocess.run(["mount", *args, folder], capture_output=True, check=False) if shutil.which("mount") else None
    if not done or done.returncode != 0:
        SKIPPED.append(f"mount {' '.join(args)}")
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=False)


@case
def disk_full(w):
    """The disk fills up in the middle; what came is kept, and the same pull goes on when there is room."""
    for at in (0.1, 0.5, 0.9):
        with mounted(os.path.join(w.folder, "small"), "-t", "tmpfs", "-o", "size=8m", "none") as folder:
            if not folder:
                return
            store = w.store(folder)
            w.proxy.begin(lambda e: {"pace": 0.02} if e.is_blob else None)
            process = store.start("pull", "--insecure", w.name)
            while sum(e.sent for e in list(w.proxy.exchanges)) < at * SIZE and process.poll() is None:
                time.sleep(0.005)
            filler = os.path.join(folder, "filler")
            with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as f:
                while f.write(b"x" * 65536):
                    pass
            text = process.communicate(timeout=60)[0]
            w.fails(f"full at {at}", ["no space left on device"], (process.returncode, text))
            w.checks.that(store.complaint() is None and not store.files("manifests"), f"full at {at}: {store.complaint()}")
            os.remove(filler)
            w.proxy.begin()
            w.works(f"room after full at {at}", store.run("pull", "--insecure", w.name))
            w.checks.that(store.complaint() is None, f"room after full at {at}: {store.complaint()}")
            for args in (("export", w.name, os.path.join(folder, "out")), ("save", w.name, "-o", os.path.join(folder, "a"))):
                with open(filler, "wb") as f:
                    f.write(b"x" * 4_000_000)
                w.fails(args[0], ["no space left on device"], store.run(*args))
                w.checks.that(not os.path.exists(args[-1]), f"{args[0]}: nothing is left")
                os.remove(filler)


@case
def known_in_advance(w):
    with mounted(os.path.join(w.folder, "small"), "-t", "tmpfs", "-o", "size=2m", "none") as folder:
        if folder:
            store = w.store(folder)
            w.proxy.begin()
            w.fails("too small", ["no space left: need 3.0 MB, "], store.run("pull", "--insecure", w.name))
            w.checks.that(not w.proxy.blobs() and not store.files("oll/part"), "refused before the first byte")


def as_nobody(w, store, *args):
    return store.run_as(NOBODY, *args)


@case
def permission(w):
    """A store of another user's: reading works, and what writes says which folder and which user."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        SKIPPED.append("another user (needs root and setpriv)")
        return
    os.chmod(os.path.dirname(w.folder), 0o755)
    store = w.store()
    put_model(store, "registry.ollama.ai", "library/one", [(MODEL, GGUF), (CONFIG, w.config)])
    os.system(f"chmod -R a+rX '{w.folder}'")
    said = [f"cannot write to the model store {store.models} as user nobody"]
    w.checks.that("one:latest" in w.works("list", as_nobody(w, store, "list", "--local")), "list")
    w.works("verify", as_nobody(w, store, "verify", "--deep"))
    w.works("du", as_nobody(w, store, "du"))
    for args in (("pull", "--local", "--insecure", w.name), ("cp", "--local", "one", "two"), ("load", "/dev/null"),
                 ("prune",), ("link", "--local", __file__)):
        words = said if args[0] not in ("load", "link") else []
        w.fails(args[0], words, as_nobody(w, store, *args))
    w.fails("rm", ["ermission denied"], as_nobody(w, store, "rm", "--local", "one"))
    w.checks.that(store.complaint() is None and len(store.files("manifests")) == 1, "nothing changed")
    closed = w.store()
    os.makedirs(closed.models)
    os.chmod(closed.models, 0)
    w.fails("closed", ["ermission denied"], as_nobody(w, closed, "list", "--local"))
    w.fails("no right to make it", ["as user nobody"],
            as_nobody(w, absent(w), "pull", "--local", "--insecure", w.name))


def absent(w):
    """A store whose folder is to be made where the user may not."""
    store = w.store()
    store.models = os.path.join(w.folder, "not", "there")
    return store


@case
def read_only(w):
    store = w.store()
    put_model(store, "registry.ollama.ai", "library/one", [(MODEL, GGUF), (CONFIG, w.config)])
    with mounted(store.models, "--bind", store.models) as folder:
        if not folder or subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=False).returncode != 0:
            return
        w.works("list", store.run("list"))
        w.works("verify", store.run("verify", "--deep"))
        w.fails("pull", ["cannot write to the model store", "Read-only file system"],
                store.run("pull", "--insecure", w.name))
        w.fails("rm", ["Read-only file system"], store.run("rm", "one"))


@case
def planted(w):
    """Links under the names of temporary files, blobs, manifests and folders are not followed."""
    victim = os.path.join(w.folder, "victim")
    os.makedirs(victim)
    secret = os.path.join(victim, "secret")
    blob_name = "sha256-" + digest_of(w.blob)[7:]

    def plant(what, path, target):
        store = w.store()
        with open(secret, "wb") as f:
            f.write(b"untouched")
        place = os.path.join(store.models, path)
        os.makedirs(os.path.dirname(place))
        os.symlink(target, place)
        w.proxy.begin()
        code, text = store.run("pull", "--insecure", w.name)
        with open(secret, "rb") as f:
            w.checks.that(f.read() == b"untouched" and os.listdir(victim) == ["secret"], f"{what}: followed: {text}")
        if code == 0:
            w.checks.that(store.complaint() is None and not os.path.islink(place), f"{what}: {text}")
        else:
            w.fails(what, [], (code, text))

    plant("blob", f"blobs/{blob_name}", secret)
    plant("part", f"oll/part/{blob_name}", secret)
    plant("journal", f"oll/part/{blob_name}.journal", secret)
    plant("manifest", f"manifests/{w.proxy.name}/test/m/latest", secret)
    plant("folder of blobs", "blobs", victim)
    plant("folder of parts", "oll/part", victim)
    plant("own folder", "oll", victim)
    plant("folder of a name", f"manifests/{w.proxy.name}/test", victim)
    plant("lock", "oll/lock", secret)


@case
def reflink(w):
    """On btrfs a file is linked and exported without a copy and without sharing its fate."""
    image = os.path.join(w.folder, "image")
    if not shutil.which("mkfs.btrfs"):
        SKIPPED.append("btrfs (Debian package btrfs-progs)")
        return
    with open(image, "wb") as f:
        f.truncate(256 << 20)
    if subprocess.run(["mkfs.btrfs", "-q", image], capture_output=True, check=False).returncode != 0:
        SKIPPED.append("mkfs.btrfs failed")
        return
    with mounted(os.path.join(w.folder, "btrfs"), "-o", "loop", image) as folder:
        if not folder:
            return
        store, path = w.store(folder), os.path.join(folder, "file.gguf")
        gguf = GGUF + noise(60_000_000)
        with open(path, "wb") as f:
            f.write(gguf)
        os.sync()
        before = shutil.disk_usage(folder).used
        text = w.works("link", store.run("link", "--local", path, "m"))
        os.sync()
        grown = shutil.disk_usage(folder).used - before
        blob = os.path.join(store.models, "blobs", "sha256-" + digest_of(gguf)[7:])
        w.checks.that(grown < 10_000_000, f"a clone takes no room: {grown} bytes")
        w.checks.that(os.stat(blob).st_ino != os.stat(path).st_ino and "share their bytes" not in text, f"a clone: {text}")
        with open(path, "r+b") as f:
            f.write(b"other")
        w.works("the file is changed, the model is not", store.run("verify", "--deep"))
        out = os.path.join(folder, "out.gguf")
        w.works("export", store.run("export", "m", out))
        os.sync()
        grown = shutil.disk_usage(folder).used - before
        with open(out, "rb") as f:
            w.checks.that(f.read() == gguf and grown < 10_000_000, f"an export takes no room: {grown} bytes")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("oll")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    checks = Checks()
    with stage() as (folder, registry, proxy):
        for function in CASES:
            if args.only in function.__name__:
                n = checks.n
                function(World(args.oll, os.path.join(folder, function.__name__), registry, proxy, checks))
                print(f"{function.__name__}: {checks.n - n} checks", flush=True)
    for what in SKIPPED:
        print(f"SKIPPED: {what}")
    return checks.end()


sys.exit(main())
