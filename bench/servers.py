#!/usr/bin/env python3
"""Compares `oll serve` with llama.cpp's server on one file, with as many slots and threads, in turn.

    bench/servers.py --oll OLL --peer LLAMA-SERVER MODEL.gguf rows -c 16 [-p 250] [-n 64] [--rounds 3]
    bench/servers.py --oll OLL --peer LLAMA-SERVER MODEL.gguf load [--rounds 5]

rows   `oll bench server` against both, which stay up: prompts differ from the first token on, replies are as long as asked.
load   the time from the start of the program, its file in the page cache, to the first token of a short prompt.

Speculation is off. One line per run as CSV, then medians and their ratio (and the smallest and largest of the pairs).
"""

import argparse
import contextlib
import csv
import http.client
import io
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time

START_S = 120


def free_port():
    with contextlib.closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Served:
    """A server of one kind, as a context; its output is dropped."""

    def __init__(self, args, kind, folder):
        self.kind, self.port = kind, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = dict(os.environ)
        if kind == "oll":
            self.argv = [args.oll, "serve", "--model", f"m={args.model}"]
            self.env.update(OLLAMA_HOST=f"127.0.0.1:{self.port}", OLLAMA_MODELS=folder, OLLAMA_KEEP_ALIVE="1h",
                            OLLAMA_NUM_PARALLEL=str(args.slots), OLLAMA_CONTEXT_LENGTH=str(args.context),
                            OLL_SPECULATE="0")
        else:
            self.argv = [args.peer, "-m", args.model, "-t", str(args.threads), "-np", str(args.slots),
                         "-c", str(args.slots * args.context), "--port", str(self.port)]

    def __enter__(self):
        self.process = subprocess.Popen(self.argv, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self

    def __exit__(self, kind, value, traceback):
        self.process.terminate()
        self.process.wait()

    def first_token(self):
        """Asks until there is an answer of one token."""
        body = json.dumps({"model": "m", "prompt": "Hello", "max_tokens": 1, "temperature": 0})
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_S)) as connection:
                try:
                    connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
                    if connection.getresponse().status == 200:
                        return
                except OSError:
                    pass
            time.sleep(0.002)
        sys.exit(f"{self.kind}: no answer within {START_S} s")


def bench(args, served, clients):
    run = subprocess.run([args.oll, "bench", "server", served.url, "--api", "openai", "-p", str(args.p), "-n", str(args.n),
                          "-c", str(clients), "-r", str(max(2, args.requests * clients)), "-o", "csv"],
                         capture_output=True, text=True, check=True)
    return list(csv.DictReader(io.StringIO(run.stdout)))[-1]


def report(name, ours, theirs):
    ratios = [a / b for a, b in zip(ours, theirs)]
    print(f"# {name}: oll {statistics.median(ours):.1f}, peer {statistics.median(theirs):.1f}, "
          f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)


def rows(args, folder):
    with Served(args, "oll", folder) as oll, Served(args, "peer", folder) as peer:
        for served in (oll, peer):
            served.first_token()
        found = {"oll": [], "peer": []}
        for k in range(args.rounds):
            for served in (oll, peer) if k % 2 == 0 else (peer, oll):
                row = bench(args, served, args.c)
                found[served.kind].append(row)
                print(served.kind, ",".join(f"{key}={value}" for key, value in row.items()), flush=True)
    for key in args.keys.split(","):
        if key in found["oll"][0]:
            report(f"{args.c} clients, {key}", *([float(row[key]) for row in found[kind]] for kind in ("oll", "peer")))


def load(args, folder):
    found = {"oll": [], "peer": []}
    for k in range(args.rounds + 1):
        for kind in ("oll", "peer"):
            begin = time.monotonic()
            with Served(args, kind, folder) as served:
                served.first_token()
                ms = (time.monotonic() - begin) * 1000
            if k > 0:  # the first one warms the page cache
                found[kind].append(ms)
                print(f"{kind},{ms:.0f}", flush=True)
    report("start to first token, ms", found["oll"], found["peer"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("test", choices=("rows", "load"))
    parser.add_argument("--oll", default="build/oll")
    parser.add_argument("--peer", required=True, help="llama-server")
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the peer; oll takes all cores")
    parser.add_argument("--context", type=int, default=1024, help="tokens of a slot")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=2, help="per client and round")
    parser.add_argument("--keys", default="output_ts,first_p50_ms,first_p95_ms", help="columns that are compared")
    parser.add_argument("-c", type=int, default=1, help="clients")
    parser.add_argument("-p", type=int, default=250, help="words of a prompt")
    parser.add_argument("-n", type=int, default=64, help="tokens of a reply")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (rows if args.test == "rows" else load)(args, folder)


if __name__ == "__main__":
    main()
