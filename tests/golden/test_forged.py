#!/usr/bin/env python3
"""Architectures without a golden file: test_forged.py OLL.

Each case forges a tiny model with random weights, writes it as GGUF and compares every logit of `oll logits`, or the
vector of `oll embed`, with an independent implementation (model_reference.py).
"""
import math
import os
import random
import sys
import tempfile

import golden_run
import gguf_file as gguf
from model_reference import DEFAULTS, Reference

N_EMBD, N_FF, N_VOCAB, N_LAYER, N_TOKENS = 32, 48, 40, 2, 21
N_FF_EXP, N_FF_SHEXP = 24, 40


class Forge:
    """Random weights of a model, as lists for the reference and as tensors for the file."""

    def __init__(self, description, options, seed):
        self.d = dict(DEFAULTS, **description)
        self.options = options
        self.random = random.Random(seed)
        self.lists, self.tensors = {}, {}

    def values(self, n, scale, centre=0.0):
        # As f32, so that both sides see the same numbers.
        raw = gguf.floats([self.random.gauss(centre, scale) for _ in range(n)], (n,))
        return gguf.unpack_floats(raw)

    def vector(self, name, n, scale=0.3, centre=0.0):
        v = self.values(n, scale, centre)
        self.lists[name], self.tensors[name] = v, gguf.floats(v, (n,))

    def norm(self, name, n):
        if self.options.get("bare_norms"):
            return
        self.vector(name + ".weight", n, 0.3, 1.0)
        if self.d["norm"] == "layer" and not self.options.get("no_norm_bias"):
            self.vector(name + ".bias", n)

    def matrix(self, name, n_in, n_out, bias=False):
        v = self.values(n_in * n_out, 1.2 * n_in ** -0.5)
        self.lists[name + ".weight"] = [v[r * n_in:(r + 1) * n_in] for r in range(n_out)]
        self.tensors[name + ".weight"] = gguf.floats(v, (n_out, n_in))
        if bias:
            self.vector(name + ".bias", n_out)

    def experts(self, name, n_in, n_out):
        n = self.d["n_expert"]
        v = self.values(n * n_in * n_out, 1.2 * n_in ** -0.5)
        rows = [v[r * n_in:(r + 1) * n_in] for r in range(n * n_out)]
        self.lists[name + ".weight"] = [rows[e * n_out:(e + 1) * n_out] for e in range(n)]
        self.tensors[name + ".weight"] = gguf.floats(v, (n, n_out, n_in))

    def fuse_qkv(self, il):
        for suffix in (".weight", ".bias"):
            names = ["blk.%d.attn_%s%s" % (il, c, suffix) for c in "qkv"]
            if names[0] in self.tensors:
                parts = [self.tensors.pop(n) for n in names]
                shape = (sum(p.shape[0] for p in parts),) + parts[0].shape[1:]
                self.tensors["blk.%d.attn_qkv%s" % (il, suffix)] = gguf.Tensor(
                    shape, parts[0].kind, b"".join(p.data for p in parts))

    def head_norm(self, name, n_head):
        hd, kind = self.d["head_dim"], self.d["qk_norm"]
        if kind == "heads":
            v = self.values(n_head * hd, 0.3, 1.0)
            self.lists[name + ".weight"] = [v[h * hd:(h + 1) * hd] for h in range(n_head)]
            self.tensors[name + ".weight"] = gguf.floats(v, (n_head, hd))
        elif kind:
            self.norm(name, hd if kind == "head" else n_head * hd)

    def attention(self, il):
        d, o, b = self.d, self.options, "blk.%d." % il
        kv_heads = d["kv_heads"][il] if d["kv_heads"] else d["n_head_kv"]
        n_q, n_kv = d["n_head"] * d["head_dim"], kv_heads * d["head_dim"]
        bias = o.get("bias", ())
        self.matrix(b + "attn_q", N_EMBD, n_q, "q" in bias)
        self.matrix(b + "attn_k", N_EMBD, n_kv, "k" in bias)
        self.matrix(b + "attn_v", N_EMBD, n_kv, "v" in bias)
        self.matrix(b + "attn_output", n_q, N_EMBD, "o" in bias)
        self.head_norm(b + "attn_q_norm", d["n_head"])
        self.head_norm(b + "attn_k_norm", kv_heads)
        if o.get("fused"):
            self.fuse_qkv(il)
        if o.get("sub_norms"):
            self.norm(b + "attn_sub_norm", n_q)

    def feed_forward(self, il):
        d, b, bias = self.d, "blk.%d." % il, "f" in self.options.get("bias", ())
        dense = d["n_expert"] == 0 or il < self.options.get("n_dense", 0)
        if dense:
            if d["gated"]:
                self.matrix(b + "ffn_gate", N_EMBD, N_FF, bias)
            self.matrix(b + "ffn_up", N_EMBD, N_FF, bias)
            self.matrix(b + "ffn_down", N_FF, N_EMBD, bias)
            if self.options.get("sub_norms"):
                self.norm(b + "ffn_sub_norm", N_FF)
            return
        self.matrix(b + "ffn_gate_inp", N_EMBD, d["n_expert"])
        if self.options.get("selection_bias"):
            self.vector(b + "exp_probs_b.bias", d["n_expert"], 0.2)
        self.experts(b + "ffn_gate_exps", N_EMBD, N_FF_EXP)
        self.experts(b + "ffn_up_exps", N_EMBD, N_FF_EXP)
        self.experts(b + "ffn_down_exps", N_FF_EXP, N_EMBD)
        if self.options.get("shared"):
            self.matrix(b + "ffn_gate_shexp", N_EMBD, N_FF_SHEXP)
            self.matrix(b + "ffn_up_shexp", N_EMBD, N_FF_SHEXP)
            self.matrix(b + "ffn_down_shexp", N_FF_SHEXP, N_EMBD)
        if self.options.get("shared") == "gated":
            self.matrix(b + "ffn_gate_inp_shexp", N_EMBD, 1)

    def norms(self, il):
        d, b = self.d, "blk.%d." % il
        if d["encoder"]:
            self.norm(b + "attn_output_norm", N_EMBD)
            self.norm(b + "layer_output_norm", N_EMBD)
        elif d["pre_norm"]:
            self.norm(b + "attn_norm", N_EMBD)
            if self.options.get("second_norm", not d["parallel"]):
                self.norm(b + d["norm2"], N_EMBD)
        if d["post_norm"]:
            self.norm(b + "post_attention_norm", N_EMBD)
            self.norm(b + "post_ffw_norm", N_EMBD)
        if self.options.get("attn_norm_2"):
            self.norm(b + "attn_norm_2", N_EMBD)

    def build(self):
        self.matrix("token_embd", N_EMBD, N_VOCAB)
        for row in self.lists["token_embd.weight"]:
            assert len(row) == N_EMBD
        if self.d["positions"]:
            self.matrix("position_embd", N_EMBD, 64)
        if self.d["types"]:
            self.matrix("token_types", N_EMBD, 2)
        if self.d["embd_norm"]:
            self.norm("token_embd_norm", N_EMBD)
        for il in range(N_LAYER):
            self.norms(il)
            self.attention(il)
            self.feed_forward(il)
        if not self.d["encoder"]:
            self.norm("output_norm", N_EMBD)
        if self.options.get("rank"):
            parts, n_label = self.options["rank"]
            if "d" in parts:
                self.matrix("cls", N_EMBD, N_EMBD, "b" in parts)
            if "n" in parts:
                self.norm("cls.norm", N_EMBD)
            self.matrix("cls.output", N_EMBD, n_label, "b" in parts)
        if self.d["causal"] and not self.options.get("tied"):
            self.matrix("output", N_EMBD, N_VOCAB, self.options.get("output_bias", False))
        if self.d["rope_factors"]:
            factors = gguf.floats(self.d["rope_factors"], (len(self.d["rope_factors"]),))
            others = gguf.floats([1.5] * len(self.d["rope_factors"]), (len(self.d["rope_factors"]),))
            longrope = self.options.get("longrope")
            if longrope:
                self.tensors["rope_factors_long.weight"] = factors if longrope == "long" else others
                self.tensors["rope_factors_short.weight"] = factors if longrope == "short" else others
            else:
                self.tensors["rope_freqs.weight"] = factors


