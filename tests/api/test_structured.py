#!/usr/bin/env python3
"""Streamed replies that a format constrains: test_structured.py OLL SHARED.

The model has random weights, so what it writes well it was made to write. Its tokens are bytes: characters of several bytes
come in halves.
"""
import json
import os
import subprocess
import sys
import tempfile

from served import Checks, Server, skip

SCHEMA = {"type": "object", "required": ["word", "n", "tags"], "properties": {
    "word": {"type": "string", "pattern": "^[à-ÿ😀]{3,6}$"}, "n": {"type": "integer", "minimum": 7, "maximum": 9},
    "tags": {"type": "array", "uniqueItems": True, "minItems": 2, "maxItems": 3, "items": {
        "type": "object", "properties": {"id": {"type": "string", "pattern": "^[ab]$"}, "on": {"type": "boolean"}},
        "required": ["on", "id"]}}}}


def is_answer(text):
    try:
        doc = json.loads(text)
    except ValueError:
        return False
    tags = [json.dumps(tag, sort_keys=True) for tag in doc["tags"]]
    return (list(doc) == ["word", "n", "tags"] and 3 <= len(doc["word"]) <= 6
            and all("à" <= c <= "ÿ" or c == "😀" for c in doc["word"]) and doc["n"] in (7, 8, 9) and len(set(tags)) == len(tags) >= 2)


def lines_of(server, path, body, prefix=""):
    status, data = server.call("POST", path, body)
    lines = data.decode().splitlines()  # fails when a chunk holds half a character
    return status, [json.loads(line[len(prefix):]) for line in lines if line.startswith(prefix + "{")]


def check_streams(checks, server, model):
    for seed in range(5):
        options = {"seed": seed, "temperature": 1.5, "num_predict": 400}
        messages = [{"role": "user", "content": "hi"}]
        status, parts = lines_of(server, "/api/chat", {"model": model, "messages": messages, "format": SCHEMA, "options": options})
        text = "".join(p["message"]["content"] for p in parts)
        checks.true(status == 200 and parts[-1]["done_reason"] == "stop" and is_answer(text), f"chat: {status} {text}")
        checks.true(len(parts) > 3, "the reply comes in pieces")
        status, parts = lines_of(server, "/api/generate", {"model": model, "prompt": "hi", "format": SCHEMA, "options": options})
        text = "".join(p["response"] for p in parts)
        checks.true(status == 200 and is_answer(text), f"generate: {status} {text}")
        status, parts = lines_of(server, "/v1/chat/completions", {
            "model": model, "messages": messages, "seed": seed, "temperature": 1.5, "max_tokens": 400, "stream": True,
            "response_format": {"type": ("json_schema", "JSON_Schema")[seed % 2], "json_schema": {"name": "x", "schema": SCHEMA}}}, "data: ")
        text = "".join(c["delta"].get("content") or "" for p in parts for c in p["choices"])
        checks.true(status == 200 and is_answer(text), f"completions: {status} {text}")


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
            check_streams(checks, server, "m")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
