"""Conversion from safetensors, against golden models that are mapped back to what their makers publish.

    test_convert.py CONVERT_FILES OLL SHARED

Names, order of rows and norms are undone here by tables of their own, and config.json is the one with which the golden
model was made; so the conversion must give the golden model again: the same tensors (vectors exactly, matrices as F16)
and the same hyper-parameters. Byte-level vocabularies come from a real model. MiniLM, where it is at hand, must give the
sentence vectors that its makers' program gives.
"""

import array
import json
import math
import os
import re
import struct
import subprocess
import sys
import tempfile

from gguf_lite import F16, Gguf

SKIPPED = 77
TEXT_LAYER = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
              "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
              "attn_norm": "input_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
              "ffn_down": "mlp.down_proj"}
LAYERS = {
    "llama": {**TEXT_LAYER, "ffn_norm": "post_attention_layernorm"},
    "gemma3": {**TEXT_LAYER, "ffn_norm": "pre_feedforward_layernorm", "post_ffw_norm": "post_feedforward_layernorm",
               "post_attention_norm": "post_attention_layernorm"},
    "bert": {"attn_q": "attention.self.query", "attn_k": "attention.self.key", "attn_v": "attention.self.value",
             "attn_output": "attention.output.dense", "attn_output_norm": "attention.output.LayerNorm",
             "ffn_up": "intermediate.dense", "ffn_down": "output.dense", "layer_output_norm": "output.LayerNorm"},
}
TEXT_OUTSIDE = {"token_embd": "embed_tokens", "output_norm": "norm"}
BERT_OUTSIDE = {"token_embd": "embeddings.word_embeddings", "position_embd": "embeddings.position_embeddings",
                "token_types": "embeddings.token_type_embeddings", "token_embd_norm": "embeddings.LayerNorm"}
# Golden model, architecture of its config.json, prefix of its tensors' names.
CASES = [("llama", "LlamaForCausalLM", "model."), ("llama-rope3", "LlamaForCausalLM", "model."),
         ("llama-linear", "MistralForCausalLM", ""), ("llama-yarn", "LlamaForCausalLM", "model."),
         ("llama-tied", "LlamaForCausalLM", "model."), ("qwen2", "Qwen2ForCausalLM", "model."),
         ("qwen3", "Qwen3ForCausalLM", "model."), ("gemma3", "Gemma3ForCausalLM", "model."),
         ("gemma3", "Gemma3ForConditionalGeneration", "model.language_model."), ("bert", "BertModel", "bert.")]
# Keys that a converter may write or leave out.
FREE = {"general.type", "general.name", "general.size_label", "general.quantization_version", "general.file_type",
        "tokenizer.ggml.pre", "tokenizer.ggml.scores", "tokenizer.ggml.bos_token_id", "tokenizer.ggml.cls_token_id",
        "tokenizer.ggml.eos_token_id", "bert.normalize_embeddings", "tokenizer.ggml.add_space_prefix"}
N_CHECKS = [0, 0]


def check(condition, text):
    N_CHECKS[0] += 1
    if not condition:
        N_CHECKS[1] += 1
        print(f"FAILED {text}")
    return condition


def published_name(family, name, prefix):
    stem, _, ending = name.rpartition(".")
    layer = re.match(r"blk\.(\d+)\.(.+)$", stem)
    if family == "bert":
        if not layer:
            return f"{prefix}{BERT_OUTSIDE[stem]}.{ending}"
        return f"{prefix}encoder.layer.{layer.group(1)}.{LAYERS['bert'][layer.group(2)]}.{ending}"
    if stem == "output":
        return f"lm_head.{ending}"
    if not layer:
        return f"{prefix}{TEXT_OUTSIDE[stem]}.{ending}"
    table = LAYERS["gemma3" if family == "gemma3" else "llama"]
    return f"{prefix}layers.{layer.group(1)}.{table[layer.group(2)]}.{ending}"


def heads_in_halves(values, n_rows, n_head):
    """Pairs of rows back to halves of a head."""
    width, size = len(values) // n_rows, n_rows // n_head
    rows = [values[r * width:(r + 1) * width] for r in range(n_rows)]
    out = array.array("f")
    for head in range(n_head):
        for r in list(range(0, size, 2)) + list(range(1, size, 2)):
            out.extend(rows[head * size + r])
    return out


