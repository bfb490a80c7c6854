#!/usr/bin/env python3
"""POST /v1/rerank: scores of forged models against an independent forward pass. test_rerank.py OLL.

An encoder with two segments and WordPiece, one with a RoBERTa-like vocabulary, a decoder with a head and one that says
yes or no in its logits; the ids that they must see are put together here, by hand.
"""
import math
import os
import sys
import tempfile

from served import Checks, Server

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
import gguf_file as gguf  # noqa: E402
import test_forged as forged  # noqa: E402
from model_reference import Reference  # noqa: E402

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + ["▁w%d" % i for i in range(35)]
UNK, CLS, SEP = 1, 2, 3
EXTRA = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<think>", "</think>", "yes", "no", "Ġw"]
MARKS = {name: 256 + i for i, name in enumerate(EXTRA)}
QWEN = ("<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
        "provided. Note that the answer can only be \"yes\" or \"no\".<|im_end|>\n<|im_start|>user\n<Instruct>: %s\n"
        "<Query>: %s\n<Document>: %s<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n")
SEARCH = "Given a web search query, retrieve relevant passages that answer the query"
OWN = "<|im_start|>q={query}<|im_end|>d={document}<|im_end|>"
RANK = {"pooling_type": (gguf.U32, 4)}
SHORT = {"context_length": (gguf.U32, 64)}  # what has a learned position
LONG = {"context_length": (gguf.U32, 640)}


def byte_chars():
    plain = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    rest = [b for b in range(256) if b not in plain]
    return {b: chr(b) if b in plain else chr(256 + rest.index(b)) for b in range(256)}


def texts(values):
    return (gguf.ARRAY, (gguf.STRING, values))


def wordpiece():
    return {"tokenizer.ggml.model": (gguf.STRING, "bert"), "tokenizer.ggml.tokens": texts(WORDS),
            "tokenizer.ggml.token_type": (gguf.ARRAY, (gguf.I32, [3] * 5 + [1] * 35)),
            "tokenizer.ggml.cls_token_id": (gguf.U32, CLS), "tokenizer.ggml.seperator_token_id": (gguf.U32, SEP),
            "tokenizer.ggml.unknown_token_id": (gguf.U32, UNK)}


def bytelevel(pre, **more):
    chars = byte_chars()
    return dict({"tokenizer.ggml.model": (gguf.STRING, "gpt2"), "tokenizer.ggml.pre": (gguf.STRING, pre),
                 "tokenizer.ggml.tokens": texts([chars[b] for b in range(256)] + EXTRA),
                 "tokenizer.ggml.token_type": (gguf.ARRAY, (gguf.I32, [1] * 256 + [3] * 6 + [1] * 3)),
                 "tokenizer.ggml.merges": texts(["Ġ w"]), "tokenizer.ggml.bos_token_id": (gguf.U32, MARKS["<s>"]),
                 "tokenizer.ggml.eos_token_id": (gguf.U32, MARKS["</s>"]),
                 "tokenizer.ggml.add_bos_token": (gguf.BOOL, False)}, **more)


class Model:
    """A forged model in the store, and its reference."""

    def __init__(self, server, name, arch, description, options, tokenizer, n_vocab, seed):
        forged.N_VOCAB = n_vocab
        forge = forged.Forge(description, options, seed)
        forge.build()
        self.name, self.forge = name, forge
        self.reference = Reference(description, forge.lists, forged.N_LAYER)
        path = os.path.join(os.path.dirname(server.models), "forged.gguf")
        gguf.write(path, dict(forged.metadata(arch, forge), **tokenizer), forge.tensors)
        with open(path, "rb") as f:
            digest = server.upload(f.read())
        status, reply = server.post("/api/create", {"model": name, "files": {"m.gguf": digest}, "stream": False})
        if status != 200:
            raise RuntimeError("%s: %s" % (name, reply))

    def head(self, ids, n_first=None):
        values = self.reference.rank(ids, n_first)
        return values[0] if len(values) == 1 else values

    def yes_no(self, ids):
        row = self.reference.logits(ids)[-1]
        return row[MARKS["yes"]] - row[MARKS["no"]]


def plain(text):
    """Ids of text in which marks mean nothing."""
    out, data = [], text.encode()
    while data:
        n = 2 if data.startswith(b" w") else 1
        out.append(MARKS["Ġw"] if n == 2 else data[0])
        data = data[n:]
    return out


def marked(template, *values):
    """Ids of a prompt: marks of the template count, those of the values do not."""
    hidden = [v.replace("<", "\0") for v in values]
    ids, rest = [], template % tuple(hidden)
    while rest:
        found = min(((rest.index(m), m) for m in MARKS if m.startswith("<") and m in rest), default=(len(rest), ""))
        ids += plain(rest[:found[0]].replace("\0", "<")) + ([MARKS[found[1]]] if found[1] else [])
        rest = rest[found[0] + len(found[1]):]
    return ids


def words(text):
    return [WORDS.index("▁" + w) if "▁" + w in WORDS else UNK for w in text.split()]


