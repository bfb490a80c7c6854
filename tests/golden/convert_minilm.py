#!/usr/bin/env python3
"""Converts all-MiniLM-L6-v2 from safetensors to GGUF: convert_minilm.py FOLDER OUT.gguf [f16].

FOLDER holds model.safetensors, config.json and vocab.txt as published by sentence-transformers.
Standard library only. Matrices are stored as F32 (or F16), vectors as F32.
"""
import array
import json
import os
import struct
import sys

import gguf_file as gguf

NORMAL, UNKNOWN, CONTROL = 1, 2, 3

# Name of a safetensors weight of layer N -> name in the GGUF file.
LAYER_NAMES = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
EMBEDDING_NAMES = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
}


def gguf_name(name):
    """The GGUF name of a safetensors weight, None for what is not part of the encoder."""
    stem, _, suffix = name.rpartition(".")
    if stem in EMBEDDING_NAMES:
        return EMBEDDING_NAMES[stem] + "." + suffix
    parts = stem.split(".", 3)
    if parts[:2] == ["encoder", "layer"] and parts[3] in LAYER_NAMES:
        return "blk.%s.%s.%s" % (parts[2], LAYER_NAMES[parts[3]], suffix)
    return None


def read_safetensors(path):
    """List of (GGUF name, shape, f32 bytes)."""
    with open(path, "rb") as f:
        (n_header,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(n_header))
        data = f.read()
    out = []
    for name, info in header.items():
        target = gguf_name(name) if name != "__metadata__" else None
        if target:
            assert info["dtype"] == "F32", name
            begin, end = info["data_offsets"]
            out.append((target, info["shape"], data[begin:end]))
    return sorted(out)


def to_f16(raw):
    values = array.array("f")
    values.frombytes(raw)
    return struct.pack("<%de" % len(values), *values)


def vocabulary(path):
    """Tokens in the form of GGUF (word starts marked, continuations bare) and their types."""
    with open(path, encoding="utf-8") as f:
        words = [line.rstrip("\n") for line in f]
    tokens, types = [], []
    for word in words:
        special = word.startswith("[") and word.endswith("]") and len(word) > 2
        if special:
            tokens.append(word)
            types.append(UNKNOWN if word == "[UNK]" else CONTROL)
        else:
            tokens.append(word[2:] if word.startswith("##") else "\u2581" + word)
            types.append(NORMAL)
    return tokens, types


def metadata(folder):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
        config = json.load(f)
    tokens, types = vocabulary(os.path.join(folder, "vocab.txt"))
    ids = {t: i for i, t in enumerate(tokens)}
    return {
        "general.architecture": (gguf.STRING, "bert"),
        "general.name": (gguf.STRING, "all-MiniLM-L6-v2"),
        "bert.block_count": (gguf.U32, config["num_hidden_layers"]),
        "bert.context_length": (gguf.U32, config["max_position_embeddings"]),
        "bert.embedding_length": (gguf.U32, config["hidden_size"]),
        "bert.feed_forward_length": (gguf.U32, config["intermediate_size"]),
        "bert.attention.head_count": (gguf.U32, config["num_attention_heads"]),
        "bert.attention.layer_norm_epsilon": (gguf.F32, config["layer_norm_eps"]),
        "bert.attention.causal": (gguf.BOOL, False),
        "bert.pooling_type": (gguf.U32, 1),
        "tokenizer.ggml.model": (gguf.STRING, "bert"),
        "tokenizer.ggml.token_type_count": (gguf.U32, config["type_vocab_size"]),
        "tokenizer.ggml.tokens": (gguf.ARRAY, (gguf.STRING, tokens)),
        "tokenizer.ggml.token_type": (gguf.ARRAY, (gguf.I32, types)),
        "tokenizer.ggml.unknown_token_id": (gguf.U32, ids["[UNK]"]),
        "tokenizer.ggml.seperator_token_id": (gguf.U32, ids["[SEP]"]),
        "tokenizer.ggml.padding_token_id": (gguf.U32, ids["[PAD]"]),
        "tokenizer.ggml.cls_token_id": (gguf.U32, ids["[CLS]"]),
        "tokenizer.ggml.mask_token_id": (gguf.U32, ids["[MASK]"]),
    }


def main():
    folder, out = sys.argv[1:3]
    half = sys.argv[3:] == ["f16"]
    tensors = {}
    for name, shape, raw in read_safetensors(os.path.join(folder, "model.safetensors")):
        is_half = half and len(shape) == 2
        kind = gguf.TYPE_F16 if is_half else gguf.TYPE_F32
        tensors[name] = gguf.Tensor(tuple(shape), kind, to_f16(raw) if is_half else raw)
    gguf.write(out, metadata(folder), tensors)


if __name__ == "__main__":
    main()