def published_values(gguf, family, name):
    ne, values = gguf.tensors[name][0], gguf.floats(name)
    if family == "llama" and ".attn_q." in name:
        return heads_in_halves(values, ne[-1], gguf.meta["llama.attention.head_count"])
    if family == "llama" and ".attn_k." in name:
        return heads_in_halves(values, ne[-1], gguf.meta["llama.attention.head_count_kv"])
    if family == "gemma3" and name.endswith("norm.weight"):
        return array.array("f", (v - 1.0 for v in values))
    return values


def write_safetensors(path, tensors):
    """tensors: name -> (dtype, shape, bytes)"""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _, _, data in tensors.values():
            f.write(data)


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def sentencepiece(meta):
    """tokenizer.model with the tokens of a golden model."""
    out = b""
    for text, score, kind in zip(meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.scores"],
                                 meta["tokenizer.ggml.token_type"]):
        data = text.encode()
        piece = b"\x0a" + varint(len(data)) + data + b"\x15" + struct.pack("<f", score) + b"\x18" + varint(kind)
        out += b"\x0a" + varint(len(piece)) + piece
    return out + b"\x12\x03\x08\xc0\x3e"  # a trainer_spec, which is skipped


def publish(folder, gguf, golden, architecture, prefix):
    """Writes the files of one model; their names."""
    family = golden["arch"]
    extra = "rope_freqs.weight"
    tensors = {published_name(family, n, prefix): ("F32", t[0][::-1], published_values(gguf, family, n).tobytes())
               for n, t in gguf.tensors.items() if n != extra}
    tensors["pooler.dense.weight" if family == "bert" else f"{prefix}layers.0.self_attn.rotary_emb.inv_freq"] = \
        ("F32", [1], b"\0\0\0\0")
    if prefix == "model.language_model.":
        tensors["model.vision_tower.encoder.x.weight"] = ("F32", [1], b"\0\0\0\0")
    names, half = list(tensors), len(tensors) // 2
    for i, part in enumerate((names[:half], names[half:])):
        write_safetensors(os.path.join(folder, f"model-0000{i + 1}-of-00002.safetensors"), {n: tensors[n] for n in part})
    config = dict(golden["hf_config"])
    if prefix == "model.language_model.":
        config = {"text_config": config}
    config["architectures"] = [architecture]
    files = {"config.json": json.dumps(config)}
    if family == "bert":
        files["vocab.txt"] = "".join(t.replace("\u2581", "") if t[0] in "\u2581[" else "##" + t
                                     for t in (s + "\n" for s in gguf.meta["tokenizer.ggml.tokens"]))
        files["tokenizer_config.json"] = json.dumps({f"{k}_token": f"[{k.upper()}]" for k in ("unk", "sep", "pad", "cls")})
    else:
        with open(os.path.join(folder, "tokenizer.model"), "wb") as f:
            f.write(sentencepiece(gguf.meta))
        files["tokenizer_config.json"] = json.dumps({"bos_token": "<s>", "eos_token": {"content": "</s>"},
                                                     "unk_token": "<unk>"})
    for name, text in files.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(text)
    return sorted(os.listdir(folder))


def same_value(a, b):
    return a == b or (isinstance(a, float) and math.isclose(a, b, rel_tol=1e-6))


def compare_meta(case, got, expected):
    for key, value in expected.items():
        if key in FREE or key.startswith("general."):
            continue
        # The golden file has defaults of the format that a converter need not write, and the other way round.
        if key in got:
            check(same_value(got[key], value), f"{case}: {key} is {str(got[key])[:60]}, expected {str(value)[:60]}")
        else:
            check(key in ("llama.vocab_size", "tokenizer.ggml.padding_token_id"), f"{case}: {key} is missing")


def compare_tensors(case, got, expected):
    check(set(got.tensors) == set(expected.tensors), f"{case}: tensors {set(got.tensors) ^ set(expected.tensors)}")
    for name in set(got.tensors) & set(expected.tensors):
        (ne, kind, _), (expected_ne, _, _) = got.tensors[name], expected.tensors[name]
        check(ne == expected_ne, f"{case}: {name} has the shape {ne}")
        is_matrix = len(ne) > 1 and name != "token_types.weight"
        check((kind == F16) == is_matrix, f"{case}: {name} has type {kind}")
        bound = 2.0 ** -11 if is_matrix else 1e-6
        worst = max(abs(a - b) - bound * max(abs(b), 1e-4) for a, b in zip(got.floats(name), expected.floats(name)))
        check(worst <= 0, f"{case}: values of {name} are off by {worst}")