def rank(server, model, query, documents, **more):
    return server.post("/v1/rerank", {"model": model, "query": query, "documents": documents, **more})


def check_scores(checks, server, name, query, documents, expected, n_tokens, **more):
    status, reply = rank(server, name, query, documents, raw_scores=True, **more)
    if not checks.equal(status, 200, "%s: %s" % (name, reply)):
        return
    got = {r["index"]: r["relevance_score"] for r in reply["results"]}
    worst = max(abs(got[i] - e) for i, e in enumerate(expected))
    checks.true(worst <= 2e-3, "%s: differs by %.3g: %s %s" % (name, worst, got, expected))
    order = [r["index"] for r in reply["results"]]
    checks.equal(order, sorted(range(len(expected)), key=lambda i: -expected[i]), name + ": best first")
    checks.equal(reply["usage"], {"prompt_tokens": n_tokens, "total_tokens": n_tokens}, name + ": usage")
    status, reply = rank(server, name, query, documents, **more)
    worst = max(abs(r["relevance_score"] - 1 / (1 + math.exp(-expected[r["index"]]))) for r in reply["results"])
    checks.true(status == 200 and worst <= 1e-3, "%s: probabilities differ by %.3g" % (name, worst))


def check_encoder(checks, server):
    bert = Model(server, "cross", "bert", forged.encoder(positions=True, gated=False),
                 {"bias": forged.ALL_BIASES, "rank": ("db", 1), "keys": dict(RANK, **SHORT)}, wordpiece(), len(WORDS), 5)
    query, documents = "w1 w2 w3", ["w4 w5", "w1 w2 w3 w6 w7 w30", "none w9", ""]
    pairs = [([CLS] + words(query) + [SEP], words(d) + [SEP]) for d in documents]
    expected = [bert.head(a + b, len(a)) for a, b in pairs]
    n = sum(len(a) + len(b) for a, b in pairs)
    check_scores(checks, server, "cross", query, documents, expected, n)
    other = bert.head(pairs[1][0] + pairs[1][1])
    checks.true(abs(other - expected[1]) > 0.01, "segments make a difference: %g %g" % (other, expected[1]))
    cut = "w8 " * 60
    first = [CLS] + words(query) + [SEP]
    ids = first + [WORDS.index("▁w8")] * (15 - len(first)) + [SEP]
    check_scores(checks, server, "cross", query, [cut], [bert.head(ids, len(first))], 16, options={"num_ctx": 16})
    status, reply = server.post("/api/embed", {"model": "cross", "input": "w1"})
    worst = abs(reply["embeddings"][0][0] - bert.head([CLS] + words("w1") + [SEP]))
    checks.true(status == 200 and len(reply["embeddings"][0]) == 1 and worst < 2e-3, "what the head says: %s" % reply)
    for more, fault in (({"truncate": False}, "exceeds the context length"), ({"query": "w1 " * 40}, "no room for a document")):
        body = {"model": "cross", "query": query, "documents": [cut], "options": {"num_ctx": 16}, **more}
        status, reply = server.post("/v1/rerank", body)
        checks.true(status == 400 and fault in reply["error"]["message"], "%s: %s %s" % (fault, status, reply))


def check_roberta(checks, server):
    model = Model(server, "roberta", "bert", forged.encoder(positions=True, gated=False, types=False),
                  {"rank": ("b", 2), "keys": dict(RANK, **SHORT)}, bytelevel("default"), 256 + len(EXTRA), 6)
    query, documents = "ab", ["ab w", "xyz"]
    bos, eos = MARKS["<s>"], MARKS["</s>"]
    inputs = [[bos] + plain(query) + [eos, eos] + plain(d) + [eos] for d in documents]
    heads = [model.head(ids) for ids in inputs]
    check_scores(checks, server, "roberta", query, documents, [b - a for a, b in heads], sum(map(len, inputs)))


def check_decoders(checks, server):
    query, documents = "is it <|im_end|> wet", ["when water falls", "no </think>", "ünïcode w"]
    neox = forged.neox(qk_norm="head")
    own = Model(server, "judge", "qwen3", neox, {"rank": ("", 2), "keys": dict(RANK, **{
        "classifier.output_labels": texts(["no", "yes"])})},
        bytelevel("qwen2", **{"tokenizer.chat_template.rerank": (gguf.STRING, OWN)}), 256 + len(EXTRA), 7)
    template = OWN.replace("{query}", "%s").replace("{document}", "%s")
    inputs = [marked(template, query, d) for d in documents]
    heads = [own.head(ids) for ids in inputs]
    check_scores(checks, server, "judge", query, documents, [b - a for a, b in heads], sum(map(len, inputs)))
    cut = marked(template, query, "é" * 200)
    room = (60 - len(marked(template, query, ""))) // 2
    ids = marked(template, query, "é" * room)
    heads = own.head(ids)
    checks.true(len(cut) > 60 >= len(ids), "the long one is too long")
    check_scores(checks, server, "judge", query, ["é" * 200], [heads[1] - heads[0]], len(ids), options={"num_ctx": 60})

    tokenizer = bytelevel("qwen2", **{"general.name": (gguf.STRING, "Qwen3 Reranker")})
    logits = Model(server, "qwen", "qwen3", neox, {"keys": LONG}, tokenizer, 256 + len(EXTRA), 8)
    inputs = [marked(QWEN, SEARCH, query, d) for d in documents]
    expected = [logits.yes_no(ids) for ids in inputs]
    check_scores(checks, server, "qwen", query, documents, expected, sum(map(len, inputs)))
    ids = marked(QWEN, "find w", query, documents[0])
    check_scores(checks, server, "qwen", query, documents[:1], [logits.yes_no(ids)], len(ids), instruction="find w")

    Model(server, "plain", "qwen3", neox, {"keys": LONG}, bytelevel("qwen2"), 256 + len(EXTRA), 8)
    status, reply = rank(server, "plain", "a", ["b"])
    checks.true(status == 400 and "does not rank" in reply["error"]["message"], "a model that only generates: %s" % reply)
    checks.equal(server.post("/api/copy", {"source": "plain", "destination": "me/my-reranker"})[0], 200, "a name")
    check_scores(checks, server, "me/my-reranker", query, documents, expected, sum(map(len, inputs)))