def metadata(arch, forge):
    """The keys every file has; the rest is the case's."""
    d = forge.d
    eps = "attention.layer_norm_rms_epsilon" if d["norm"] == "rms" else "attention.layer_norm_epsilon"
    keys = {
        "context_length": (gguf.U32, 256), "embedding_length": (gguf.U32, N_EMBD), "block_count": (gguf.U32, N_LAYER),
        "feed_forward_length": (gguf.U32, N_FF), "attention.head_count": (gguf.U32, d["n_head"]),
        "attention.head_count_kv": (gguf.U32, d["n_head_kv"]), eps: (gguf.F32, d["eps"]),
    }
    if forge.options.get("no_eps"):
        del keys[eps]
    if d["n_expert"]:
        keys["expert_count"] = (gguf.U32, d["n_expert"])
        keys["expert_used_count"] = (gguf.U32, d["n_used"])
        keys["expert_feed_forward_length"] = (gguf.U32, N_FF_EXP)
    if d["kv_heads"]:
        keys["attention.head_count_kv"] = (gguf.ARRAY, (gguf.U32, d["kv_heads"]))
    if d["n_rot"] and d["n_rot"] != d["head_dim"] and not forge.options.get("no_rot_key"):
        keys["rope.dimension_count"] = (gguf.U32, d["n_rot"])
    keys.update(forge.options.get("keys", {}))
    out = {"general.architecture": (gguf.STRING, arch)}
    out.update(("%s.%s" % (arch, k), v) for k, v in keys.items())
    out["tokenizer.ggml.model"] = (gguf.STRING, "none")
    return out


