#!/usr/bin/env python3
"""tool_choice and parallel_tool_calls of /v1/chat/completions: test_tool_choice.py OLL SHARED.

The model has random weights: what it is not made to write it does not write.
"""
import json
import os
import subprocess
import sys
import tempfile

from served import Checks, Server, skip

TEMPLATE = """{{- if .Tools }}Tools: {{ .Tools }}
{{ end }}{{ range .Messages }}{{ .Content }}{{ if .ToolCalls }}<tool_call>{{ range .ToolCalls }}{"name": "{{ .Function.Name
}}", "arguments": {{ .Function.Arguments }}}{{ end }}</tool_call>{{ end }}
{{ end }}"""

TOOLS = [
    {"type": "function", "function": {"name": "book", "parameters": {
        "type": "object", "required": ["zone", "seats"],
        "properties": {"zone": {"enum": ["north", "south"]}, "seats": {"type": "integer", "minimum": 1, "maximum": 4}}}}},
    {"type": "function", "function": {"name": "ping"}},
]


def ask(server, **fields):
    return server.post("/v1/chat/completions", {"model": "calls", "messages": [{"role": "user", "content": "hi"}], "seed": 3,
                                                "temperature": 1, "max_tokens": 120, **fields})


def calls_of(reply):
    return [(c["function"]["name"], json.loads(c["function"]["arguments"]))
            for c in reply["choices"][0]["message"].get("tool_calls", [])]


def is_booking(call):
    name, arguments = call
    return (name == "book" and sorted(arguments) == ["seats", "zone"] and arguments["zone"] in ("north", "south")
            and arguments["seats"] in (1, 2, 3, 4))


def check_forced(checks, server):
    for seed in range(6):
        status, reply = ask(server, tools=TOOLS, tool_choice="required", seed=seed)
        calls = calls_of(reply) if status == 200 else []
        checks.true(len(calls) == 1 and (is_booking(calls[0]) or calls[0] == ("ping", {})), f"required: {status} {reply}")
        checks.equal(reply["choices"][0]["finish_reason"], "tool_calls", "its finish reason")
    named = {"type": "function", "function": {"name": "book"}}
    status, reply = ask(server, tools=TOOLS, tool_choice=named)
    checks.true(status == 200 and len(calls_of(reply)) == 1 and is_booking(calls_of(reply)[0]), f"named: {reply}")
    status, data = server.call("POST", "/v1/chat/completions", {
        "model": "calls", "messages": [{"role": "user", "content": "hi"}], "tools": TOOLS, "tool_choice": named, "stream": True})
    events = [json.loads(line[6:]) for line in data.decode().splitlines() if line.startswith("data: {")]
    streamed = [c for e in events for choice in e["choices"] for c in choice["delta"].get("tool_calls", [])]
    checks.true(status == 200 and [c["function"]["name"] for c in streamed] == ["book"], f"streamed: {streamed}")


def check_formats(checks, server, digest):
    """Formats of other shapes: tags, Python, messages with headers. (This vocabulary's <|end|> ends the reply, so that
    harmony's thinking goes on until the length is reached where the model begins with it.)"""
    for parser in ("qwen3-coder", "glm-4.7", "lfm2", "functiongemma", "harmony"):
        status, reply = server.post("/api/create", {"model": "f-" + parser, "files": {"m.gguf": digest}, "template": TEMPLATE,
                                                    "parser": parser, "parameters": {"think_budget": 20}, "stream": False})
        checks.equal(status, 200, f"{parser}: created {reply}")
        for seed in range(3):
            status, reply = ask(server, model="f-" + parser, tools=TOOLS, seed=seed, max_tokens=400,
                                tool_choice={"type": "function", "function": {"name": "book"}})
            calls = calls_of(reply) if status == 200 else []
            thinks_on = parser == "harmony" and status == 200 and reply["choices"][0]["finish_reason"] == "length"
            checks.true(thinks_on or (len(calls) == 1 and is_booking(calls[0])), f"{parser}: {status} {reply}")


def check_free(checks, server):
    for choice in (None, "auto", "none"):
        status, reply = ask(server, tools=TOOLS, tool_choice=choice, _debug_render_only=True)
        shown = reply["_debug_info"]["rendered_template"] if status == 200 else ""
        checks.equal((status, "Tools:" in shown), (200, choice != "none"), f"{choice}: tools in the prompt")
    status, reply = ask(server, tools=TOOLS, parallel_tool_calls=False, tool_choice="required")
    checks.true(status == 200 and len(calls_of(reply)) == 1, f"one call: {reply}")


def check_refused(checks, server):
    cases = [
        ({"tool_choice": "required"}, "there are no tools"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "nope"}}}, "nope, which is not among"),
        ({"tools": TOOLS, "tool_choice": "maybe"}, "tool_choice must be"),
        ({"tools": TOOLS, "tool_choice": {"type": "allowed_tools"}}, "tool_choice must be"),
        ({"tools": TOOLS, "parallel_tool_calls": "no"}, "parallel_tool_calls must be"),
        ({"tools": TOOLS, "tool_choice": "required", "response_format": {"type": "json_object"}}, "exclude each other"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"type": "x"}}}}}],
          "tool_choice": "required"}, "parameters of a tool"),
    ]
    for fields, text in cases:
        status, reply = ask(server, **fields)
        message = reply.get("error", {}).get("message", "")
        checks.true(status == 400 and text in message, f"{fields}: {status} {reply}")


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
            status, _ = server.post("/api/create", {"model": "calls", "files": {"m.gguf": digest}, "template": TEMPLATE,
                                                    "stream": False})
            checks.equal(status, 200, "a model with tools")
            check_forced(checks, server)
            check_formats(checks, server, digest)
            check_free(checks, server)
            check_refused(checks, server)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
