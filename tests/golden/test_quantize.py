"""oll create -q on a real model: SmolLM2, decoded to F16, quantised; the loss on a text before and after.

    test_quantize.py OLL SHARED        needs OLL_TEST_MODELS
"""

import array
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

import gguf_file

SKIPPED = 77
MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
PIECE = 1 << 20
# Most that the perplexity may grow. Rows of 576 values hold no whole K-block: most tensors become Q5_0.
TARGETS = {"F16": 1.0001, "q8_0": 1.01, "q4_K_M": 1.06}


def to_f16(oll, source, out, folder):
    metadata, tensors = gguf_file.read(source)
    decoded = os.path.join(folder, "tensor.npy")
    for name, tensor in tensors.items():
        if tensor.kind == gguf_file.TYPE_F32:
            continue
        subprocess.run([oll, "gguf", "dump", source, "--tensor", name, "--out", decoded], check=True, stdout=subprocess.DEVNULL)
        with open(decoded, "rb") as f:
            data = f.read()
        values = array.array("f")
        values.frombytes(data[10 + struct.unpack_from("<H", data, 8)[0]:])
        pieces = [values[i:i + PIECE] for i in range(0, len(values), PIECE)]
        tensors[name] = gguf_file.Tensor(tensor.shape, gguf_file.TYPE_F16,
                                         b"".join(struct.pack(f"<{len(p)}e", *p) for p in pieces))
    metadata["general.file_type"] = (gguf_file.U32, 1)
    metadata.pop("general.quantization_version", None)
    gguf_file.write(out, metadata, tensors)


def main():
    oll, shared = sys.argv[1:3]
    source = os.path.join(os.environ.get("OLL_TEST_MODELS", ""), MODEL)
    text = os.path.join(shared, "data", "golden", "real-text.txt")
    if not os.path.exists(source) or not os.path.exists(text):
        print(f"SKIPPED: no {MODEL} in OLL_TEST_MODELS, or no shared data")
        return SKIPPED
    folder, failed = tempfile.mkdtemp(prefix="oll-quantize-"), 0
    env = {**os.environ, "HOME": folder, "OLLAMA_MODELS": os.path.join(folder, "models")}

    def run(*args):
        done = subprocess.run([oll, *args], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{args}: {done.stderr}")
        return done.stdout

    try:
        f16 = os.path.join(folder, "f16.gguf")
        to_f16(oll, source, f16, folder)
        modelfile = os.path.join(folder, "Modelfile")
        with open(modelfile, "w", encoding="utf-8") as f:
            f.write(f"FROM {f16}\n")
        before = json.loads(run("perplexity", f16, text))["ppl"]
        for target, most in TARGETS.items():
            run("create", "--local", "-q", target, "-f", modelfile, target)
            after = json.loads(run("perplexity", target, text))["ppl"]
            ok = after <= before * most
            failed += not ok
            print(f"{'ok    ' if ok else 'FAILED'} {target}: perplexity {after:.4f}, {before:.4f} before ({after / before:.4f})")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed else 0


sys.exit(main())
