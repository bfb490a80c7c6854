#!/usr/bin/env python3
"""schemathesis over docs/openapi.yaml: requests that fit the document and requests that do not, against a server.
test_schemathesis.py OLL SHARED CACHE.

No reply may be a 5xx (schemathesis_hooks.py has those that were recorded), hang, or differ from what the document says. Names of models are narrowed to those that there are, so
that requests get past the first check, and numbers to what ends soon; nothing leaves the machine.
"""
import os
import subprocess
import sys
import tempfile
import venv

from clients_served import install, skip
from served import Server

VERSION = "4.32.5"
CHECKS = ("no_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
          "response_schema_conformance,unsupported_method,allow_header_conformance")
SECONDS, EXAMPLES, SEED = 60, 12, 7
NOWHERE = "localhost:1/a/b:c"
TEMPLATE = "{{ if .System }}{{ .System }} {{ end }}{{ .Prompt }}{{ .Suffix }}"


def narrowed(document):
    """The document with names and numbers that make short work."""
    schemas, paths = document["components"]["schemas"], document["paths"]
    schemas["ModelName"] = {"enum": ["m", "emb", "gone"]}
    schemas["TransferRequest"]["properties"].update(model={"const": NOWHERE}, name={"const": NOWHERE})
    schemas["CreateRequest"]["properties"].update(model={"const": "made"}, name={"const": "made"}, **{"from": {"const": "m"}})
    body = paths["/api/delete"]["delete"]["requestBody"]["content"]["application/json"]["schema"]
    body["properties"].update(model={"const": "made"}, name={"const": "made"})
    paths["/api/copy"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]["destination"] = {"const": "made"}
    short = {"type": "integer", "minimum": 1, "maximum": 6}
    options = schemas["Options"]["properties"]
    options["num_predict"] = short
    options["num_ctx"] = {"enum": [0, 64, 128]}
    for name, key in (("ChatCompletionRequest", "max_tokens"), ("ChatCompletionRequest", "max_completion_tokens"),
                      ("CompletionRequest", "max_tokens"), ("ResponsesRequest", "max_output_tokens"), ("MessagesRequest", "max_tokens")):
        schemas[name]["properties"][key] = short
    for name in ("ChatCompletionRequest", "CompletionRequest"):
        schemas[name]["properties"]["n"] = {"type": "integer", "minimum": 1, "maximum": 3}
    schemas["CompletionRequest"]["properties"]["best_of"] = {"type": "integer", "minimum": 1, "maximum": 3}
    return document


def models(server, shared, folder):
    maker = os.path.join(shared, "data", "ollama", "make_tiny_gguf.py")
    tiny = os.path.join(folder, "tiny.gguf")
    subprocess.run([sys.executable, maker, tiny], check=True, capture_output=True)
    with open(tiny, "rb") as f:
        digest = server.upload(f.read())
    for name in ("m", "emb"):
        status, reply = server.post("/api/create", {"model": name, "files": {"m.gguf": digest}, "template": TEMPLATE,
                                                    "parameters": {"num_predict": 4, "num_ctx": 128}, "stream": False})
        if status != 200:
            raise RuntimeError(f"create: {status} {reply}")


def main():
    oll, shared, cache = sys.argv[1:4]
    if not os.path.exists(os.path.join(shared, "data", "ollama", "make_tiny_gguf.py")):
        skip("shared data are absent")
    folder = os.path.join(cache, "schemathesis")
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(python):
        venv.create(folder, with_pip=True)
    install(os.path.join(folder, "installed"), [python, "-m", "pip", "install", "-q", "schemathesis==" + VERSION], "schemathesis")
    if sys.argv[-1] != "inside":
        return subprocess.run([python, os.path.abspath(__file__), *sys.argv[1:4], "inside"], check=False).returncode
    import yaml
    top = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    with open(os.path.join(top, "docs", "openapi.yaml"), encoding="utf-8") as f:
        document = narrowed(yaml.safe_load(f))
    with tempfile.TemporaryDirectory() as temporary:
        store = os.path.join(temporary, "models")
        os.makedirs(store)
        path = os.path.join(temporary, "openapi.yaml")
        with open(path, "w", encoding="utf-8") as f:
            yaml.safe_dump(document, f)
        with Server(oll, store, HTTP_PROXY="http://127.0.0.1:1", HTTPS_PROXY="http://127.0.0.1:1") as server:
            models(server, shared, temporary)
            return subprocess.run([os.path.join(folder, "bin", "schemathesis"), "run", path, "--url", server.url, "--checks", CHECKS,
                                   "--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES), "--seed", str(SEED),
                                   "--request-timeout", "30", "--continue-on-failure", "--no-shrink", "--max-time", str(SECONDS),
                                   "--suppress-health-check", "all", "--warnings", "off"], check=False, cwd=temporary,
                                  env={**os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
                                       "PYTHONPATH": os.path.dirname(os.path.abspath(__file__))}).returncode


if __name__ == "__main__":
    sys.exit(main())
