"""Time of a pull against that of `curl -o FILE && sync FILE` for the same blob of docker-registry, in pairs, one after the
other and the order changed from pair to pair.

    pull_speed.py OLL [--size BYTES] [--pairs N] [--folder DIR] [--under "COMMAND"]
"""

import argparse
import contextlib
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from harness import CONFIG, MODEL, Registry, Store, digest_of, noise

GOAL, GOAL_RSS = 1.25, 64 << 20


def seconds_of(command, env=None):
    """Wall time, peak resident set."""
    begin, peak = time.monotonic(), 0
    process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    # What wait4 tells counts this program's own memory, too, from before the other one was loaded.
    while process.poll() is None:
        with contextlib.suppress(OSError), open(f"/proc/{process.pid}/status", encoding="ascii") as f:
            peak = max([peak] + [int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM")])
        time.sleep(0.02)
    if process.returncode != 0:
        sys.exit(f"{command[0]}: exit code {process.returncode}")
    return time.monotonic() - begin, peak


def curl(folder, url):
    path = os.path.join(folder, "file")
    took = seconds_of(["sh", "-c", f"curl -s -o '{path}' '{url}' && sync '{path}'"])[0]
    os.remove(path)
    return took


def pull(oll, folder, name):
    store = Store(oll, os.path.join(folder, "store"))
    took = seconds_of([oll, "pull", "--local", "--insecure", name], store.env())
    shutil.rmtree(store.home)
    return took


def one_pair(oll, folder, url, name, i):
    """Both ways; what they took as one line of JSON."""
    if i % 2 == 0:
        a, (b, rss) = curl(folder, url), pull(oll, folder, name)
    else:
        (b, rss), a = pull(oll, folder, name), curl(folder, url)
    print(json.dumps([a, b, rss]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("oll")
    parser.add_argument("--size", type=int, default=2 << 30)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--folder", help="where the files go (default: a temporary folder)")
    parser.add_argument("--under", default="", help="command that each pair is run by, e.g. one that waits for silence")
    parser.add_argument("--pair", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.pair:
        one_pair(args.oll, *args.pair[:3], int(args.pair[3]))
        return 0
    folder = tempfile.mkdtemp(prefix="oll-speed-", dir=args.folder)
    ratios, peak = [], 0
    try:
        with Registry(os.path.join(folder, "registry")) as registry:
            blob = noise(args.size)
            url = f"http://127.0.0.1:{registry.port}/v2/test/m/blobs/{digest_of(blob)}"
            registry.put_model("test/m", [(MODEL, blob), (CONFIG, b"{}")])
            del blob
            for i in range(args.pairs):
                a, b, rss = json.loads(subprocess.check_output(
                    [*shlex.split(args.under), sys.executable, os.path.abspath(__file__), args.oll, "--pair", folder, url,
                     f"127.0.0.1:{registry.port}/test/m", str(i)]))
                ratios.append(b / a)
                peak = max(peak, rss)
                print(f"curl and sync {a:.2f} s, oll pull {b:.2f} s: {b / a:.2f}", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    median = statistics.median(ratios)
    print(f"median {median:.2f} ({min(ratios):.2f} to {max(ratios):.2f}; at most {GOAL}), "
          f"RSS {peak / (1 << 20):.1f} MiB (below {GOAL_RSS >> 20})")
    return 0 if median <= GOAL and peak < GOAL_RSS else 1


sys.exit(main())
