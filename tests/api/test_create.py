"""/api/create beyond what was recorded: split files, adapters, drafts, projectors, safetensors, progress, hostile requests.

    test_create.py OLL SHARED
"""

import json
import os
import struct
import subprocess
import sys
import tempfile

from served import Checks, Server, skip

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
from gguf_lite import Gguf  # noqa: E402


def text(s):
    return struct.pack("<Q", len(s)) + s


def pair(key, value):
    """A metadata pair of a string, an integer (u32) or a float."""
    kind, data = {str: (8, lambda: text(value.encode())), int: (4, lambda: struct.pack("<I", value)),
                  float: (6, lambda: struct.pack("<f", value))}[type(value)]
    return text(key.encode()) + struct.pack("<I", kind) + data()


def write_gguf(pairs, tensors):
    """`tensors`: name -> (ne, type, bytes)."""
    infos, data = b"", b""
    for name, (ne, kind, values) in tensors.items():
        infos += text(name.encode()) + struct.pack("<I", len(ne)) + b"".join(struct.pack("<Q", d) for d in ne)
        infos += struct.pack("<IQ", kind, len(data))
        data += values + bytes(-len(values) % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs)) + b"".join(pair(*p) for p in pairs) + infos
    return head + bytes(-len(head) % 32) + data


def layers(server, name, tag="latest"):
    path = os.path.join(server.models, "manifests", "registry.ollama.ai", "library", name, tag)
    with open(path, "rb") as f:
        return [(layer["mediaType"].rpartition(".")[2], layer) for layer in json.load(f)["layers"]]


def create(server, model, **fields):
    return server.post("/api/create", {"model": model, "stream": False, **fields})


def blob(server, digest):
    return os.path.join(server.models, "blobs", digest.replace(":", "-"))


def check_split(checks, server, base):
    """Parts become one file with the tensors of all."""
    names = list(base.tensors)
    scalars = [(k, v) for k, v in base.meta.items() if type(v) in (str, int, float) and k != "general.alignment"]
    half = len(names) // 2
    parts = []
    for no, part in enumerate((names[:half], names[half:])):
        own = [("split.no", no), ("split.count", 2), ("split.tensors.count", len(names))]
        parts.append(write_gguf((scalars if no == 0 else []) + own, {n: base.tensors[n] for n in part}))
    digests = [server.upload(p) for p in parts]
    files = {f"w-0000{i + 1}-of-00002.gguf": d for i, d in enumerate(digests)}
    checks.equal(create(server, "split", files=files), (200, {"status": "success"}), "a split model")
    (kind, layer), = layers(server, "split")
    merged = Gguf(blob(server, layer["digest"]))
    checks.equal((kind, list(merged.tensors)), ("model", names), "its tensors")
    checks.true(all(merged.tensors[n][2] == base.tensors[n][2] for n in names), "its values")
    checks.true(not any(k.startswith("split.") for k in merged.meta), "it is no longer split")
    status, reply = create(server, "half", files={"w-00002-of-00002.gguf": digests[1]})
    checks.equal((status, reply), (400, {"error": "part 1 of 2 of w is missing"}), "a part alone")
    wrong = {"w-00001-of-00002.gguf": digests[1], "w-00002-of-00002.gguf": digests[0]}
    status, reply = create(server, "swapped", files=wrong)
    checks.equal(status, 400, f"parts in the wrong order: {reply}")


