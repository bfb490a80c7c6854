"""kill -9 and failing calls at every step that changes the disk, in a build with OLL_FAULTS; kill -9 at random moments
in any build.

    test_crash.py OLL [--random N] [--size BYTES]

After each: no file under a blob's name has wrong bytes, every manifest has its blobs or is the old one whole; then the
same command succeeds.
"""

import argparse
import json
import os
import random
import shutil
import struct
import sys
import time

from harness import CONFIG, MODEL, SEED, Checks, Store, digest_of, kill, noise, stage

ANNOUNCEMENT = "fault: a call to the disk failed on purpose"
SYSTEM = "application/vnd.ollama.image.system"


class Command:
    """What is run under faults, on a store that `prepare` has made."""

    def __init__(self, name, prepare, args, done, again=True, damaged=False):
        self.name, self.prepare, self.args, self.done, self.again = name, prepare, args, done, again
        self.damaged = damaged  # it begins with a store that has something to complain of

    def complaint(self, store):
        return None if self.damaged else store.complaint()


class Move(Command):
    """The store goes to another folder: at every moment one of the two has each model whole."""

    @staticmethod
    def new(store):
        place = Store(store.oll, store.home)
        place.models = os.path.join(store.home, "new")
        return place

    def complaint(self, store):
        new = self.new(store)
        missing = [] if store.files("manifests") or new.files("manifests") else ["no model anywhere"]
        return "; ".join(missing + [text for text in (store.complaint(), new.complaint()) if text]) or None


def small_gguf():
    """A model file of two tensors of F32, as far as it must be one to be taken in and quantised."""
    def text(s):
        return struct.pack("<Q", len(s)) + s

    names = [b"token_embd.weight", b"blk.0.attn_v.weight"]
    head = b"GGUF" + struct.pack("<IQQ", 3, len(names), 2)
    head += text(b"general.architecture") + struct.pack("<I", 8) + text(b"llama")
    head += text(b"general.file_type") + struct.pack("<II", 4, 0)
    for i, name in enumerate(names):
        head += text(name) + struct.pack("<IQQIQ", 2, 256, 8, 0, i * 8192)
    return head + bytes(-len(head) % 32) + struct.pack("<4096f", *(i % 97 / 97 for i in range(4096)))


def every_step(oll, folder, command, checks):
    counts = {}
    for kind in ("kill", "half", "EIO", "ENOSPC"):
        n, met = 1, True
        while met:
            store = Store(oll, os.path.join(folder, "s"))
            shutil.rmtree(store.home, ignore_errors=True)
            os.makedirs(store.models)
            command.prepare(store)
            code, text = store.run(*command.args, OLL_FAULT_DISK=f"{n}:{kind}")
            met = ANNOUNCEMENT in text
            what = f"{command.name}, {kind} at step {n}"
            expected = (-9,) if met and kind in ("kill", "half") else (0, 1) if met else (0,)
            checks.that(code in expected, f"{what}: exit code {code}: {text}")
            checks.that(command.complaint(store) is None, f"{what}: {command.complaint(store)}")
            if code == 1 and not command.damaged:
                checks.that(sum(line.startswith("Error: ") for line in text.splitlines()) == 1, f"{what}: {text}")
            if code == 0:
                checks.that(command.done(store), f"{what}: success, but not done: {text}")
            elif command.again or not command.done(store):
                code, text = store.run(*command.args)
                checks.that(code == 0 and command.done(store), f"{what}, again: exit code {code}: {text}")
                checks.that(store.complaint() is None, f"{what}, again: {store.complaint()}")
                checks.that(command.complaint(store) is None, f"{what}, again: {command.complaint(store)}")
            n += met
        counts[kind] = n - 1
    print(f"{command.name}: " + ", ".join(f"{v} steps by {k}" for k, v in counts.items()), flush=True)


def compound(oll, folder, command, checks, seed):
    """Crashes during the recovery from a crash."""
    pick = random.Random(seed)
    store = Store(oll, os.path.join(folder, "s"))
    for i in range(20):
        shutil.rmtree(store.home, ignore_errors=True)
        os.makedirs(store.models)
        command.prepare(store)
        for _ in range(3):
            store.run(*command.args, OLL_FAULT_DISK=f"{pick.randint(1, 60)}:{pick.choice(('kill', 'half'))}")
            checks.that(store.complaint() is None, f"{command.name}, crash in a crash {i}: {store.complaint()}")
        if command.again or not command.done(store):
            code, text = store.run(*command.args)
            checks.that(code == 0 and command.done(store) and store.complaint() is None,
                        f"{command.name}, crash in a crash {i}: {text}")


