"""An independent forward pass in plain Python floats, for models too rare to have golden files.

A model is described by a dict (see DEFAULTS), not by GGUF keys: what a file leaves to defaults is spelled out here.
Weights are lists of rows. Written from the published descriptions of the architectures; slow and obvious.
"""
import math

DEFAULTS = {
    "norm": "rms", "eps": 1e-5, "causal": True,
    "n_head": 4, "n_head_kv": 2, "head_dim": 8,
    "rope": "none", "n_rot": 0, "base": 10000.0,      # "norm": pairs (2i, 2i + 1); "neox": pairs (i, i + n_rot / 2)
    "rope_layers": None, "rope_factors": None,        # layers that rotate (None: all); divisors of the frequencies
    "yarn": None, "yarn_layers": None,                # (factor, original context); layers it applies to
    "yarn_turns": (32, 1), "magnitude": None,         # fast and slow; None: 1, with yarn 1 + 0.1 ln(factor)
    "linear": 1.0, "linear_layers": None, "bases": None,  # divisor of the angles; layers; base of each layer
    "kv_heads": None,                                 # of each layer
    "attn_softcap": 0.0, "final_softcap": 0.0,
    "windows": None,                                  # of each layer, 0: none
    "alibi": 0.0, "clamp": 0.0, "attn_scale": None,
    "qk_norm": None, "qk_norm_after_rope": False,     # "head", "heads" (own weights per head), "vector"
    "pre_norm": True, "post_norm": False, "parallel": False, "norm2": "ffn_norm",
    "act": "silu", "gated": True,
    "n_expert": 0, "n_used": 0, "gating": "softmax", "normalise": True, "expert_scale": 1.0, "groups": None,
    "embedding_scale": 1.0, "residual_scale": 1.0, "logit_scale": 1.0,
    "positions": False, "embd_norm": False,
    "encoder": False, "types": False, "pooling": "mean",  # norms behind the residual adds; segment 0 is added; of embeddings
}


# ---- vectors ----

def matvec(w, x, bias=None):
    y = [sum(a * b for a, b in zip(row, x)) for row in w]
    return [a + b for a, b in zip(y, bias)] if bias else y


def add(x, y, scale=1.0):
    return [a + scale * b for a, b in zip(x, y)]


def normalise(kind, x, w, b, eps):
    n = len(x)
    if kind == "rms":
        s = 1 / math.sqrt(sum(v * v for v in x) / n + eps)
        y = [v * s for v in x]
    else:
        mean = sum(x) / n
        s = 1 / math.sqrt(sum((v - mean) ** 2 for v in x) / n + eps)
        y = [(v - mean) * s for v in x]
    if w:
        y = [a * c for a, c in zip(y, w)]
    return [a + c for a, c in zip(y, b)] if b else y


def softmax(x):
    top = max(x)
    e = [math.exp(v - top) for v in x]
    return [v / sum(e) for v in e]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


ACTS = {
    "silu": lambda x: x * sigmoid(x),
    "gelu": lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3))),
    "relu2": lambda x: max(x, 0.0) ** 2,
}


GATINGS = {
    "softmax": softmax,
    "sigmoid": lambda x: [sigmoid(v) for v in x],
    "softmax of chosen": lambda x: x,
    "root of softplus": lambda x: [math.sqrt(math.log(1 + math.exp(v))) for v in x],
}


# ---- one model ----