def check_kinds(checks, server):
    """Adapters, projectors and drafts become their layers."""
    def adapter_of(n, value):
        values = struct.pack("<f", value) * (4 * n)
        return write_gguf([("general.architecture", "llama"), ("general.type", "adapter"), ("adapter.type", "lora"),
                           ("adapter.lora.alpha", 8.0)],
                          {"blk.0.attn_output.weight.lora_a": ([n, 4], 0, values),
                           "blk.0.attn_output.weight.lora_b": ([4, n], 0, values)})

    n_embd = Gguf(blob(server, layers(server, "tiny")[0][1]["digest"])).meta["llama.embedding_length"]
    adapter = adapter_of(n_embd, 1.0)
    projector = write_gguf([("general.architecture", "clip"), ("general.type", "mmproj")],
                           {"v.x": ([32], 0, bytes(128))})
    a, p = server.upload(adapter), server.upload(projector)
    checks.equal(create(server, "lora", **{"from": "tiny", "adapters": {"a.gguf": a}})[0], 200, "an adapter")
    checks.equal([k for k, _ in layers(server, "lora")], ["model", "adapter"], "its layers")
    shown = server.post("/api/show", {"model": "lora"})[1]["modelfile"]
    checks.true(f"ADAPTER {blob(server, a)}\n" in shown.replace(os.path.realpath(server.models), server.models), "it is shown")

    def answer(model):
        status, reply = server.post("/api/generate", {"model": model, "prompt": "x", "raw": True, "stream": False,
                                                      "options": {"temperature": 0, "num_predict": 12}})
        return reply.get("response", reply.get("error")) if status in (200, 500) else status

    zero, wide = server.upload(adapter_of(n_embd, 0.0)), server.upload(adapter_of(n_embd + 32, 1.0))
    create(server, "lora-zero", **{"from": "tiny", "adapters": {"a.gguf": zero}})
    create(server, "lora-wide", **{"from": "tiny", "adapters": {"a.gguf": wide}})
    plain = answer("tiny")
    checks.true(type(plain) is str and answer("lora") not in (plain, 500), "an adapter changes the reply")
    checks.equal((answer("lora-zero"), answer("tiny")), (plain, plain), "and the model without it stays what it is")
    checks.true("adapter does not fit base: tensor blk.0.attn_output.weight" in str(answer("lora-wide")),
                f"one that does not fit: {answer('lora-wide')}")
    two = {"a.gguf": a, "b.gguf": a}
    checks.equal(create(server, "x", **{"from": "tiny", "adapters": two}),
                 (400, {"error": "only one adapter is currently supported"}), "two adapters")
    checks.equal(create(server, "x", **{"from": "tiny", "adapters": {"a.gguf": p}})[0], 400, "no adapter")
    for family, name in (("gemma4", "gemma4"), ("laguna", "laguna"), ("nemotron_h_moe", "nemotron-3-nano")):
        weights = write_gguf([("general.architecture", family)], {"token_embd.weight": ([32, 4], 0, bytes(512))})
        status, _ = create(server, "fam", files={"m.gguf": server.upload(weights)})
        shown = server.post("/api/show", {"model": "fam"})[1].get("modelfile", "")
        checks.true(f"RENDERER {name}\n" in shown and f"PARSER {name}\n" in shown, f"{family} is prompted by {name}: {status} {shown}")
        checks.equal("<turn|>" in shown, family == "gemma4", f"its stop string: {shown}")
    tiny = layers(server, "tiny")[0][1]["digest"]
    checks.equal(create(server, "v", files={"m.gguf": tiny, "p.gguf": p})[0], 200, "a projector beside the model")
    checks.equal(sorted(k for k, _ in layers(server, "v")), ["model", "projector"], "its layers")
    checks.true("vision" in server.post("/api/show", {"model": "v"})[1]["capabilities"], "it can see")
    checks.equal(create(server, "d", **{"from": "tiny", "draft_files": {"d.gguf": tiny}, "draft_quantize": "q8_0"})[0], 200,
                 "a draft model")
    (_, model), (kind, draft) = layers(server, "d")
    checks.true(kind == "draft" and draft["size"] < model["size"], "the draft alone is quantised")
    checks.equal(create(server, "x", **{"from": "tiny", "draft_quantize": "q8_0"}),
                 (400, {"error": "--draft-quantize requires a DRAFT model"}), "a type for no draft")


def check_progress(checks, server):
    """Quantising counts bytes of the source and never runs backwards."""
    status, data = server.call("POST", "/api/create", {"model": "q", "from": "tiny", "quantize": "Q4_K_M"})
    lines = [json.loads(line) for line in data.splitlines()]
    counted = [line for line in lines if line["status"] == "quantizing F16 model to Q4_K_M"]
    checks.equal((status, lines[-1]), (200, {"status": "success"}), "streamed quantising")
    checks.true(counted and all(line["digest"] == "0000000000000000000" for line in counted), "its digest")
    done = [line["completed"] for line in counted]
    checks.true(done == sorted(done) and done[-1] == counted[-1]["total"], f"its numbers {done[-3:]}")
    checks.true("verifying conversion" in [line["status"] for line in lines], "what follows")
    kinds = {t["name"]: t["type"] for t in server.post("/api/show", {"model": "q"})[1]["tensors"]}
    checks.equal((kinds["output.weight"], kinds["token_embd.weight"], kinds["blk.0.attn_norm.weight"]),
                 ("Q6_K", "Q4_K", "F32"), "types of tensors")
    same = server.post("/api/create", {"model": "f", "from": "tiny", "quantize": "f16", "stream": False})
    checks.equal((same[0], layers(server, "f")[0][1]["digest"]), (200, layers(server, "tiny")[0][1]["digest"]), "the same type")