def llama(**more):
    return dict({"rope": "norm", "n_rot": 8}, **more)


def neox(**more):
    return dict({"rope": "neox", "n_rot": 8}, **more)


def layer(**more):
    return dict({"norm": "layer"}, **more)


def moe(**more):
    return dict({"n_expert": 6, "n_used": 2}, **more)


def encoder(**more):
    return layer(**dict({"encoder": True, "causal": False, "types": True, "embd_norm": True, "act": "gelu",
                         "n_head_kv": 4}, **more))


ALL_BIASES = "qkvof"
YARN = {"rope.scaling.type": (gguf.STRING, "yarn"), "rope.scaling.factor": (gguf.F32, 4.0),
        "rope.scaling.original_context_length": (gguf.U32, 16)}
SIGMOID = {"gating": "sigmoid", "expert_scale": 1.5}
SIGMOID_KEYS = {"expert_weights_scale": (gguf.F32, 1.5), "expert_gating_func": (gguf.U32, 2)}

LINEAR = {"rope.scaling.type": (gguf.STRING, "linear"), "rope.scaling.factor": (gguf.F32, 4.0)}
GEMMA = {"act": "gelu", "embedding_scale": N_EMBD ** 0.5, "rope": "neox", "n_rot": 8}
FACTORS = [1.0, 2.0, 4.0, 8.0]


def scaled(**keys):
    """YARN and further numbers."""
    return {"keys": dict(YARN, **{"rope.scaling." + k: (gguf.F32, v) for k, v in keys.items()})}


def longrope(which, original):
    keys = {"rope.scaling.original_context_length": (gguf.U32, original), "rope.scaling.attn_factor": (gguf.F32, 1.25)}
    return {"longrope": which, "keys": keys}