def check_shape(checks, server):
    documents = ["w1", {"text": "w2 w3"}, "w4", "w5"]
    status, reply = rank(server, "cross", {"text": "w1"}, documents, top_n=2, return_documents=True)
    checks.equal((status, list(reply)), (200, ["model", "object", "results", "usage"]), "keys")
    checks.equal((reply["model"], reply["object"], len(reply["results"])), ("cross", "list", 2), "the best two")
    for r in reply["results"]:
        text = documents[r["index"]]
        checks.equal(r["document"], {"text": text if isinstance(text, str) else text["text"]}, "its document")
        checks.equal(list(r), ["index", "relevance_score", "document"], "keys of a result")
    body = {"model": "cross", "query": "w1", "documents": documents}
    replies = [server.post(path, body) for path in ("/v1/rerank", "/v1/reranking", "/rerank")]
    checks.true(replies[0][0] == 200 and replies[0] == replies[1] == replies[2], "three names: %s" % replies)
    checks.equal(list(replies[0][1]["results"][0]), ["index", "relevance_score"], "without documents")
    checks.equal(len(rank(server, "cross", "w1", documents, top_n=99)[1]["results"]), 4, "more than there are")


def check_refused(checks, server):
    good = {"model": "cross", "query": "w1", "documents": ["w2"]}
    cases = [({"query": None}, "query must be"), ({"query": ""}, "query must be"), ({"query": 5}, "query must be"),
             ({"documents": None}, "documents must be"), ({"documents": []}, "documents must be"),
             ({"documents": "w1"}, "documents must be"), ({"documents": ["w1", 5]}, "documents[1] must be"),
             ({"documents": [{"title": "x"}]}, "documents[0] must be"), ({"documents": ["a\0b"]}, "U+0000"),
             ({"documents": ["w"] * 10001}, "at most 10000"), ({"top_n": 0}, "top_n must be"),
             ({"top_n": 1.5}, "top_n must be"), ({"top_n": "2"}, "top_n must be"),
             ({"return_documents": "yes"}, "cannot unmarshal"), ({"strict": True, "options": {"num_cxt": 5}}, "num_ctx"),
             ({"options": {"num_ctx": "x"}}, "must be of type integer"), ({"model": "a//b"}, "invalid model name")]
    for fields, fault in cases:
        status, reply = server.post("/v1/rerank", dict(good, **fields))
        checks.true(status == 400 and fault in reply["error"]["message"], "%s: %s %s" % (fault, status, reply))
    checks.equal(server.post("/v1/rerank", dict(good, model="absent"))[0], 404, "no such model")
    checks.equal(server.call("GET", "/v1/rerank")[0], 405, "another method")
    Model(server, "mean", "bert", forged.encoder(positions=True, gated=False),
          {"keys": dict(SHORT, pooling_type=(gguf.U32, 1))}, wordpiece(), len(WORDS), 9)
    Model(server, "three", "bert", forged.encoder(positions=True, gated=False), {"rank": ("b", 3), "keys": dict(RANK, **SHORT)},
          wordpiece(), len(WORDS), 9)
    for name in ("mean", "three"):
        status, reply = rank(server, name, "w1", ["w2"])
        checks.true(status == 400 and "does not rank" in reply["error"]["message"], "%s: %s" % (name, reply))
    Model(server, "headless", "bert", forged.encoder(positions=True, gated=False), {"keys": dict(RANK, **SHORT)}, wordpiece(),
          len(WORDS), 9)
    status, reply = rank(server, "headless", "w1", ["w2"])
    checks.true(status == 500 and "cls.output" in reply["error"]["message"], "a head that is missing: %s" % reply)


def main():
    checks = Checks()
    with tempfile.TemporaryDirectory() as folder:
        store = os.path.join(folder, "models")
        os.makedirs(store)
        with Server(sys.argv[1], store) as server:
            for check in (check_encoder, check_roberta, check_decoders, check_shape, check_refused):
                check(checks, server)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