def convert(program, folder, names, out):
    return subprocess.run([program, folder, out, *names], capture_output=True, text=True, timeout=120, check=False)


def check_case(program, shared, work, name, architecture, prefix):
    golden_path = os.path.join(shared, "data", "golden", name)
    with open(golden_path + ".json", encoding="utf-8") as f:
        golden = json.load(f)
    expected = Gguf(golden_path + ".gguf")
    folder = os.path.join(work, f"{name}-{architecture}")
    os.mkdir(folder)
    names = publish(folder, expected, golden, architecture, prefix)
    out = os.path.join(work, "out.gguf")
    done = convert(program, folder, names, out)
    case = f"{name} as {architecture}"
    if check(done.returncode == 0, f"{case}: {done.stdout.strip()}"):
        got = Gguf(out)
        compare_meta(case, got.meta, expected.meta)
        compare_tensors(case, got, expected)
        check(list(got.meta) == sorted(got.meta), f"{case}: keys are sorted")


def check_refusals(program, shared, work):
    """What is refused, and in which words."""
    with open(os.path.join(shared, "data", "golden", "llama.json"), encoding="utf-8") as f:
        golden = json.load(f)
    expected = Gguf(os.path.join(shared, "data", "golden", "llama.gguf"))
    folder, out = os.path.join(work, "refused"), os.path.join(work, "refused.gguf")
    os.mkdir(folder)
    names = publish(folder, expected, golden, "LlamaForCausalLM", "model.")

    def refused(text, files, **config):
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
            json.dump({"architectures": ["LlamaForCausalLM"], **golden["hf_config"], **config}, f)
        done = convert(program, folder, files, out)
        check(done.returncode == 1 and text in done.stdout, f"refusal {text!r}: {done.returncode} {done.stdout!r}")

    refused('unsupported architecture "NoSuchModel"', names, architectures=["NoSuchModel"])
    refused("unknown architecture", names, architectures=[])
    refused("hidden_size must be a positive integer", names, hidden_size=-1)
    refused('rope_scaling of type "dynamic"', names, rope_parameters={"rope_type": "dynamic"})
    refused("rows are no 5 heads", names, num_attention_heads=5)
    refused("neither tokenizer.model nor tokenizer.json", [n for n in names if n != "tokenizer.model"])
    refused("tensors are missing", [n for n in names if not n.endswith(".safetensors")])
    refused("config.json is missing", [n for n in names if n != "config.json"])
    twice = names + ["model-00001-of-00002.safetensors"]
    refused("duplicate tensor name", twice)


