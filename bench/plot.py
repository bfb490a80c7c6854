#!/usr/bin/env python3
"""Draws what `oll bench -o json` or `-o jsonl` wrote: speed and share of the roofline against depth, and against the
number of sequences where there are several.

    oll bench 1b.gguf -d 0,2048,8192 -np 1,2,4,8 -o json > 1b.json
    bench/plot.py 1b.json [MORE.json...] [--out plots.png]

Needs matplotlib. Files of llama-bench can be drawn, too; they have no roofline.
"""

import argparse
import json
import os
import sys


def die(text):
    print(f"Error: {text}", file=sys.stderr)
    sys.exit(1)


def read_rows(path):
    """Rows of a JSON array, or of one object a line."""
    try:
        with open(path, encoding="utf-8") as f:
            text = f.read()
    except OSError as e:
        die(f"{path}: {e.strerror}")
    try:
        rows = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines() if line.strip()]
    except json.JSONDecodeError as e:
        die(f"{path}: line {e.lineno}: {e.msg}")
    if not all(isinstance(row, dict) and "avg_ts" in row for row in rows):
        die(f"{path}: no results of oll bench")
    return rows


def kind_of(row):
    """What is measured, without depth and number of sequences: "pp512", "tg128"."""
    parts = [f"pp{row['n_prompt']}" if row.get("n_prompt") else "", f"tg{row['n_gen']}" if row.get("n_gen") else ""]
    return "+".join(part for part in parts if part)


def label_of(row, extra=""):
    return f"{row['model_type']}, {kind_of(row)}, {row['n_threads']} threads{extra}"


def median_of(row):
    return row.get("median_ts") or row["avg_ts"]


def series(rows, x_key, label):
    """{label: sorted [(x, row)]} of the lines that have more than one point; the last of equal points counts."""
    lines = {}
    for row in rows:
        lines.setdefault(label(row), {})[row.get(x_key) or 0] = row
    return {name: sorted(points.items()) for name, points in lines.items() if len(points) > 1}


def panels(rows):
    """(title, x title, lines) of each figure row that has something to show."""
    depth = series(rows, "n_depth", lambda r: label_of(r, f", {r['n_parallel']} sequences" if r.get("n_parallel", 1) > 1 else ""))
    generated = [row for row in rows if row.get("n_gen") and not row.get("n_prompt")]
    parallel = series(generated, "n_parallel", lambda r: label_of(r, f" at depth {r['n_depth']}" if r.get("n_depth") else ""))
    found = [("depth", "positions before", depth), ("sequences", "sequences at once", parallel)]
    return [panel for panel in found if panel[2]]


def draw_line(axes, name, points, share):
    known = [(x, row) for x, row in points if not share or row.get("roofline")]
    if not known:
        return
    xs = [x for x, _ in known]
    ys = [100 * row["roofline"] if share else median_of(row) for _, row in known]
    if share:
        axes.plot(xs, ys, marker="o", label=name)
        return
    spread = [[y - (row.get("min_ts") or y) for y, (_, row) in zip(ys, known)],
              [(row.get("max_ts") or y) - y for y, (_, row) in zip(ys, known)]]
    axes.errorbar(xs, ys, yerr=spread, marker="o", capsize=3, label=name)


def draw(plt, found, out):
    figure, grid = plt.subplots(len(found), 2, figsize=(14, 5 * len(found)), squeeze=False)
    for (title, x_title, lines), (speed, share) in zip(found, grid):
        for name, points in lines.items():
            draw_line(speed, name, points, False)
            draw_line(share, name, points, True)
        for axes, y_title in ((speed, "tokens per second (median, smallest to largest)"), (share, "% of the roofline")):
            axes.set(title=f"against {title}", xlabel=x_title, ylabel=y_title)
            axes.set_ylim(bottom=0)
            axes.grid(alpha=0.3)
        speed.legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(out, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--out", default="bench.png", help="picture to write: .png, .svg, .pdf (default bench.png)")
    args = parser.parse_args()
    rows = [row for path in args.files for row in read_rows(path)]
    found = panels(rows)
    if not found:
        die("every line has one point only: measure several depths (-d 0,2048,8192) or numbers of sequences (-np 1,2,4)")
    try:
        import matplotlib
    except ImportError:
        die("matplotlib is missing: install it (python3 -m pip install matplotlib, or Debian's python3-matplotlib)")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    draw(plt, found, args.out)
    print(f"{args.out}: {', '.join(os.path.basename(path) for path in args.files)}")


if __name__ == "__main__":
    main()