# name, architecture, description, options of the file
CASES = [
    ("internlm2", "internlm2", llama(), {}),
    ("internlm2 with biases", "internlm2", llama(), {"bias": "qkvo", "fused": True}),
    ("exaone", "exaone", neox(rope_factors=[1.0, 2.0, 4.0, 8.0]), {"tied": True}),
    ("exaone without factors", "exaone", neox(), {}),
    ("xverse", "xverse", llama(), {}),
    ("arcee", "arcee", llama(act="relu2", gated=False), {}),
    ("bitnet", "bitnet", neox(), {"sub_norms": True, "tied": True}),
    ("baichuan 7B", "baichuan", llama(n_head_kv=4), {}),
    ("mpt", "mpt", layer(alibi=8.0, act="gelu", gated=False, n_head_kv=4),
     {"fused": True, "no_norm_bias": True, "tied": True, "keys": {"attention.max_alibi_bias": (gguf.F32, 8.0)}}),
    ("mpt with clamp, norms and odd heads", "mpt",
     layer(alibi=8.0, act="gelu", gated=False, n_head=6, n_head_kv=6, clamp=0.5, qk_norm="vector"),
     {"no_norm_bias": True, "tied": True, "keys": {"attention.clamp_kqv": (gguf.F32, 0.5),
                                                    "attention.key_length": (gguf.U32, 8),
                                                    "attention.value_length": (gguf.U32, 8)}}),
    ("bloom", "bloom", layer(alibi=8.0, act="gelu", gated=False, n_head_kv=4, embd_norm=True),
     {"fused": True, "bias": ALL_BIASES, "tied": True}),
    ("gpt2", "gpt2", layer(act="gelu", gated=False, n_head_kv=4, positions=True), {"fused": True, "bias": ALL_BIASES}),
    ("starcoder", "starcoder", layer(act="gelu", gated=False, n_head_kv=1, positions=True),
     {"fused": True, "bias": ALL_BIASES}),
    ("falcon 7B", "falcon", layer(act="gelu", gated=False, n_head_kv=1, parallel=True, rope="neox", n_rot=8),
     {"fused": True, "tied": True}),
    ("falcon 40B", "falcon", layer(act="gelu", gated=False, parallel=True, rope="neox", n_rot=8),
     {"fused": True, "attn_norm_2": True}),
    ("gptneox serial", "gptneox", layer(act="gelu", gated=False, n_head_kv=4, rope="neox", n_rot=4),
     {"fused": True, "bias": ALL_BIASES, "keys": {"use_parallel_residual": (gguf.BOOL, False)}}),
    ("gptneox parallel", "gptneox", layer(act="gelu", gated=False, n_head_kv=4, rope="neox", n_rot=4, parallel=True),
     {"fused": True, "bias": ALL_BIASES, "second_norm": True}),
    ("phi2 with output bias", "phi2", layer(act="gelu", gated=False, n_head_kv=4, rope="neox", n_rot=4, parallel=True),
     {"fused": True, "bias": ALL_BIASES, "output_bias": True}),
    ("stablelm parallel with norms of heads", "stablelm",
     layer(rope="neox", n_rot=2, parallel=True, qk_norm="heads"), {}),
    ("command-r-plus", "command-r",
     layer(rope="norm", n_rot=8, parallel=True, qk_norm="heads", logit_scale=0.0625),
     {"no_norm_bias": True, "tied": True}),
    ("olmo with clamp", "olmo", layer(rope="norm", n_rot=8, clamp=0.6),
     {"bare_norms": True, "keys": {"attention.clamp_kqv": (gguf.F32, 0.6)}}),
    ("nemotron", "nemotron", layer(rope="neox", n_rot=4, act="relu2", gated=False), {}),
    ("orion", "orion", layer(rope="neox", n_rot=8), {}),
    ("codeshell", "codeshell", layer(rope="neox", n_rot=8, act="gelu", gated=False),
     {"fused": True, "bias": ALL_BIASES}),
    ("olmo3", "olmo2",
     neox(qk_norm="vector", pre_norm=False, post_norm=True, windows=[8, 0], yarn=(4.0, 16), yarn_layers=[1]),
     {"keys": dict(YARN, **{"attention.sliding_window": (gguf.U32, 8),
                            "attention.sliding_window_pattern": (gguf.ARRAY, (gguf.BOOL, [True, False]))})}),
    ("exaone4", "exaone4", neox(qk_norm="head", pre_norm=False, post_norm=True), {}),
    ("exaone4 with a window", "exaone4",
     neox(qk_norm="head", pre_norm=False, post_norm=True, windows=[8, 0], rope_layers=[0]),
     {"keys": {"attention.sliding_window": (gguf.U32, 8), "attention.sliding_window_pattern": (gguf.U32, 2)}}),
    ("hunyuan-dense", "hunyuan-dense", neox(qk_norm="head", qk_norm_after_rope=True), {}),
    ("granite without rotation", "granite", dict(logit_scale=0.5, residual_scale=0.25, embedding_scale=3.0),
     {"tied": True, "keys": {"rope.scaling.finetuned": (gguf.BOOL, False), "logit_scale": (gguf.F32, 2.0),
                             "residual_scale": (gguf.F32, 0.25), "embedding_scale": (gguf.F32, 3.0)}}),
    ("minicpm without scale keys", "minicpm",
     llama(embedding_scale=12.0, residual_scale=1.4 / N_LAYER ** 0.5, logit_scale=256 / N_EMBD), {"tied": True}),
    ("granitemoe with a shared expert", "granitemoe", moe(rope="norm", n_rot=8), {"shared": True}),
    ("qwen2moe", "qwen2moe", moe(rope="neox", n_rot=8, normalise=False), {"bias": "qkv", "shared": "gated"}),
    ("qwen3vlmoe", "qwen3vlmoe", moe(rope="neox", n_rot=8, qk_norm="head"), {}),
    ("olmoe", "olmoe", moe(rope="neox", n_rot=8, qk_norm="vector", normalise=False), {}),
    ("hunyuan-moe", "hunyuan-moe", moe(rope="neox", n_rot=8, qk_norm="head", qk_norm_after_rope=True), {"shared": True}),
    ("ernie4_5-moe", "ernie4_5-moe", moe(rope="norm", n_rot=8),
     {"shared": True, "n_dense": 1, "selection_bias": True}),
    ("dots1", "dots1", moe(rope="neox", n_rot=8, qk_norm="head", **SIGMOID),
     {"shared": True, "n_dense": 1, "selection_bias": True, "keys": SIGMOID_KEYS}),
    ("glm4moe with groups", "glm4moe",
     moe(rope="neox", n_rot=4, norm2="post_attention_norm", groups=(3, 2), **SIGMOID),
     {"bias": "qkv", "shared": True, "n_dense": 1, "selection_bias": True,
      "keys": dict(SIGMOID_KEYS, expert_group_count=(gguf.U32, 3), expert_group_used_count=(gguf.U32, 2))}),
    ("minimax-m2", "minimax-m2", moe(rope="neox", n_rot=4, qk_norm="vector", gating="sigmoid"),
     {"selection_bias": True, "keys": {"expert_gating_func": (gguf.U32, 2)}}),
    ("dbrx", "dbrx", moe(norm="layer", rope="neox", n_rot=8, norm2="attn_output_norm", clamp=0.7),
     {"no_norm_bias": True, "keys": {"attention.clamp_kqv": (gguf.F32, 0.7)}}),
    ("cohere2moe", "cohere2moe",
     moe(norm="layer", rope="norm", n_rot=8, parallel=True, windows=[8, 0], rope_layers=[0], gating="sigmoid",
         logit_scale=0.25),
     {"no_norm_bias": True, "tied": True, "n_dense": 1,
      "keys": {"attention.sliding_window": (gguf.U32, 8), "attention.sliding_window_pattern": (gguf.U32, 2),
               "logit_scale": (gguf.F32, 0.25)}}),
    ("llama with ALiBi-free experts and shared expert", "llama", moe(rope="norm", n_rot=8), {"shared": True}),
    ("qwen2 with yarn", "qwen2", neox(yarn=(4.0, 16)), {"bias": "qkv", "keys": YARN}),
    ("qwen2 with yarn between other turns", "qwen2", neox(yarn=(4.0, 64), yarn_turns=(8, 0.25)),
     {"keys": dict(scaled(yarn_beta_fast=8.0, yarn_beta_slow=0.25)["keys"],
                   **{"rope.scaling.original_context_length": (gguf.U32, 64)})}),
    ("qwen2 with yarn and a factor", "qwen2", neox(yarn=(4.0, 16), magnitude=1.5 * (1 + 0.1 * math.log(4))),
     scaled(attn_factor=1.5)),
    ("qwen2 with yarn and its own magnitude", "qwen2", neox(yarn=(4.0, 16), magnitude=0.7), scaled(yarn_attn_factor=0.7)),
    ("mistral3 with half a logarithm", "mistral3",
     llama(yarn=(4.0, 16), magnitude=(1 + 0.1 * math.log(4)) / (1 + 0.05 * math.log(4))),
     scaled(yarn_log_multiplier=0.5)),
    ("llama with linear scaling and a factor", "llama", llama(linear=4.0, magnitude=1.25),
     {"keys": dict(LINEAR, **{"rope.scaling.attn_factor": (gguf.F32, 1.25)})}),
    ("llama with both scalings", "llama", llama(linear=4.0, rope_factors=FACTORS), {"keys": LINEAR}),
    ("phi3 beyond its original context", "phi3", neox(rope_factors=FACTORS, magnitude=1.25), longrope("long", 16)),
    ("phi3 within its original context", "phi3", neox(rope_factors=FACTORS, magnitude=1.25), longrope("short", 64)),
    ("minicpm beyond its original context", "minicpm",
     llama(embedding_scale=12.0, residual_scale=1.4 / N_LAYER ** 0.5, logit_scale=256 / N_EMBD, rope_factors=FACTORS,
           magnitude=1.25), longrope("long", 16)),
    ("llama whose layers differ in kv heads", "llama", llama(kv_heads=[4, 1]), {}),
    ("gemma", "gemma", dict(GEMMA), {"tied": True}),
    ("gemma2 without caps", "gemma2",
     dict(GEMMA, post_norm=True, windows=[8, 0], attn_softcap=50.0, final_softcap=30.0),
     {"tied": True, "keys": {"attention.sliding_window": (gguf.U32, 8)}}),
    ("gemma3 with the long context's scaling unsaid", "gemma3",
     dict(GEMMA, post_norm=True, qk_norm="head", windows=[8, 0], bases=[1e4, 1e6], linear=8.0, linear_layers=[1],
          eps=1e-6),
     {"tied": True, "no_eps": True,
      "keys": {"attention.sliding_window": (gguf.U32, 8), "attention.sliding_window_pattern": (gguf.U32, 2),
               "context_length": (gguf.U32, 131072)}}),
    ("chatglm", "chatglm", llama(n_rot=4), {"no_rot_key": True, "fused": True, "bias": "qkv"}),
    ("glm4", "glm4", llama(n_rot=4, post_norm=True), {"no_rot_key": True, "bias": "qkv"}),
    ("stablelm", "stablelm", layer(rope="neox", n_rot=2), {"no_rot_key": True}),
    ("command-r without a scale", "command-r", layer(rope="norm", n_rot=8, parallel=True, logit_scale=0.0625),
     {"no_norm_bias": True, "tied": True}),
    ("experts chosen before the softmax", "llama", moe(rope="norm", n_rot=8, gating="softmax of chosen", normalise=False),
     {"keys": {"expert_gating_func": (gguf.U32, 3)}}),
    ("experts weighed by roots", "llama", moe(rope="norm", n_rot=8, gating="root of softplus"),
     {"keys": {"expert_gating_func": (gguf.U32, 4)}}),
    ("llama-embed", "llama-embed", llama(causal=False), {}),
    ("qwen2 that sees both ways", "qwen2", neox(causal=False, pooling="last"),
     {"bias": "qkv", "keys": {"attention.causal": (gguf.BOOL, False), "pooling_type": (gguf.U32, 3)}}),
    ("bert", "bert", encoder(positions=True, gated=False), {"bias": ALL_BIASES}),
    ("bert of one segment, first token", "bert", encoder(positions=True, gated=False, types=False, pooling="first"),
     {"bias": ALL_BIASES, "fused": True, "keys": {"pooling_type": (gguf.U32, 2)}}),
    ("bert that ranks", "bert", encoder(positions=True, gated=False),
     {"bias": ALL_BIASES, "rank": ("db", 1), "keys": {"pooling_type": (gguf.U32, 4)}}),
    ("bert that ranks without a dense layer", "bert", encoder(positions=True, gated=False),
     {"bias": ALL_BIASES, "rank": ("b", 2), "keys": {"pooling_type": (gguf.U32, 4)}}),
    ("bert that ranks with a norm", "bert", encoder(positions=True, gated=False),
     {"bias": ALL_BIASES, "rank": ("dn", 1), "keys": {"pooling_type": (gguf.U32, 4)}}),
    ("qwen3 that ranks", "qwen3", neox(qk_norm="head"), {"rank": ("", 2), "keys": {"pooling_type": (gguf.U32, 4)}}),
    ("nomic-bert", "nomic-bert", encoder(rope="neox", n_rot=8, act="silu"), {"fused": True}),
    ("jina-bert-v2", "jina-bert-v2", encoder(alibi=8.0), {"bias": "o"}),
    ("jina-bert-v2 for code", "jina-bert-v2", encoder(alibi=8.0, qk_norm="vector", n_head=6, n_head_kv=6),
     {"bias": ALL_BIASES, "attn_norm_2": True,
      "keys": {"attention.key_length": (gguf.U32, 8), "attention.value_length": (gguf.U32, 8)}}),
    ("llama with an attention scale", "llama", llama(attn_scale=0.2),
     {"keys": {"attention.scale": (gguf.F32, 0.2)}}),
]


