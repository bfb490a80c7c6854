#!/usr/bin/env python3
"""Files of other producers: test_variants.py OLL SHARED.

Golden models are rewritten as other programs store them (renamed or missing keys and tensors, fused or split
matrices, other types) without changing what they compute; the expected numbers stay.
"""
import json
import os
import struct
import sys
import tempfile

import golden_run
import gguf_file as gguf

SKIP = 77


class Model:
    """A golden model under change; keys are given without the architecture's prefix."""

    def __init__(self, path):
        self.metadata, self.tensors = gguf.read(path)

    @property
    def arch(self):
        return self.metadata["general.architecture"][1]

    def get(self, key):
        return self.metadata["%s.%s" % (self.arch, key)][1]

    def put(self, key, kind, value):
        self.metadata["%s.%s" % (self.arch, key)] = (kind, value)

    def drop(self, *keys):
        for key in keys:
            del self.metadata["%s.%s" % (self.arch, key)]

    def rename_key(self, old, new):
        self.metadata["%s.%s" % (self.arch, new)] = self.metadata.pop("%s.%s" % (self.arch, old))

    def rename_arch(self, new):
        old = self.arch + "."
        self.metadata["general.architecture"] = (gguf.STRING, new)
        self.metadata = {new + "." + k[len(old):] if k.startswith(old) else k: v for k, v in self.metadata.items()}

    def rename_tensors(self, old, new):
        self.tensors = {n.replace(old, new): t for n, t in self.tensors.items()}

    def stack(self, parts, fused, axis=0):
        """Joins the rows of `parts` (names with {} for the layer) to one tensor, weights and biases."""
        for il in range(self.get("block_count")):
            for suffix in (".weight", ".bias"):
                names = [p.format(il) + suffix for p in parts]
                if names[0] not in self.tensors:
                    continue
                taken = [self.tensors.pop(n) for n in names]
                shape = list(taken[0].shape)
                shape[axis] = sum(t.shape[axis] for t in taken)
                pieces = [t.data for t in taken]
                if axis == 1:  # experts outermost: interleave expert by expert
                    n = shape[0]
                    pieces = [d[e * len(d) // n:(e + 1) * len(d) // n] for e in range(n) for d in pieces]
                self.tensors[fused.format(il) + suffix] = gguf.Tensor(tuple(shape), taken[0].kind, b"".join(pieces))

    def scale(self, name, factor):
        t = self.tensors[name]
        self.tensors[name] = gguf.floats([v * factor for v in gguf.unpack_floats(t)], t.shape)


def layers(model):
    return range(model.get("block_count"))


QKV = ["blk.{}.attn_q", "blk.{}.attn_k", "blk.{}.attn_v"]


def fused_matrices(m):
    m.stack(QKV, "blk.{}.attn_qkv")
    m.stack(["blk.{}.ffn_gate", "blk.{}.ffn_up"], "blk.{}.ffn_up")


def fused_experts(m):
    m.stack(["blk.{}.ffn_gate_exps", "blk.{}.ffn_up_exps"], "blk.{}.ffn_gate_up_exps", axis=1)


def per_layer_arrays(m):
    for key in ("attention.head_count", "attention.head_count_kv", "feed_forward_length"):
        m.put(key, gguf.ARRAY, (gguf.I32, [m.get(key)] * m.get("block_count")))


def few_keys(m):
    m.drop("attention.key_length", "attention.value_length", "rope.dimension_count", "rope.freq_base", "vocab_size")


def wide_types(m):
    for key in ("context_length", "attention.head_count_kv"):
        m.put(key, gguf.U64, m.get(key))
    m.put("rope.freq_base", gguf.U32, int(m.get("rope.freq_base")))
    m.put("attention.layer_norm_rms_epsilon", gguf.F64, m.get("attention.layer_norm_rms_epsilon"))
    m.put("block_count", gguf.U16, m.get("block_count"))


def unknown_extras(m):
    m.tensors["v.patch_embd.weight"] = gguf.floats([0.0] * 64, (8, 8))
    m.tensors["blk.0.attn_rot_embd.weight"] = gguf.floats([0.0] * 8, (8,))
    m.tensors["mm.0.bias"] = gguf.floats([0.0] * 8, (8,))
    m.put("vision.block_count", gguf.U32, 0)


def old_rope_factors(m):
    m.rename_tensors("rope_freqs.weight", "blk.0.rope_freqs.weight")


def old_linear_scaling(m):
    m.rename_key("rope.scaling.factor", "rope.scale_linear")
    m.drop("rope.scaling.type")


def split_vectors_f16(m):
    """Norms and biases are stored in any type."""
    for name, t in list(m.tensors.items()):
        if len(t.shape) == 1:
            values = struct.unpack("<%de" % t.shape[0], struct.pack("<%de" % t.shape[0], *gguf.unpack_floats(t)))
            m.tensors[name] = gguf.Tensor(t.shape, gguf.TYPE_F16, struct.pack("<%de" % t.shape[0], *values))


def tensor_scales(m):
    """Factors beside the matrices, as files with NVFP4 have them."""
    for il in layers(m):
        for stem, factor in (("attn_q", 4.0), ("attn_v", 0.5), ("attn_output", 2.0), ("ffn_up", 0.25),
                             ("ffn_down", 8.0)):
            name = "blk.%d.%s" % (il, stem)
            m.scale(name + ".weight", 1 / factor)
            m.tensors[name + ".scale"] = gguf.floats([factor], (1,))
            m.tensors[name + ".input_scale"] = gguf.floats([3.0], (1,))


def expert_scales(m):
    for il in layers(m):
        name = "blk.%d.ffn_down_exps" % il
        n = m.tensors[name + ".weight"].shape[0]
        factors = [2.0 ** (e - 1) for e in range(n)]
        values = gguf.unpack_floats(m.tensors[name + ".weight"])
        size = len(values) // n
        values = [v / factors[i // size] for i, v in enumerate(values)]
        m.tensors[name + ".weight"] = gguf.floats(values, m.tensors[name + ".weight"].shape)
        m.tensors[name + ".scale"] = gguf.floats(factors, (n,))


def ollama_gptoss(m):
    m.rename_arch("gptoss")
    m.rename_tensors("attn_output.", "attn_out.")
    m.rename_tensors("attn_sinks.weight", "attn_sinks")
    m.rename_tensors("post_attention_norm.", "ffn_norm.")
    m.drop("expert_feed_forward_length", "rope.scaling.type")


def ollama_gptoss_interleaved(m):
    """MXFP4 under type id 4: elements 2j and 2j + 1 share byte j."""
    ollama_gptoss(m)
    for name, t in list(m.tensors.items()):
        if t.kind != gguf.TYPE_MXFP4:
            continue
        out = bytearray()
        n = 17
        for d in t.shape[:-1]:
            n *= d
        n = n * t.shape[-1] // 32
        for at in range(0, n, 17):
            low = [b & 15 for b in t.data[at + 1:at + 17]]
            high = [b >> 4 for b in t.data[at + 1:at + 17]]
            both = low + high
            out.append(t.data[at])
            out += bytes(both[2 * j] | both[2 * j + 1] << 4 for j in range(16))
        m.tensors[name] = gguf.Tensor(t.shape, 4, bytes(out))


def ollama_gemma3(m):
    m.drop("rope.freq_base")
    m.rename_key("rope.freq_base_swa", "rope.local.freq_base")


def gemma3_global_key(m):
    m.rename_key("rope.freq_base", "rope.global.freq_base")
    m.drop("rope.freq_base_swa")


def pattern_number(m):
    m.put("attention.sliding_window_pattern", gguf.U32, 6)


def pattern_bools(m):
    flags = [(il + 1) % 6 != 0 for il in layers(m)]
    m.put("attention.sliding_window_pattern", gguf.ARRAY, (gguf.BOOL, flags))


def pattern_four(m):
    m.put("attention.sliding_window_pattern", gguf.U32, 4)


def ollama_embeddinggemma(m):
    m.drop("rope.freq_base_swa", "pooling_type", "dense_2_feat_in", "dense_2_feat_out", "dense_3_feat_in",
           "dense_3_feat_out")
    m.rename_arch("gemma3")
    m.rename_tensors("dense_2.", "dense.0.")
    m.rename_tensors("dense_3.", "dense.1.")
    m.rename_tensors("output_norm.", "norm.")


def ollama_qwen25vl(m):
    m.rename_arch("qwen25vl")
    m.rename_key("rope.dimension_sections", "rope.mrope_section")


def ollama_mistral3(m):
    m.rename_key("rope.scaling.yarn_beta_fast", "rope.scaling.beta_fast")
    m.rename_key("rope.scaling.yarn_beta_slow", "rope.scaling.beta_slow")
    m.rename_key("rope.scaling.yarn_log_multiplier", "rope.scaling.mscale_all_dim")
    m.rename_key("attention.temperature_scale", "rope.scaling_beta")


def ollama_glmocr(m):
    m.rename_arch("glmocr")
    m.rename_tensors("attn_output.", "attn_out.")
    m.rename_tensors("post_attention_norm.", "post_attn_norm.")
    m.rename_tensors("post_ffw_norm.", "post_ffn_norm.")


def other_epsilon(m):
    m.rename_key("attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon")


def no_kv_heads(m):
    m.drop("attention.head_count_kv")


def no_window_key(m):
    """The window is left out; its default exceeds the sequences: valid only up to the golden window."""
    m.drop("attention.sliding_window")


def explicit_scales(m):
    hd = m.get("attention.key_length")
    m.put("attention.scale", gguf.F32, hd ** -0.5)
    m.put("rope.scaling.type", gguf.STRING, "none")
    m.put("attn_logit_softcapping", gguf.F32, 0.0)


def router_keys(m):
    m.put("expert_weights_norm", gguf.BOOL, True)
    m.put("expert_gating_func", gguf.U32, 1)
    m.put("expert_weights_scale", gguf.F32, 1.0)
    m.put("expert_group_count", gguf.U32, 1)
    m.put("expert_group_used_count", gguf.U32, 1)


def no_expert_width(m):
    m.drop("expert_feed_forward_length")


def shared_width_of_one(m):
    """The key counts one of two shared experts, whose rows the tensors join."""
    m.put("expert_shared_feed_forward_length", gguf.U32, m.get("expert_shared_feed_forward_length") // 2)


def no_dense_width(m):
    m.put("feed_forward_length", gguf.U32, 0)


def no_scaling_type(m):
    m.drop("rope.scaling.type")


def draft_layer(m):
    """An appended layer for predicting further tokens is not run."""
    m.put("block_count", gguf.U32, m.get("block_count") + 1)
    m.put("nextn_predict_layers", gguf.U32, 1)


# (golden model, change, longest sequence it holds for)
VARIANTS = [
    ("llama", fused_matrices, 99), ("llama", per_layer_arrays, 99), ("llama", few_keys, 99), ("llama", wide_types, 99),
    ("llama", unknown_extras, 99), ("llama", explicit_scales, 99), ("llama", tensor_scales, 99),
    ("llama", draft_layer, 99), ("llama-rope3", old_rope_factors, 99), ("llama-linear", old_linear_scaling, 99),
    ("qwen2", fused_matrices, 99), ("qwen2", tensor_scales, 99), ("starcoder2", other_epsilon, 99),
    ("phi2", no_kv_heads, 99), ("gemma3", fused_matrices, 99), ("gemma3", ollama_gemma3, 99),
    ("gemma3", gemma3_global_key, 99), ("gemma3", pattern_number, 99), ("gemma3", pattern_bools, 99),
    ("gemma3", no_window_key, 16), ("cohere2", pattern_four, 99), ("cohere2", no_window_key, 16),
    ("mistral3", ollama_mistral3, 99), ("glm4", ollama_glmocr, 99), ("qwen2vl", ollama_qwen25vl, 99),
    ("mixtral", fused_experts, 99), ("mixtral", expert_scales, 99), ("mixtral", router_keys, 99),
    ("qwen3moe", no_expert_width, 99), ("qwen3moe", fused_experts, 99), ("qwen2moe", no_expert_width, 99),
    ("qwen2moe", shared_width_of_one, 99), ("qwen3moe", no_dense_width, 99), ("gpt-oss-f32", no_scaling_type, 99),
    ("granitemoe", fused_matrices, 99), ("gpt-oss", ollama_gptoss, 99), ("gpt-oss", ollama_gptoss_interleaved, 99),
    ("gpt-oss-f32", ollama_gptoss, 99), ("gpt-oss-f32", fused_experts, 99),
    ("gemma-embedding", ollama_embeddinggemma, 99), ("jina-bert-v2", fused_matrices, 99),
    ("nomic-bert", other_epsilon, 99), ("bert", fused_matrices, 99),
]
# Stored with fewer bits: the same numbers within the bound of the change.
ROUNDED = [("llama", split_vectors_f16, 10), ("qwen2", split_vectors_f16, 10)]


def expected_vectors(s, embedding):
    """What the file may give: (values, alternative for the tanh form)."""
    if not embedding:
        return [s[k] for k in ("logits_last", "logits_last_tanh_gelu") if k in s]
    if "dense_out" in s:
        return [golden_run.normalise(s["dense_out"])]
    return [golden_run.normalise(s[k]) for k in ("mean_pooled", "mean_pooled_tanh_gelu") if k in s]


def check(oll, shared, work, base, change, longest, factor, device):
    folder = os.path.join(shared, "data", "golden")
    with open(os.path.join(folder, base + ".json"), encoding="utf-8") as f:
        golden = json.load(f)
    model = Model(os.path.join(folder, base + ".gguf"))
    change(model)
    path = os.path.join(work, "model.gguf")
    gguf.write(path, model.metadata, model.tensors)
    embedding = golden["kind"] == "embedding"
    # A device may round activations to 8 bits where the file has MXFP4.
    bound = 0.25 if base == "gpt-oss" and device != "ref" else golden["tolerance"]["max_abs"] * factor
    for s in golden["sequences"]:
        if len(s["tokens"]) > longest:
            continue
        if embedding:
            got = golden_run.embedding(oll, path, s["tokens"], device)
        else:
            got = golden_run.logits(oll, path, s["tokens"], os.path.join(work, "l.npy"), device)[-1]
        worst = min(golden_run.max_diff(got, e) for e in expected_vectors(s, embedding))
        if worst > bound:
            raise RuntimeError("%d tokens: differs by %.3g, allowed %.3g" % (len(s["tokens"]), worst, bound))


def main():
    oll, shared = sys.argv[1:3]
    if not os.path.exists(os.path.join(shared, "data", "golden", "llama.gguf")):
        print("SKIPPED: the golden models are absent (%s/data/golden)" % shared)
        return SKIP
    n_failed = 0
    with tempfile.TemporaryDirectory() as work:
        for base, change, longest, factor in [v + (1,) for v in VARIANTS] + [(b, c, 99, f) for b, c, f in ROUNDED]:
            for device in ("ref", "cpu"):
                try:
                    check(oll, shared, work, base, change, longest, factor, device)
                except (RuntimeError, AssertionError) as e:
                    n_failed += 1
                    print("FAIL %s, %s, %s: %s" % (base, change.__name__, device, e))
    print("%d variants on two devices, %d failures" % (len(VARIANTS) + len(ROUNDED), n_failed))
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
