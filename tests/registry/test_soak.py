"""Several processes pull, copy, remove, prune, load, save and check on one store, at random, and some are killed; none may
find damage.

    test_soak.py OLL [--seconds N] [--workers N] [--seed N] [--kills SHARE]
"""

import argparse
import collections
import os
import random
import sys
import threading
import time

from harness import CONFIG, MODEL, SEED, Checks, Store, kill, noise, stage

SYSTEM = "application/vnd.ollama.image.system"
MODELS = 3
# What a command may say beside success when others are at work.
MAY_FAIL = ("not found", "is missing from the model store")


class Soak:
    def __init__(self, oll, folder, registry, proxy, checks, kills):
        self.kills = kills
        self.checks, self.host, self.counts, self.lock = checks, proxy.name, collections.Counter(), threading.Lock()
        self.store = Store(oll, os.path.join(folder, "store"))
        self.archive = os.path.join(folder, "archive.tar")
        shared, config = noise(3_000_000), b'{"model_format":"gguf"}'
        for i in range(MODELS):
            own = noise(200_000, i)
            registry.put_model(f"test/m{i}", [(MODEL, shared), (SYSTEM, own), (CONFIG, config)])
        code, text = self.store.run("pull", "--insecure", self.name(0))
        checks.that(code == 0, text)
        code, text = self.store.run("save", self.name(0), "-o", self.archive)
        checks.that(code == 0, text)

    def name(self, i):
        return f"{self.host}/test/m{i}"

    def command(self, pick):
        any_name = pick.choice([self.name(pick.randrange(MODELS)), f"copy{pick.randrange(3)}"])
        return pick.choice([
            ("pull", "--insecure", self.name(pick.randrange(MODELS))), ("pull", "--insecure", self.name(pick.randrange(MODELS))),
            ("cp", any_name, f"copy{pick.randrange(3)}"), ("rm", any_name), ("rm", any_name), ("prune", "--older", "0s"),
            ("load", self.archive), ("save", any_name, "-o", os.devnull, "--force"), ("verify", "--deep"), ("list",), ("du",),
        ])

    def work(self, seed, end):
        pick = random.Random(seed)
        while time.monotonic() < end:
            args = self.command(pick)
            if args[0] == "save":
                args = ("save", args[1], "-o", f"{self.archive}.{seed}", "--force")
            if pick.random() < self.kills:
                process = self.store.start(*args)
                time.sleep(pick.uniform(0, 0.15))
                kill(process)
                with self.lock:
                    self.counts["killed"] += 1
                continue
            code, text = self.store.run(*args)
            bad = code != 0 and not any(words in text for words in MAY_FAIL)
            bad = bad or (args[0] == "verify" and code != 0)
            with self.lock:
                self.counts[args[0]] += 1
                self.checks.that(not bad, f"{args}: exit code {code}: {text}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("oll")
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--kills", type=float, default=0.1, help="share of the commands that kill -9 ends")
    args = parser.parse_args()
    checks = Checks()
    with stage() as (folder, registry, proxy):
        soak = Soak(args.oll, folder, registry, proxy, checks, args.kills)
        end = time.monotonic() + args.seconds
        threads = [threading.Thread(target=soak.work, args=(args.seed + i, end)) for i in range(args.workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        checks.that(soak.store.complaint() is None, f"at the end: {soak.store.complaint()}")
        code, text = soak.store.run("verify", "--deep")
        checks.that(code == 0, f"at the end: {text}")
        code, text = soak.store.run("prune")
        checks.that(code == 0, f"at the end: {text}")
        left = [n for folder in ("oll/leases", "oll/tmp") for n in soak.store.files(folder)]
        checks.that(not left, f"left over: {left}")
        print(", ".join(f"{n} {command}" for command, n in sorted(soak.counts.items())))
    return checks.end()


sys.exit(main())
