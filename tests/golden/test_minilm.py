#!/usr/bin/env python3
"""all-MiniLM-L6-v2 through `oll embed`: test_minilm.py OLL SHARED.

Converts the safetensors of $OLL_TEST_MODELS/minilm (F32 and F16) and compares the vectors of the
golden sentences, given as text and as token ids, on every device.
"""
import json
import math
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SKIP = 77


def embed(oll, model, device, arguments, stdin=None):
    command = [oll, "embed", model, "--json", "--devices", device] + arguments
    done = subprocess.run(command, capture_output=True, input=stdin, text=True, timeout=120)
    if done.returncode != 0:
        raise RuntimeError("%s: %s" % (" ".join(command[:6]), done.stderr.strip()))
    return json.loads(done.stdout)["embeddings"][0]


def compare(label, got, expected, max_abs, cosine, failures):
    worst = max(abs(a - b) for a, b in zip(got, expected))
    length = math.sqrt(sum(a * a for a in got) * sum(b * b for b in expected))
    similar = sum(a * b for a, b in zip(got, expected)) / length
    ok = len(got) == len(expected) and worst <= max_abs and similar >= cosine
    print("%-4s %s: max %.2g of %.2g, cosine %.7f" % ("ok" if ok else "FAIL", label, worst, max_abs, similar))
    if not ok:
        failures.append(label)


def main():
    oll, shared = sys.argv[1:3]
    golden_path = os.path.join(shared, "data", "golden", "minilm-sentences.json")
    folder = os.path.join(os.environ.get("OLL_TEST_MODELS", ""), "minilm")
    if not os.path.exists(os.path.join(folder, "model.safetensors")) or not os.path.exists(golden_path):
        print("SKIPPED: minilm/model.safetensors (OLL_TEST_MODELS) or %s is absent" % golden_path)
        return SKIP
    with open(golden_path, encoding="utf-8") as f:
        golden = json.load(f)
    failures = []
    with tempfile.TemporaryDirectory() as work:
        for kind in ("f32", "f16"):
            model = os.path.join(work, "minilm-%s.gguf" % kind)
            subprocess.run([sys.executable, os.path.join(HERE, "convert_minilm.py"), folder, model]
                           + (["f16"] if kind == "f16" else []), check=True)
            bound = golden["tolerance"]["normalised_max_abs_" + kind]
            for device in ("cpu", "ref"):
                for i, s in enumerate(golden["sentences"]):
                    if device == "ref" and (kind == "f16" or len(s["tokens"]) > 256):
                        continue
                    text = s["text"]
                    if text is None:
                        with open(os.path.join(shared, "data", "golden", s["text_file"]), encoding="utf-8") as f:
                            text = f.read()
                    ways = {"text": (["--ctx", str(s["max_length"])], text),
                            "ids": (["--tokens", ",".join(map(str, s["tokens"]))], None)}
                    for way, (arguments, stdin) in ways.items():
                        got = embed(oll, model, device, arguments, stdin)
                        compare("sentence %d, %s, %s, %s" % (i, kind, device, way), got, s["normalised"], bound,
                                golden["tolerance"]["cosine"], failures)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
