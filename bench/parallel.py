#!/usr/bin/env python3
"""Decoding of several sequences at depth: oll beside a llama-batched-bench, taking turns.

    parallel.py MODEL.gguf --peer PATH/llama-batched-bench --rows 0x1,128x4,2048x1 [options]

A row DxN decodes --tokens tokens of N sequences that have D positions behind them (the peer takes at least one). Every
round measures each row with both programs, the first one alternating; printed are medians, the median of the ratios of
the rounds with the smallest and the largest, and how many rounds oll won. A program that fails or is missing ends the
run with its last words and exit code 1.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile


def run(command):
    with tempfile.TemporaryDirectory() as folder:  # some peers leave a log where they run
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        sys.exit(f"Error: {command[0]} ended with {done.returncode}: {last}")
    return done


def oll_speed(args, depth, n_seq):
    done = run([args.oll, "bench", args.model, "-p", "0", "-n", str(args.tokens), "-d", str(depth), "-np", str(n_seq),
                "-t", str(args.threads), "-r", "1", "-o", "json"])
    return json.loads(done.stdout)[0]["avg_ts"]


def peer_speed(args, depth, n_seq):
    depth = max(depth, 1)
    n_ctx = (depth + args.tokens) * n_seq
    done = run([args.peer, "-m", args.model, "-c", str(n_ctx), "-b", "2048", "-ub", "512", "-npp", str(depth), "-ntg",
                str(args.tokens), "-npl", str(n_seq), "-t", str(args.threads), "-fa", args.flash_attention])
    out = done.stdout + done.stderr  # some builds print the table with their log
    for line in out.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split("|")]
        if len(cells) >= 10 and cells[0] == str(depth):
            return float(cells[7])
    sys.exit(f"Error: {args.peer} printed no row for {depth} positions; its output was:\n{out[-500:]}")


def row(text):
    depth, _, n_seq = text.partition("x")
    return int(depth), int(n_seq)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--peer", required=True)
    parser.add_argument("--oll", default="build/oll")
    parser.add_argument("--rows", required=True)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--flash-attention", default="on", help="the peer's value of -fa: on, or 1 for older ones")
    args = parser.parse_args()
    args.model, args.peer, args.oll = map(os.path.abspath, (args.model, args.peer, args.oll))
    rows = [row(text) for text in args.rows.split(",")]
    seen = {key: [] for key in rows}
    for n_round in range(args.rounds):
        for key in rows:
            turns = [oll_speed, peer_speed]
            speeds = {turn: turn(args, *key) for turn in (turns if n_round % 2 == 0 else reversed(turns))}
            seen[key].append((speeds[oll_speed], speeds[peer_speed]))
    print("| depth | sequences | oll t/s | peer t/s | ratio | won |\n|--:|--:|--:|--:|---|---|")
    for (depth, n_seq), pairs in seen.items():
        ours, theirs = (statistics.median(side) for side in zip(*pairs))
        ratios = sorted(a / b for a, b in pairs)
        won = sum(ratio > 1 for ratio in ratios)
        print(f"| {depth} | {n_seq} | {ours:.1f} | {theirs:.1f} | {statistics.median(ratios):.2f} "
              f"({ratios[0]:.2f} to {ratios[-1]:.2f}) | {won}/{len(pairs)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
