#!/usr/bin/env python3
"""LoRA adapters: test_adapter.py OLL SHARED.

An adapter of random matrices on a golden model gives the logits of the same model with B A added to its matrices here,
in Python. Adapters that do not fit are refused with a text that says why.
"""
import os
import random
import sys
import tempfile

import golden_run
import gguf_file as gguf

TOKENS = [1, 17, 42, 99, 7, 250, 3, 3, 180, 61, 12]
ALPHA, RANK = 6.0, 4

# Model, adapted matrices (of every layer), what it stands for.
CASES = [
    ("llama", ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"], "all of a dense layer"),
    ("qwen2", ["attn_q", "attn_v"], "some of a group, with biases"),
    ("phi3", ["attn_qkv", "ffn_up"], "matrices that the file holds as one"),
    ("gemma2", ["attn_output", "ffn_down"], "a norm between matrix and stream"),
    ("gpt2", ["attn_qkv", "ffn_up", "ffn_down"], "no gate"),
    ("granite", ["attn_output", "ffn_down", "attn_q"], "scaled branches"),
    ("bert", ["attn_q", "attn_v", "ffn_up"], "an encoder"),
]


def metadata(architecture, **changes):
    meta = {"general.architecture": (gguf.STRING, architecture), "general.type": (gguf.STRING, "adapter"),
            "adapter.type": (gguf.STRING, "lora"), "adapter.lora.alpha": (gguf.F32, ALPHA)}
    for key, value in changes.items():
        key = key.replace("__", ".")
        if value is None:
            del meta[key]
        else:
            meta[key] = (meta[key][0], value)
    return meta


def random_floats(rng, shape, scale):
    n = shape[0] * shape[1]
    return gguf.floats([rng.gauss(0, scale) for _ in range(n)], shape)


def make_pair(rng, base, rank=RANK):
    """(lora_a, lora_b) for a matrix [n_out, n_in]; the change is of the size of the matrix."""
    n_out, n_in = base.shape
    return random_floats(rng, (rank, n_in), n_in ** -0.5), random_floats(rng, (n_out, rank), 0.5)


def merged(base, a, b):
    n_out, n_in = base.shape
    rank = a.shape[0]
    w, va, vb = (gguf.unpack_floats(t) for t in (base, a, b))
    out = []
    for o in range(n_out):
        row = w[o * n_in:(o + 1) * n_in]
        for r in range(rank):
            f = ALPHA / rank * vb[o * rank + r]
            row = [x + f * y for x, y in zip(row, va[r * n_in:(r + 1) * n_in])]
        out += row
    return gguf.floats(out, base.shape)


def compare(oll, folder, model, names):
    """Worst differences on ref and cpu, and how far the adapter moved the numbers."""
    rng = random.Random(model)
    path = os.path.join(folder, model + ".gguf")
    meta, tensors = gguf.read(path)
    adapter, changed = {}, dict(tensors)
    for name, base in tensors.items():
        if name.startswith("blk.") and name.split(".")[2] in names and name.endswith(".weight"):
            a, b = make_pair(rng, base)
            adapter[name + ".lora_a"], adapter[name + ".lora_b"] = a, b
            changed[name] = merged(base, a, b)
    assert adapter
    with tempfile.TemporaryDirectory() as tmp:
        lora, merge, out = (os.path.join(tmp, n) for n in ("lora.gguf", "merged.gguf", "x.npy"))
        gguf.write(lora, metadata(meta["general.architecture"][1]), adapter)
        gguf.write(merge, meta, changed)

        def run(file, device, *options):
            if model == "bert":
                return [golden_run.embedding(oll, file, TOKENS, device, *options)]
            return golden_run.logits(oll, file, TOKENS, out, device, *options)

        want, plain = run(merge, "ref"), run(path, "ref")
        moved = max(golden_run.max_diff(x, y) for x, y in zip(want, plain))
        worst = [max(golden_run.max_diff(x, y) for x, y in zip(want, run(path, device, "--adapter", lora, *options)))
                 for device, options in (("ref", ()), ("cpu", ()), ("ref", ("--batch", "3")))]
    return worst, moved


def check_refusals(oll, folder):
    """Texts of adapters that do not fit llama."""
    rng = random.Random(5)
    path = os.path.join(folder, "llama.gguf")
    _, tensors = gguf.read(path)
    name = "blk.0.attn_q.weight"
    a, b = make_pair(rng, tensors[name])
    wide = random_floats(rng, (RANK, a.shape[1] + 32), 1)
    whole = {name + ".lora_a": a, name + ".lora_b": b}
    cases = [
        (metadata("qwen2"), whole, "general.architecture is qwen2, expected llama"),
        (metadata("llama", general__type="model"), whole, "general.type is model, expected adapter"),
        (metadata("llama", general__type=None), whole, "general.type is missing, expected adapter"),
        (metadata("llama", adapter__type="dora"), whole, "adapter.type is dora, expected lora"),
        (metadata("llama", adapter__lora__alpha=None), whole, "adapter.lora.alpha is missing"),
        (metadata("llama"), {name + ".lora_a": a}, "has lora_a alone"),
        (metadata("llama"), {name + ".lora_a": wide, name + ".lora_b": b}, "adapter does not fit base: tensor " + name),
        (metadata("llama"), dict(whole, **{"blk.77.attn_q.weight.lora_a": a}), "tensor blk.77.attn_q.weight.lora_a"),
        (metadata("llama"), {"token_embd.weight.lora_a": a, "token_embd.weight.lora_b": b},
         "tensor token_embd.weight.lora_a"),
    ]
    failed = 0
    with tempfile.TemporaryDirectory() as tmp:
        lora = os.path.join(tmp, "lora.gguf")
        for meta, adapter, text in cases:
            gguf.write(lora, meta, adapter)
            try:
                golden_run.logits(oll, path, [1], os.path.join(tmp, "x.npy"), "ref", "--adapter", lora)
                found = "no error"
            except RuntimeError as error:
                found = str(error)
            if text not in found or lora.split("/")[-1] not in found and "fit" not in found:
                print("FAILED %r: %s" % (text, found))
                failed += 1
    print("%d refusals, %d failed" % (len(cases), failed))
    return failed


def main():
    oll, shared = sys.argv[1:]
    folder = os.path.join(shared, "data", "golden")
    if not os.path.isdir(folder):
        print("SKIP: %s is absent" % folder)
        return 77
    failed = check_refusals(oll, folder)
    for model, names, what in CASES:
        worst, moved = compare(oll, folder, model, names)
        ok = max(worst) < 2e-4 and moved > 0.05
        failed += not ok
        print("%-6s %-8s %s: differs by %s, the adapter moves by %.2g" %
              ("ok" if ok else "FAILED", model, what, " ".join("%.1e" % w for w in worst), moved))
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