def check_hostile(checks, server, tiny):
    """Files that are no models, and requests that ask too much."""
    for name, data in {"cut": tiny[:len(tiny) // 2], "head": tiny[:40], "counts": b"GGUF" + struct.pack("<IQQ", 3, 2 ** 60, 5),
                       "empty": b""}.items():
        status, reply = create(server, "x", files={"a.gguf": server.upload(data)})
        checks.true(status == 400 and "error" in reply and server.models not in reply["error"], f"{name}: {status} {reply}")
    header = json.dumps({"a": {"dtype": "F32", "shape": [2 ** 62], "data_offsets": [0, 2 ** 62]}}).encode()
    bad = server.upload(struct.pack("<Q", len(header)) + header)
    config = server.upload(b'{"architectures":["LlamaForCausalLM"],"hidden_size":8,"num_attention_heads":1,"num_hidden_layers":1}')
    status, reply = create(server, "x", files={"model.safetensors": bad, "config.json": config})
    checks.true(status == 400 and "data_offsets" in reply["error"], f"safetensors: {status} {reply}")
    status, reply = create(server, "x", files={"model.safetensors": bad, "config.json": bad})
    checks.true(status == 400 and "config.json" in reply["error"], f"config.json: {status} {reply}")
    for field, value in {"messages": [1], "messages ": "x", "license": {"a": 1}, "files": {"a": 1}, "info": []}.items():
        status, _ = create(server, "x", **{"from": "tiny", field.strip(): value})
        checks.true(status in (200, 400), f"{field}: {status}")
    checks.equal(server.call("GET", "/api/version")[0], 200, "the server lives")
    leftovers = [n for n in os.listdir(os.path.join(server.models, "oll", "tmp"))] \
        if os.path.isdir(os.path.join(server.models, "oll", "tmp")) else []
    checks.equal(leftovers, [], "no temporary files stay")


def check_folder(checks, server, shared, root):
    """A published model from a folder, by the command, quantised on the way."""
    models = os.environ.get("OLL_TEST_MODELS", "")
    folder = os.path.join(models, "minilm")
    if not os.path.exists(os.path.join(folder, "model.safetensors")):
        print("note: minilm (OLL_TEST_MODELS) is absent")
        return
    modelfile = os.path.join(root, "Minilm")
    with open(modelfile, "w", encoding="utf-8") as f:
        f.write(f"FROM {folder}\n")
    with open(os.path.join(shared, "data", "golden", "minilm-sentences.json"), encoding="utf-8") as f:
        golden = json.load(f)["sentences"][0]
    for name, options, bound in (("emb", [], 2e-3), ("emb8", ["-q", "q8_0"], 3e-2)):
        done = server.run("create", name, "-f", modelfile, *options)
        checks.equal(done.returncode, 0, f"create {name}: {done.stderr[-300:]!r}")
        status, reply = server.post("/api/embed", {"model": name, "input": golden["text"]})
        vector = reply["embeddings"][0] if status == 200 else []
        worst = max((abs(a - b) for a, b in zip(vector, golden["normalised"])), default=9)
        checks.true(worst < bound, f"the vectors of {name} are off by {worst}")


def main():
    oll, shared = os.path.abspath(sys.argv[1]), sys.argv[2]
    script = os.path.join(shared, "data", "ollama", "make_tiny_gguf.py")
    if not os.path.exists(script):
        skip("no data/ollama in the shared data")
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="oll-create-") as root:
        path = os.path.join(root, "tiny.gguf")
        subprocess.run([sys.executable, "-B", script, path], check=True)
        with open(path, "rb") as f:
            tiny = f.read()
        with Server(oll, os.path.join(root, "models")) as server:
            checks.equal(create(server, "tiny", files={"t.gguf": server.upload(tiny)})[0], 200, "the base")
            check_split(checks, server, Gguf(path))
            check_kinds(checks, server)
            check_progress(checks, server)
            check_hostile(checks, server, tiny)
            check_folder(checks, server, shared, root)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