class Reference:
    def __init__(self, description, weights, n_layer):
        self.d = dict(DEFAULTS, **description)
        self.w = weights
        self.n_layer = n_layer

    def get(self, name):
        return self.w.get(name)

    def norm(self, name, x):
        return normalise(self.d["norm"], x, self.get(name + ".weight"), self.get(name + ".bias"), self.d["eps"])

    def linear(self, name, x):
        return matvec(self.w[name + ".weight"], x, self.get(name + ".bias"))

    # rotation

    def frequencies(self, il):
        d = self.d
        out = []
        base = d["bases"][il] if d["bases"] else d["base"]
        for i in range(d["n_rot"] // 2):
            f = base ** (-2 * i / d["n_rot"])
            if d["rope_factors"]:
                f /= d["rope_factors"][i]
            if d["linear_layers"] is None or il in d["linear_layers"]:
                f /= d["linear"]
            out.append(f)
        magnitude = d["magnitude"] or 1.0
        if not d["yarn"] or (d["yarn_layers"] is not None and il not in d["yarn_layers"]):
            return out, magnitude
        factor, original = d["yarn"]

        def pair(turns):
            return d["n_rot"] * math.log(original / (2 * math.pi * turns)) / (2 * math.log(d["base"]))
        low = max(0, math.floor(pair(d["yarn_turns"][0])))
        high = min(d["n_rot"] - 1, math.ceil(pair(d["yarn_turns"][1])))
        for i, f in enumerate(out):
            slow = min(1.0, max(0.0, (i - low) / max(0.001, high - low)))
            out[i] = f * (1 - slow) + f / factor * slow
        return out, d["magnitude"] or 1 + 0.1 * math.log(factor)

    def rotate(self, il, head, pos):
        d = self.d
        if d["rope"] == "none" or (d["rope_layers"] is not None and il not in d["rope_layers"]):
            return head
        frequencies, magnitude = self.frequencies(il)
        y = list(head)
        for i, f in enumerate(frequencies):
            a, b = (2 * i, 2 * i + 1) if d["rope"] == "norm" else (i, i + d["n_rot"] // 2)
            c, s = magnitude * math.cos(pos * f), magnitude * math.sin(pos * f)
            y[a], y[b] = head[a] * c - head[b] * s, head[a] * s + head[b] * c
        return y

    # attention

    def heads(self, il, name, x, n_head, pos):
        """Heads of q or k, normalised and rotated in the order of the model."""
        d, hd = self.d, self.d["head_dim"]
        y = self.linear("blk.%d.attn_%s" % (il, name), x)
        if d["clamp"]:
            y = [max(-d["clamp"], min(d["clamp"], v)) for v in y]
        w = self.get("blk.%d.attn_%s_norm.weight" % (il, name))
        b = self.get("blk.%d.attn_%s_norm.bias" % (il, name))
        if d["qk_norm"] == "vector":
            y = normalise(d["norm"], y, w, b, d["eps"])
        heads = [y[h * hd:(h + 1) * hd] for h in range(n_head)]

        def per_head(hs):
            if d["qk_norm"] == "head":
                return [normalise(d["norm"], h, w, b, d["eps"]) for h in hs]
            if d["qk_norm"] == "heads":
                return [normalise(d["norm"], h, w[i], None, d["eps"]) for i, h in enumerate(hs)]
            return hs
        if not d["qk_norm_after_rope"]:
            heads = per_head(heads)
        heads = [self.rotate(il, h, pos) for h in heads]
        return per_head(heads) if d["qk_norm_after_rope"] else heads

    def sees(self, t, j, window):
        if not self.d["causal"]:
            return not window or abs(t - j) <= window // 2
        return j <= t and (not window or t - j < window)

    def slope(self, h):
        n = self.d["n_head"]
        n2 = 2 ** int(math.log2(n))
        if h < n2:
            return 2 ** (-self.d["alibi"] * (h + 1) / n2)
        return 2 ** (-self.d["alibi"] / 2 * (2 * (h - n2) + 1) / n2)

    def attention(self, il, inputs):
        d, hd = self.d, self.d["head_dim"]
        n_head, n_kv = d["n_head"], d["kv_heads"][il] if d["kv_heads"] else d["n_head_kv"]
        window = d["windows"][il] if d["windows"] else 0
        scale = d["attn_scale"] or hd ** -0.5
        q = [self.heads(il, "q", x, n_head, t) for t, x in enumerate(inputs)]
        k = [self.heads(il, "k", x, n_kv, t) for t, x in enumerate(inputs)]
        v = []
        for x in inputs:
            y = self.linear("blk.%d.attn_v" % il, x)
            if d["clamp"]:
                y = [max(-d["clamp"], min(d["clamp"], e)) for e in y]
            v.append([y[h * hd:(h + 1) * hd] for h in range(n_kv)])
        out = []
        for t in range(len(inputs)):
            seen = [j for j in range(len(inputs)) if self.sees(t, j, window)]
            joined = []
            for h in range(n_head):
                g = h // (n_head // n_kv)
                s = [scale * sum(a * b for a, b in zip(q[t][h], k[j][g])) for j in seen]
                if d["attn_softcap"]:
                    s = [d["attn_softcap"] * math.tanh(e / d["attn_softcap"]) for e in s]
                if d["alibi"]:
                    s = [e - self.slope(h) * abs(t - j) for e, j in zip(s, seen)]
                p = softmax(s)
                joined += [sum(p[i] * v[j][g][c] for i, j in enumerate(seen)) for c in range(hd)]
            sub = "blk.%d.attn_sub_norm" % il
            if self.get(sub + ".weight"):
                joined = self.norm(sub, joined)
            out.append(self.linear("blk.%d.attn_output" % il, joined))
        return out

    # feed-forward

    def mlp(self, il, x, suffix="", expert=None):
        act = ACTS[self.d["act"]]

        def lin(name, y):
            full = "blk.%d.%s%s" % (il, name, suffix)
            w, b = self.w[full + ".weight"], self.get(full + ".bias")
            return matvec(w if expert is None else w[expert], y, b)
        up = lin("ffn_up", x)
        h = [act(g) * u for g, u in zip(lin("ffn_gate", x), up)] if self.d["gated"] else [act(u) for u in up]
        sub = "blk.%d.ffn_sub_norm" % il
        if self.get(sub + ".weight"):
            h = self.norm(sub, h)
        return lin("ffn_down", h)

    def choose(self, scores):
        """The n_used best experts, from the best groups where the model has groups."""
        d = self.d
        allowed = range(d["n_expert"])
        if d["groups"]:
            n_group, n_best = d["groups"]
            size = d["n_expert"] // n_group
            worth = [sum(sorted(scores[g * size:(g + 1) * size])[-2:]) for g in range(n_group)]
            best = sorted(range(n_group), key=lambda g: -worth[g])[:n_best]
            allowed = [e for g in best for e in range(g * size, (g + 1) * size)]
        return sorted(allowed, key=lambda e: -scores[e])[:d["n_used"]]

    def moe(self, il, x):
        d = self.d
        logits = self.linear("blk.%d.ffn_gate_inp" % il, x)
        p = GATINGS[d["gating"]](logits)
        bias = self.get("blk.%d.exp_probs_b.bias" % il)
        chosen = self.choose(add(p, bias) if bias else p)
        weights = [p[e] for e in chosen]
        if d["gating"] == "softmax of chosen":
            weights = softmax(weights)
        if d["normalise"]:
            weights = [w / sum(weights) for w in weights]
        y = [0.0] * len(x)
        for e, w in zip(chosen, weights):
            y = add(y, self.mlp(il, x, "_exps", e), w * d["expert_scale"])
        if self.get("blk.%d.ffn_up_shexp.weight" % il):
            shared = self.mlp(il, x, "_shexp")
            gate = self.get("blk.%d.ffn_gate_inp_shexp.weight" % il)
            y = add(y, shared, sigmoid(matvec(gate, x)[0]) if gate else 1.0)
        return y

    def ffn(self, il, x):
        return self.moe(il, x) if self.get("blk.%d.ffn_gate_inp.weight" % il) else self.mlp(il, x)

    # all

    def block(self, il, stream):
        d, scale = self.d, self.d["residual_scale"]
        name = "blk.%d." % il
        first, second = name + "attn_norm", name + d["norm2"]
        if self.get(name + "attn_norm_2.weight"):
            first, second = name + "attn_norm_2", name + "attn_norm"
        inputs = [self.norm(first, x) for x in stream] if d["pre_norm"] else stream
        branch = self.attention(il, inputs)
        if d["post_norm"]:
            branch = [self.norm(name + "post_attention_norm", a) for a in branch]
        out = [add(x, a, scale) for x, a in zip(stream, branch)]
        source = stream if d["parallel"] else out
        if d["parallel"] and not self.get(second + ".weight"):
            inputs = [self.norm(first, x) for x in source]
        elif d["pre_norm"]:
            inputs = [self.norm(second, x) for x in source]
        else:
            inputs = source
        branch = [self.ffn(il, h) for h in inputs]
        if d["post_norm"]:
            branch = [self.norm(name + "post_ffw_norm", f) for f in branch]
        return [add(x, f, scale) for x, f in zip(out, branch)]

    def encoder_block(self, il, stream):
        name = "blk.%d." % il
        out = [self.norm(name + "attn_output_norm", add(x, a)) for x, a in zip(stream, self.attention(il, stream))]
        if self.get(name + "attn_norm_2.weight"):
            out = [self.norm(name + "attn_norm_2", add(x, y)) for x, y in zip(stream, out)]
        return [self.norm(name + "layer_output_norm", add(x, self.ffn(il, x))) for x in out]

    def hidden(self, tokens, n_first=None):
        """What the last layer leaves at each token, normalised where the model has a final norm. Tokens from n_first on are
        of a second segment."""
        d = self.d
        stream = [[d["embedding_scale"] * v for v in self.w["token_embd.weight"][t]] for t in tokens]
        if d["positions"]:
            stream = [add(x, self.w["position_embd.weight"][i]) for i, x in enumerate(stream)]
        if d["types"]:
            second = len(tokens) if n_first is None else n_first
            stream = [add(x, self.w["token_types.weight"][int(i >= second)]) for i, x in enumerate(stream)]
        if d["embd_norm"]:
            stream = [self.norm("token_embd_norm", x) for x in stream]
        for il in range(self.n_layer):
            stream = self.encoder_block(il, stream) if d["encoder"] else self.block(il, stream)
        return stream if d["encoder"] else [self.norm("output_norm", x) for x in stream]

    def embedding(self, tokens):
        rows = self.hidden(tokens)
        v = {"mean": [sum(c) for c in zip(*rows)], "first": rows[0], "last": rows[-1]}[self.d["pooling"]]
        length = math.sqrt(sum(x * x for x in v))
        return [x / length for x in v]

    def rank(self, tokens, n_first=None):
        """What a ranking head says: one number per label."""
        rows = self.hidden(tokens, n_first)
        v = rows[-1] if self.d["causal"] else rows[0]
        if self.get("cls.weight"):
            v = matvec(self.w["cls.weight"], v, self.get("cls.bias"))
            if self.get("cls.norm.weight"):
                v = self.norm("cls.norm", [ACTS["gelu"](x) for x in v])
            else:
                v = [math.tanh(x) for x in v]
        return matvec(self.w["cls.output.weight"], v, self.get("cls.output.bias"))

    def logits(self, tokens):
        """Logits after each token."""
        d = self.d
        head = self.w.get("output.weight") or self.w["token_embd.weight"]
        bias = self.get("output.bias")
        rows = [[d["logit_scale"] * v for v in matvec(head, x, bias)] for x in self.hidden(tokens)]
        cap = d["final_softcap"]
        return [[cap * math.tanh(v / cap) for v in row] for row in rows] if cap else rows
