#!/usr/bin/env python3
"""What the reference lacks: n, best_of, echo, logit_bias, /api/tokenize, /health. test_beyond.py OLL SHARED."""
import json
import os
import subprocess
import sys
import tempfile

from served import Checks, Server, skip

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
MESSAGES = [{"role": "user", "content": "hi"}]


def chat(server, **fields):
    return server.post(CHAT, {"model": "m", "messages": MESSAGES, "max_tokens": 8, "temperature": 1.5, "seed": 7, **fields})


def complete(server, **fields):
    return server.post(COMPLETIONS, {"model": "m", "prompt": "hi", "max_tokens": 8, "temperature": 1.5, "seed": 7, **fields})


def events(server, path, **fields):
    """Objects of a stream, and whether it ends as it must."""
    _, data = server.call("POST", path, {"model": "m", "max_tokens": 8, "temperature": 1.5, "seed": 7, "stream": True, **fields})
    lines = [line[6:] for line in data.decode().splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines[:-1]], lines[-1] == "[DONE]"


def check_n(checks, server):
    texts = {}
    for n in (1, 3):
        status, reply = chat(server, n=n)
        choices = reply["choices"] if status == 200 else []
        checks.equal([c["index"] for c in choices], list(range(n)), f"n = {n}: indices")
        texts[n] = [c["message"]["content"] for c in choices]
        checks.equal(reply["usage"]["completion_tokens"], 8 * n, f"n = {n}: tokens of all")
    checks.true(texts[3][0] == texts[1][0] and len(set(texts[3])) == 3, f"each with the next seed: {texts}")
    streamed, ended = events(server, CHAT, messages=MESSAGES, n=3, stream_options={"include_usage": True})
    joined = ["", "", ""]
    for e in streamed:
        for c in e["choices"]:
            joined[c["index"]] += c["delta"].get("content", "")
    checks.equal((joined, ended), (texts[3], True), "the same as a stream")
    checks.equal(sum(c["finish_reason"] is not None for e in streamed for c in e["choices"]), 3, "three ends")
    checks.equal(streamed[-1]["usage"]["completion_tokens"], 24, "usage of the stream")


def check_completions(checks, server):
    status, reply = complete(server, n=2)
    plain = [c["text"] for c in reply["choices"]]
    checks.equal((status, len(set(plain))), (200, 2), "two completions")
    status, reply = complete(server, n=2, echo=True)
    checks.equal([c["text"] for c in reply["choices"]], ["hi" + t for t in plain], "with the prompt in front")
    streamed, ended = events(server, COMPLETIONS, prompt="hi", echo=True)
    checks.equal(("".join(c["text"] for e in streamed for c in e["choices"]), ended), ("hi" + plain[0], True), "streamed")
    status, all_of = complete(server, n=6)
    status, best = complete(server, n=2, best_of=6)
    texts = [c["text"] for c in all_of["choices"]]
    checks.true(status == 200 and len(best["choices"]) == 2 and all(c["text"] in texts for c in best["choices"]),
                f"the best are among all: {best} {texts}")
    checks.equal(best["usage"]["completion_tokens"], 48, "usage counts all candidates")


def check_bias(checks, server):
    status, reply = chat(server, logit_bias={"200": 100}, temperature=0)
    checks.equal(status, 200, f"a bias: {reply}")
    only = reply["choices"][0]["message"]["content"]
    piece = only[:len(only) // 8]
    checks.true(status == 200 and piece and only == piece * 8, f"a token that always wins: {only!r}")
    status, plain = chat(server, temperature=0, logprobs=True, max_tokens=1)
    token = plain["choices"][0]["logprobs"]["content"][0]
    status, reply = chat(server, temperature=0, max_tokens=1, logprobs=True, logit_bias={str(i): -100 for i in range(100)})
    checks.true(status == 200 and reply["choices"][0]["logprobs"]["content"][0]["logprob"] is not None, f"many: {token}")


def check_tokens(checks, server):
    status, reply = server.post("/api/tokenize", {"model": "m", "text": "hi there"})
    checks.true(status == 200 and reply["model"] == "m" and len(reply["tokens"]) > 1, f"tokenize: {status} {reply}")
    _, bare = server.post("/api/tokenize", {"model": "m", "text": "hi there", "add_special": False})
    checks.true(reply["tokens"][-len(bare["tokens"]):] == bare["tokens"], f"without special tokens: {bare}")
    status, text = server.post("/api/detokenize", {"model": "m", "tokens": bare["tokens"]})
    checks.true(status == 200 and text["text"].strip() == "hi there", f"and back: {text}")
    for path, body, fault in (("tokenize", {"model": "m"}, "text must be"), ("tokenize", {"text": "x"}, "model is required"),
                              ("detokenize", {"model": "m", "tokens": "x"}, "tokens must be"),
                              ("tokenize", {"model": "m", "text": "x", "options": {"num_ctx": "y"}}, "must be of type integer"),
                              ("detokenize", {"model": "m", "tokens": [99999999]}, "not in the vocabulary"),
                              ("detokenize", {"model": "m", "tokens": [-1]}, "not in the vocabulary")):
        status, reply = server.post("/api/" + path, body)
        checks.true(status == 400 and fault in reply["error"], f"{path} {body}: {status} {reply}")
    checks.equal(server.post("/api/tokenize", {"model": "nope", "text": "x"})[0], 404, "no such model")
    checks.equal(server.call("GET", "/health"), (200, b'{"status":"ok"}'), "health")


def check_refused(checks, server):
    cases = [(chat, {"n": 0}, "n must be"), (chat, {"n": 129}, "n must be"), (chat, {"n": "2"}, "n must be"),
             (chat, {"logit_bias": [1]}, "logit_bias must be"), (chat, {"logit_bias": {"x": 1}}, "no token id"),
             (chat, {"logit_bias": {"5": 101}}, "from -100 to 100"), (chat, {"logit_bias": {"99999999": 1}}, "vocabulary"),
             (chat, {"modalities": ["text", "audio"]}, "can only be"), (chat, {"audio": {"voice": "x"}}, "not supported"),
             (chat, {"web_search_options": {}}, "not supported"), (chat, {"functions": []}, "tools"),
             (chat, {"function_call": "auto"}, "tool_choice"),
             (complete, {"best_of": 2, "n": 3}, "at least n"), (complete, {"best_of": 3, "stream": True}, "streamed")]
    for call, fields, text in cases:
        status, reply = call(server, **fields)
        checks.true(status == 400 and text in reply["error"]["message"], f"{fields}: {status} {reply}")


def main():
    oll, shared = sys.argv[1:]
    maker = os.path.join(shared, "data", "ollama", "make_tiny_gguf.py")
    if not os.path.exists(maker):
        skip(f"{maker} is absent")
    checks = Checks()
    with tempfile.TemporaryDirectory() as folder:
        tiny = os.path.join(folder, "tiny.gguf")
        subprocess.run([sys.executable, maker, tiny], check=True, capture_output=True)
        store = os.path.join(folder, "models")
        os.makedirs(store)
        with Server(oll, store) as server:
            with open(tiny, "rb") as f:
                digest = server.upload(f.read())
            status, _ = server.post("/api/create", {"model": "m", "files": {"m.gguf": digest}, "stream": False})
            checks.equal(status, 200, "a model")
            check_n(checks, server)
            check_completions(checks, server)
            check_bias(checks, server)
            check_tokens(checks, server)
            check_refused(checks, server)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