def check(oll, work, case, seed):
    name, arch, description, options = case
    forge = Forge(description, options, seed)
    forge.build()
    path = os.path.join(work, "model.gguf")
    gguf.write(path, metadata(arch, forge), forge.tensors)
    tokens = [forge.random.randrange(N_VOCAB) for _ in range(N_TOKENS)]
    reference = Reference(description, forge.lists, N_LAYER)
    if not forge.d["causal"] or "rank" in options:
        expected = reference.rank(tokens) if "rank" in options else reference.embedding(tokens)
        for device in ("ref", "cpu", "cpu:0-0,ref:1-1"):
            worst = golden_run.max_diff(golden_run.embedding(oll, path, tokens, device), expected)
            if not worst <= 2e-5:
                raise RuntimeError("%s: differs by %.3g" % (device, worst))
        return
    expected = reference.logits(tokens)
    spread = max(max(row) - min(row) for row in expected)
    for device, passes in (("ref", "512"), ("ref", "4"), ("cpu", "5")):
        rows = golden_run.logits(oll, path, tokens, os.path.join(work, "l.npy"), device, "--batch", passes)
        worst = max(golden_run.max_diff(a, b) for a, b in zip(rows, expected))
        if not worst <= 2e-4 * spread:
            raise RuntimeError("%s, passes of %s: differs by %.3g of %.3g" % (device, passes, worst, spread))


def main():
    oll = sys.argv[1]
    n_failed = 0
    with tempfile.TemporaryDirectory() as work:
        for seed, case in enumerate(CASES):
            try:
                check(oll, work, case, seed)
            except (RuntimeError, AssertionError) as e:
                n_failed += 1
                print("FAIL %s: %s" % (case[0], e))
    print("%d forged models, %d failures" % (len(CASES), n_failed))
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