def at_random(oll, folder, registry, proxy, checks, n):
    """kill -9 of a pull at random moments until it is through."""
    pick, size = random.Random(SEED), 60_000_000
    blob = noise(size, 5)
    registry.put_model("test/big", [(MODEL, blob), (CONFIG, b"{}")])
    kills = rounds = fetched = 0
    while kills < n:
        store = Store(oll, os.path.join(folder, f"random{rounds}"))
        rounds += 1
        proxy.begin(lambda e: {"pace": 0.0005} if e.is_blob else None)
        code = None
        while code != 0 and kills < n + 20:
            process = store.start("pull", "--insecure", f"{proxy.name}/test/big")
            time.sleep(pick.uniform(0.02, 0.6))
            code = process.poll()
            if code is None:
                kill(process)
                kills += 1
            else:
                text = process.communicate()[0]
                checks.that(code == 0, f"random kill: {text}")
                if code != 0:
                    break
            checks.that(store.complaint() is None, f"random kill: {store.complaint()}")
        fetched += sum(e.sent for e in proxy.blobs())
        shutil.rmtree(store.home, ignore_errors=True)
    print(f"{kills} kills at random moments, {rounds} downloads of {size} bytes, {fetched} bytes sent in all", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("oll")
    parser.add_argument("--only", default="", help="commands whose name has this in it")
    parser.add_argument("--random", type=int, default=8, help="kills at random moments")
    parser.add_argument("--size", type=int, default=150_000, help="of the blob; each 16 KiB are a step or so")
    args = parser.parse_args()
    checks = Checks()
    with stage() as (folder, registry, proxy):
        blob, config = noise(args.size), json.dumps({"model_format": "gguf"}).encode()
        registry.put_model("test/m", [(MODEL, blob), (SYSTEM, b"one"), (CONFIG, config)])
        registry.put_model("test/old", [(MODEL, blob), (SYSTEM, b"two"), (CONFIG, config)])
        name = f"{proxy.name}/test/m"
        proxy.begin()
        ready = Store(args.oll, os.path.join(folder, "ready"))
        code, text = ready.run("pull", "--insecure", name)
        checks.that(code == 0, text)
        probe = Store(args.oll, os.path.join(folder, "probe"))
        faults = ANNOUNCEMENT in probe.run("pull", "--insecure", name, OLL_FAULT_DISK="1:EIO")[1]

        def copy_ready(store):
            shutil.rmtree(store.models)
            shutil.copytree(ready.models, store.models)

        def has(model):
            path = os.path.join("manifests", *model.replace(":latest", "").split("/"), "latest")
            return lambda store: os.path.exists(os.path.join(store.models, path))

        full = has(name)

        def older(store):
            """The name holds another model, whose blob for the system text is to go."""
            copy_ready(store)
            path = os.path.join(store.models, "manifests", proxy.name, "test", "m", "latest")
            registry_text = registry.call("GET", "/v2/test/old/manifests/latest", headers={
                "Accept": "application/vnd.docker.distribution.manifest.v2+json"})[1]
            for layer in json.loads(registry_text)["layers"]:
                data = registry.call("GET", f"/v2/test/old/blobs/{layer['digest']}")[1]
                with open(os.path.join(store.models, "blobs", layer["digest"].replace(":", "-")), "wb") as f:
                    f.write(data)
            with open(path, "wb") as f:
                f.write(registry_text)

        archive = os.path.join(folder, "archive.tar")
        code, text = ready.run("save", name, "-o", archive)
        checks.that(code == 0, text)

        def damaged(store):
            """One blob holds something else, one is missing."""
            copy_ready(store)
            paths = sorted((os.path.join(store.models, n) for n in store.files("blobs")), key=os.path.getsize)
            with open(paths[-1], "r+b") as f:
                f.write(b"?")
            os.remove(paths[0])

        model, modelfile = os.path.join(folder, "small.gguf"), os.path.join(folder, "Modelfile")
        with open(model, "wb") as f:
            f.write(small_gguf())
        with open(modelfile, "w", encoding="utf-8") as f:
            f.write(f"FROM {model}\nSYSTEM three\nPARAMETER seed 1\n")

        def unused(store):
            """A blob that nothing names, and what is left of a download; both of long ago."""
            copy_ready(store)
            path = os.path.join(store.models, "blobs", digest_of(b"unused").replace(":", "-"))
            with open(path, "wb") as f:
                f.write(b"unused")
            os.utime(path, (1, 1))
            part = os.path.join(store.models, "oll", "part")
            os.makedirs(part, exist_ok=True)
            for name in ("sha256-" + "0" * 64, "sha256-" + "0" * 64 + ".journal"):
                with open(os.path.join(part, name), "wb"):
                    pass
                os.utime(os.path.join(part, name), (1, 1))

        commands = [
            Command("create, quantised", lambda store: None, ("create", "made", "-f", modelfile, "-q", "q8_0"),
                    has("registry.ollama.ai/library/made")),
            Command("link", lambda store: None, ("link", model, "linked"), has("registry.ollama.ai/library/linked")),
            Command("prune", unused, ("prune",),
                    lambda store: len(store.files("blobs")) == 3 and not store.files("oll/part")),
            Command("pull", lambda store: None, ("pull", "--insecure", name), full),
            Command("pull over an older model", older, ("pull", "--insecure", name), full),
            Command("cp", copy_ready, ("cp", name, "two"), has("registry.ollama.ai/library/two")),
            Command("rm", copy_ready, ("rm", name), lambda store: not full(store), again=False),
            Command("verify --repair", damaged, ("verify", "--deep", "--repair", "--insecure"),
                    lambda store: store.complaint() is None, damaged=True),
            Command("load", lambda store: None, ("load", archive), full),
            Move("store move", copy_ready, ("store", "move", os.path.join(folder, "s", "new")),
                 lambda store: full(Move.new(store)) and not store.files("blobs")),
            Command("push", copy_ready, ("push", "--insecure", name), full),
        ]
        if faults:
            for command in (c for c in commands if args.only in c.name):
                every_step(args.oll, folder, command, checks)
            compound(args.oll, folder, next(c for c in commands if c.name == "pull"), checks, SEED)
        else:
            print("no build with OLL_FAULTS: the steps are not tested, random moments alone")
        at_random(args.oll, folder, registry, proxy, checks, args.random)
    return checks.end()


sys.exit(main())
