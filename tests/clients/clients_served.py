"""A server for the tests of other people's clients: the real model as "smollm2", and one with tools whose weights are
random, as "calls"."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "api"))
from served import Checks, Server, skip  # noqa: E402

__all__ = ["Checks", "TOOL", "install", "make_models", "model_server", "skip"]

REAL = "SmolLM2-135M-Instruct.Q4_1.gguf"
TEMPLATE = """{{- if .Tools }}Tools: {{ .Tools }}
{{ end }}{{ range .Messages }}{{ .Content }}{{ if .ToolCalls }}<tool_call>{{ range .ToolCalls }}{"name": "{{ .Function.Name
}}", "arguments": {{ .Function.Arguments }}}{{ end }}</tool_call>{{ end }}
{{ end }}"""
TOOL = {"type": "function", "function": {"name": "book", "description": "books seats", "parameters": {
    "type": "object", "required": ["zone", "seats"],
    "properties": {"zone": {"type": "string", "enum": ["north", "south"]}, "seats": {"type": "integer", "minimum": 1,
                                                                                     "maximum": 4}}}}}


def install(done, argv, what):
    """Runs an installation once: `done` is the file that says so. Without a network the test is skipped."""
    if os.path.exists(done):
        return
    os.makedirs(os.path.dirname(done), exist_ok=True)
    try:
        made = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)
    except (OSError, subprocess.TimeoutExpired) as e:
        skip(f"{what}: {e}")
    if made.returncode != 0:
        skip(f"{what} cannot be installed: {(made.stderr or made.stdout).strip()[-300:]}")
    with open(done, "w", encoding="utf-8") as f:
        f.write("installed\n")


def model_server(oll, shared, folder):
    """The server, to be entered; the two models are made by make_models."""
    maker = os.path.join(shared, "data", "ollama", "make_tiny_gguf.py")
    real = os.path.join(os.environ.get("OLL_TEST_MODELS", ""), REAL)
    if not os.path.exists(maker) or not os.path.exists(real):
        skip(f"{maker} or {REAL} (OLL_TEST_MODELS) is absent")
    tiny = os.path.join(folder, "tiny.gguf")
    subprocess.run([sys.executable, maker, tiny], check=True, capture_output=True)
    os.makedirs(os.path.join(folder, "models"), exist_ok=True)
    server = Server(oll, os.path.join(folder, "models"), "--model", f"smollm2={real}")
    server.tiny = tiny
    return server


def make_models(server):
    with open(server.tiny, "rb") as f:
        digest = server.upload(f.read())
    status, reply = server.post("/api/create", {"model": "calls", "files": {"m.gguf": digest}, "template": TEMPLATE,
                                                "stream": False})
    if status != 200:
        raise RuntimeError(f"create: {status} {reply}")
