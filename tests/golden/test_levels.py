#!/usr/bin/env python3
"""Levels of instructions agree to the bit: test_levels.py OLL SHARED.

Quantised matrices are multiplied in integers, and sums of floats are added in one order whatever the width of the
vectors, so a model answers the same on every x86 machine that has AVX2. (Matrices of F32, F16 and BF16 keep two sums
with AVX-512 and one without: there the last bits may differ.)
"""
import glob
import json
import os
import subprocess
import sys
import tempfile

LEVELS = ["avx2", "avxvnni", "avx512", "avx512vnni"]
FLAGS = {"avx_vnni", "avx512f"}
REAL = [("SmolLM2-135M-Instruct.Q4_1.gguf", "real-smollm2.json"),
        ("gemma-3-270m-q4_k_m.gguf", "real-gemma3-270m.json")]


def processor_flags():
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("flags"):
                return set(line.split(":")[1].split())
    return set()


def models(shared):
    """(file, tokens) of dense quantised models; a router of experts is a matrix of F32."""
    golden = os.path.join(shared, "data/golden")
    for path in sorted(glob.glob(os.path.join(golden, "llama-*q*.gguf"))):
        with open(path[:-5] + ".json") as f:
            yield path, json.load(f)["sequences"][-1]["tokens"]
    folder = os.environ.get("OLL_TEST_MODELS", "")
    for name, expected in REAL:
        path = os.path.join(folder, name)
        if os.path.exists(path):
            with open(os.path.join(golden, expected)) as f:
                yield path, json.load(f)["perplexity"]["tokens"][:90]


def logits(oll, model, tokens, level, out):
    subprocess.run([oll, "logits", model, "--tokens", ",".join(map(str, tokens)), "--out", out, "--devices", "cpu",
                    "--kv", "f16"], env=dict(os.environ, OLL_CPU_ISA=level), check=True, timeout=300)
    with open(out, "rb") as f:
        return f.read()


def main():
    oll, shared = sys.argv[1], sys.argv[2]
    flags = processor_flags()
    cases = list(models(shared)) if os.path.isdir(shared) else []
    if "avx2" not in flags or not flags & FLAGS or not cases:
        print("SKIPPED: this processor has one level of instructions, or the golden models are absent")
        return 77
    n_failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for path, tokens in cases:
            results = {level: logits(oll, path, tokens, level, os.path.join(folder, "x.npy")) for level in LEVELS}
            different = [level for level in LEVELS if results[level] != results[LEVELS[0]]]
            if different:
                n_failed += 1
                print("%s: %s differ from %s" % (os.path.basename(path), ", ".join(different), LEVELS[0]))
    print("%d models, %d levels, %d models differ" % (len(cases), len(LEVELS), n_failed))
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
