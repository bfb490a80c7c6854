"""Runs `oll` on a model file and compares with expected numbers; shared by the scripts of this folder."""
import json
import math
import struct
import subprocess


def command(arguments):
    """Runs oll; its error line becomes the exception."""
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise RuntimeError("exit code %d: %s" % (done.returncode, done.stderr.strip()))
    return done.stdout


def read_npy(path):
    """Rows of an array [n, m] of f32."""
    with open(path, "rb") as f:
        data = f.read()
    (n_header,) = struct.unpack_from("<H", data, 8)
    header = data[10:10 + n_header].decode()
    shape = [int(d) for d in header[header.index("(") + 1:header.index(")")].split(",") if d.strip()]
    values = struct.unpack_from("<%df" % (shape[0] * shape[1]), data, 10 + n_header)
    return [values[i * shape[1]:(i + 1) * shape[1]] for i in range(shape[0])]


def logits(oll, model, tokens, out, device, *options):
    command([oll, "logits", model, "--tokens", ",".join(map(str, tokens)), "--out", out, "--devices", device]
            + list(options))
    return read_npy(out)


def embedding(oll, model, tokens, device, *options):
    text = command([oll, "embed", model, "--json", "--tokens", ",".join(map(str, tokens)), "--devices", device]
                   + list(options))
    return json.loads(text)["embeddings"][0]


def max_diff(a, b):
    assert len(a) == len(b), "%d values, expected %d" % (len(a), len(b))
    worst = max(abs(x - y) for x, y in zip(a, b))
    return math.inf if math.isnan(worst) else worst


def normalise(v):
    length = math.sqrt(sum(x * x for x in v))
    return [x / length for x in v]