def bpe_files(folder, gguf, pre):
    """tokenizer.json of a byte-level vocabulary."""
    tokens, kinds = gguf.meta["tokenizer.ggml.tokens"], gguf.meta["tokenizer.ggml.token_type"]
    steps = {"smollm": [{"type": "Digits", "individual_digits": True},
                        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}],
             "qwen2": [{"type": "Split", "behavior": "Isolated", "invert": False, "pattern": {"Regex":
                        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
                        "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}}, {"type": "ByteLevel", "use_regex": False}],
             "none": [{"type": "Split", "pattern": {"Regex": "x+"}}]}[pre]
    merges = gguf.meta["tokenizer.ggml.merges"]
    tokenizer = {"added_tokens": [{"id": i, "content": t, "special": True} for i, t in enumerate(tokens) if kinds[i] == 3],
                 "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
                 "model": {"type": "BPE", "vocab": {t: i for i, t in enumerate(tokens) if kinds[i] != 3},
                           "merges": [m.split(" ") for m in merges] if pre == "qwen2" else merges}}
    with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as f:
        json.dump(tokenizer, f)
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as f:
        json.dump({"add_bos_token": False, "bos_token": tokens[1], "eos_token": tokens[2], "chat_template": [
            {"name": "default", "template": "{{ messages }}"}, {"name": "x", "template": "no"}]}, f)


def check_bpe(program, shared, work):
    """A real byte-level vocabulary on the tensors of a tiny model."""
    source = os.path.join(shared, "data", "vocab", "ggml-vocab-gpt-2.gguf")
    if not os.path.exists(source):
        print("note: no data/vocab in the shared data")
        return
    with open(os.path.join(shared, "data", "golden", "llama.json"), encoding="utf-8") as f:
        golden = json.load(f)
    vocab = Gguf(source)
    for pre in ("smollm", "qwen2", "none"):
        folder, out = os.path.join(work, f"bpe-{pre}"), os.path.join(work, "bpe.gguf")
        os.mkdir(folder)
        names = publish(folder, Gguf(os.path.join(shared, "data", "golden", "llama.gguf")), golden, "LlamaForCausalLM",
                        "model.")
        os.remove(os.path.join(folder, "tokenizer.model"))
        bpe_files(folder, vocab, pre)
        with open(os.path.join(folder, "generation_config.json"), "w", encoding="utf-8") as f:
            json.dump({"eos_token_id": [2, 5]}, f)
        names = sorted(os.listdir(folder))
        done = convert(program, folder, names, out)
        if pre == "none":
            check(done.returncode == 1 and "unknown pre-tokenizer: Sx+" in done.stdout, f"bpe: {done.stdout!r}")
            continue
        if not check(done.returncode == 0, f"bpe: {done.stdout.strip()}"):
            continue
        got = Gguf(out).meta
        for key in ("tokens", "merges", "token_type"):
            check(got[f"tokenizer.ggml.{key}"] == vocab.meta[f"tokenizer.ggml.{key}"], f"bpe {pre}: {key}")
        check(got["tokenizer.ggml.pre"] == pre and got["tokenizer.ggml.model"] == "gpt2", f"bpe {pre}: names")
        check(got["tokenizer.ggml.eos_token_ids"] == [2, 5], f"bpe {pre}: ids that end a reply")
        check(got["tokenizer.ggml.add_bos_token"] is False, f"bpe {pre}: add_bos_token")
        check(got["tokenizer.chat_template"] == "{{ messages }}", f"bpe {pre}: chat template")


def check_minilm(program, oll, shared, work, models):
    folder = os.path.join(models, "minilm")
    if not os.path.exists(os.path.join(folder, "model.safetensors")):
        print("note: minilm (OLL_TEST_MODELS) is absent")
        return
    names = [n for n in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "modules.json",
                         "special_tokens_map.json", "sentence_bert_config.json", "1_Pooling/config.json", "vocab.txt")
             if os.path.exists(os.path.join(folder, n))]
    out, plain = os.path.join(work, "minilm.gguf"), os.path.join(work, "minilm-txt.gguf")
    check(convert(program, folder, names, out).returncode == 0, "minilm is converted")
    check(convert(program, folder, [n for n in names if n != "tokenizer.json"], plain).returncode == 0,
          "minilm is converted with vocab.txt")
    check(Gguf(out).meta["tokenizer.ggml.tokens"] == Gguf(plain).meta["tokenizer.ggml.tokens"],
          "minilm: both forms of the vocabulary are one")
    with open(os.path.join(shared, "data", "golden", "minilm-sentences.json"), encoding="utf-8") as f:
        golden = json.load(f)
    for s in golden["sentences"]:
        if s["text"] is None:
            continue
        done = subprocess.run([oll, "embed", out, "--json", "--ctx", str(s["max_length"])], input=s["text"], text=True,
                              capture_output=True, timeout=120, check=False)
        vector = json.loads(done.stdout)["embeddings"][0] if done.returncode == 0 else []
        worst = max((abs(a - b) for a, b in zip(vector, s["normalised"])), default=9)
        check(worst <= golden["tolerance"]["normalised_max_abs_f16"], f"minilm: {s['text'][:40]!r} is off by {worst}")


def main():
    program, oll, shared = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3]
    if not os.path.exists(os.path.join(shared, "data", "golden", "llama.json")):
        print("SKIPPED: no data/golden in the shared data")
        return SKIPPED
    models = os.environ.get("OLL_TEST_MODELS", "")
    with tempfile.TemporaryDirectory(prefix="oll-convert-") as work:
        for name, architecture, prefix in CASES:
            check_case(program, shared, work, name, architecture, prefix)
        check_refusals(program, shared, work)
        check_bpe(program, shared, work)
        check_minilm(program, oll, shared, work, models)
    print(f"{N_CHECKS[0]} checks, {N_CHECKS[1]} failed")
    return 1 if N_CHECKS[1] else 0


if __name__ == "__main__":
    sys.exit(main())
