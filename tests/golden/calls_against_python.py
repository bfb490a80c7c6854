#!/usr/bin/env python3
"""Forced tool calls in every format: calls_against_python.py CALL_LINES [--calls N] [--seed S] [--show].

Each format's constraint is walked at random; what comes out must be read by the format's own parser as one call of a
declared tool, whose arguments PyPI's jsonschema accepts.
"""
import argparse
import collections
import json
import subprocess
import sys

try:
    import jsonschema
except ImportError:
    print("SKIPPED: the Python package jsonschema is absent")
    sys.exit(77)

TAGS = ["<tool_call>", "[TOOL_CALLS] [", "<function_call>", "{"]


def tool(name, properties, required=(), **more):
    return {"type": "function", "function": {"name": name, "description": "d", "parameters": {
        "type": "object", "properties": properties, "required": list(required), **more}}}


TOOLS = {
    "scalars": [tool("look_up", {"town": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 14},
                                 "exact": {"type": "boolean"}, "factor": {"type": "number"}}, ["town", "days"])],
    "choices": [tool("book", {"zone": {"type": "string", "enum": ["north", "south", "null"]},
                              "plate": {"type": "string", "pattern": "^[A-Z]{1,3}-[0-9]{1,4}$"},
                              "note": {"type": "string", "maxLength": 12, "minLength": 2}}, ["zone"])],
    "nested": [tool("save", {"items": {"type": "array", "items": {"type": "object", "properties": {
        "id": {"type": "integer"}, "label": {"type": "string"}, "done": {"type": "boolean"}}, "required": ["id"]},
        "maxItems": 3}, "where": {"type": "object", "properties": {"x": {"type": "number"}, "tag": {"enum": ["a", "b"]}},
                                  "required": ["x", "tag"]}}, ["items", "where"])],
    "unions": [tool("set", {"value": {"type": ["string", "integer", "null"]},
                            "other": {"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "string"},
                                                                                     "maxItems": 2}]},
                            "flag": {"type": ["boolean", "string"]}}, ["value"])],
    "references": [tool("draw", {"from": {"$ref": "#/$defs/point"}, "to": {"$ref": "#/$defs/point"}}, ["from"],
                        **{"$defs": {"point": {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
                                               "required": ["x", "y"]}}})],
    "counts": [tool("pick", {"a": {"type": "string"}, "b": {"type": "integer"}, "c": {"type": "string"}},
                    minProperties=2, maxProperties=2)],
    "nothing": [{"type": "function", "function": {"name": "ping"}}],
    "several": [tool("one", {"a": {"type": "integer"}}, ["a"]), tool("two", {"b": {"type": "string"}}, ["b"])],
    "no type": [tool("say", {"text": {}, "mode": {"enum": ["x", "y"]}}, ["text"])],
}
# Raw text of a parameter that declares no type itself is a string.
TYPED = ["qwen3.5", "ornith", "qwen3-coder", "nemotron-3-nano", "nemotron-3.5-nano", "glm-4.7", "glm-ocr", "glimmer",
         "minimax-m3"]
# What a format has no way to write, by parser and case: the words of the refusal.
REFUSED = {(name, "references"): "no way to write" for name in TYPED}


def validate(case, call):
    declared = {t["function"]["name"]: t["function"].get("parameters", {"type": "object"}) for t in TOOLS[case]}
    if "error" in call:
        return "the parser says: " + call["error"]
    if call["n"] != 1 or call["name"] not in declared:
        return f"{call['n']} calls, of {call['name']!r}"
    if call["content"].strip():
        return f"content {call['content']!r}"
    try:
        jsonschema.Draft202012Validator(declared[call["name"]]).validate(json.loads(call["arguments"]))
    except (ValueError, jsonschema.ValidationError) as e:
        return str(e).splitlines()[0]
    return None


def main():
    options = argparse.ArgumentParser()
    options.add_argument("program")
    options.add_argument("--calls", type=int, default=12)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--show", action="store_true")
    options = options.parse_args()
    parsers = subprocess.run([options.program, "list"], capture_output=True, text=True, check=True).stdout.split()
    formats = [("parser", p) for p in parsers] + [("tag", t) for t in TAGS]
    cases = [(kind, name, case) for kind, name in formats for case in TOOLS]
    lines = "".join(json.dumps({kind: name, "tools": TOOLS[case]}) + "\n" for kind, name, case in cases)
    done = subprocess.run([options.program, str(options.calls), str(options.seed)], input=lines, capture_output=True,
                          text=True, check=True)
    counts, bad = collections.Counter(), 0
    for (kind, name, case), line in zip(cases, done.stdout.splitlines(), strict=True):
        answer = json.loads(line)
        if "error" in answer:
            counts["refused"] += 1
            if REFUSED.get((name, case), "\0") not in answer["error"]:
                bad += 1
                print(f"{name}, {case}: refused: {answer['error']}")
            continue
        if len(answer["calls"]) < options.calls // 2:
            bad += 1
            print(f"{name}, {case}: only {len(answer['calls'])} walks came to an end")
        for call in answer["calls"]:
            counts["calls"] += 1
            complaint = validate(case, call)
            if complaint:
                bad += 1
                print(f"{name}, {case}: {complaint}\n    {call['text']!r}\n    {call['arguments']}")
            elif options.show:
                print(f"{name}, {case}: {call['text']!r}")
    print(f"{len(formats)} formats, {counts['calls']} calls, {counts['refused']} schemas refused, {bad} faults")
    return 1 if bad or not counts["calls"] else 0


if __name__ == "__main__":
    sys.exit(main())
