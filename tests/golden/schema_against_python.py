"""Documents that the schema compiler lets through, checked with PyPI's jsonschema.

    schema_against_python.py SCHEMA_LINES [--pairs N] [--seed S] [--vocab FILE.gguf] [--show]

Schemas are made at random from all keywords; each is walked a few times, and every document must parse and validate.
Schemas that the compiler refuses are counted by keyword: --show prints them.
"""

import argparse
import collections
import json
import os
import random
import subprocess
import sys

try:
    import jsonschema
except ImportError:
    print("SKIPPED: the Python package jsonschema is absent")
    sys.exit(77)

DOCS = 5
PATTERNS = ["^[a-z]{2,5}$", "b+", "^(foo|bar)-\\d+$", "[A-Z]", "^\\S+@\\S+$", "^$|^x", "^[^/]*$", "^\\w+( \\w+)*$",
            "^(?!no)[a-z]+$", "\\d{3}$", "^\"q\"$", "^[\\u00e0-\\u00ff]+$", "^.{3}$", "(a|b)c?", "^\\$[0-9a-f]*$"]
FORMATS = ["date", "time", "date-time", "email", "hostname", "ipv4", "ipv6", "uuid", "duration", "uri", "color",
           "uri-reference", "json-pointer"]
NAMES = ["a", "b", "id", "name", "x-y", "é", "a\"b", "ab", "kind", "tags", "longer_name", "0"]


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.defs = []

    def chance(self, share):
        return self.random.random() < share

    def pick(self, values):
        return self.random.choice(values)

    def literal(self, depth=0):
        kinds = [None, True, False, 0, -1, 7, 3.5, 10, "", "red", "green", "a\nb", "ü", "id"]
        if depth < 2 and self.chance(0.15):
            return [self.literal(depth + 1) for _ in range(self.random.randrange(3))]
        if depth < 2 and self.chance(0.15):
            return {self.pick(NAMES): self.literal(depth + 1) for _ in range(self.random.randrange(3))}
        return self.pick(kinds)

    def string(self):
        s = {"type": "string"}
        if self.chance(0.4):
            s["minLength"] = self.random.randrange(4)
        if self.chance(0.4):
            s["maxLength"] = s.get("minLength", 0) + self.random.randrange(12)
        if self.chance(0.3):
            s["pattern"] = self.pick(PATTERNS)
        elif self.chance(0.3):
            s = {"type": "string", "format": self.pick(FORMATS)}
        return s

    def number(self):
        s = {"type": self.pick(["integer", "integer", "number"])}
        low = self.pick([-100, -7.5, -1, 0, 0.25, 3, 12, 1000])
        if self.chance(0.5):
            s[self.pick(["minimum", "exclusiveMinimum"])] = low
        if self.chance(0.5):
            s[self.pick(["maximum", "exclusiveMaximum"])] = low + self.pick([2, 0.5, 25, 100000])
        if self.chance(0.25):
            s["multipleOf"] = self.pick([1, 2, 3, 7, 10, 25, 0.5, 0.25])
        return s

    def distinct(self, depth):
        """Objects with few values, as elements that must differ."""
        few = [{"enum": ["x", "y"]}, {"type": "boolean"}, {"type": "integer", "minimum": 0, "maximum": 2}, {"type": "string", "maxLength": 1},
               {"enum": [1, 1.5, "1", None]}, {"type": "string", "pattern": "^[ab]$"}, {}]
        names = self.random.sample(NAMES, self.random.randrange(1, 4))
        s = {"type": "object", "properties": {name: self.pick(few) for name in names}}
        if self.chance(0.5):
            s["required"] = self.random.sample(names, self.random.randrange(len(names) + 1))
        if self.chance(0.3) and depth < 3:
            s["properties"]["in"] = self.distinct(depth + 1)
        if self.chance(0.3) and depth < 3:
            s["properties"]["list"] = {"type": "array", "uniqueItems": True, "maxItems": 3, "items": self.distinct(depth + 2)}
        if self.chance(0.3):
            s["additionalProperties"] = self.pick([False, True, {"type": "integer"}])
        return s

    def array(self, depth):
        s = {"type": "array"}
        if self.chance(0.3):
            s["prefixItems"] = [self.schema(depth + 1) for _ in range(self.random.randrange(1, 4))]
        if self.chance(0.8):
            s["items"] = self.pick([False, True]) if self.chance(0.15) else self.schema(depth + 1)
        if self.chance(0.3):
            s["minItems"] = self.random.randrange(3)
        if self.chance(0.4):
            s["maxItems"] = s.get("minItems", 0) + self.random.randrange(4)
        if self.chance(0.12):
            s = {"type": "array", "uniqueItems": True, "items": self.pick([
                {"enum": ["a", "b", 1, None]}, {"type": "string", "maxLength": 1}, {"type": "string"},
                {"type": "integer", "minimum": 0, "maximum": 40}, {"type": ["number", "null", "boolean"]}, {},
                {"type": "string", "pattern": "^[ab]{1,3}$"}, self.distinct(depth), self.distinct(depth),
                {"anyOf": [self.distinct(depth), {"type": "string", "maxLength": 1}, self.distinct(depth)]}])}
            if self.chance(0.3):
                s["minItems"] = 2
        elif self.chance(0.12) and "prefixItems" not in s:
            s["contains"] = self.pick([{"const": 1}, {"type": "string"}, {"minimum": 3}])
            if self.chance(0.4):
                s["minContains"] = self.random.randrange(3)
            if self.chance(0.3):
                s["maxContains"] = 2
        return s

    def object(self, depth):
        s = {"type": "object"}
        names = self.random.sample(NAMES, self.random.randrange(5))
        if names:
            s["properties"] = {name: self.schema(depth + 1) for name in names}
        if self.chance(0.5):
            s["required"] = self.random.sample(NAMES, self.random.randrange(3))
        if self.chance(0.5):
            s["additionalProperties"] = self.pick([False, False, True, {"type": "integer"}, {"type": "string"}])
        if self.chance(0.15):
            s["patternProperties"] = {self.pick(["^x", "d$", "^[a-c]+$"]): self.schema(depth + 1)}
        if self.chance(0.1):
            s["propertyNames"] = self.pick([{"maxLength": 3}, {"pattern": "^[a-z]"}, {"enum": ["a", "id", "zz"]}])
        if self.chance(0.1):
            s["minProperties"] = self.random.randrange(1, 3)
        if self.chance(0.1):
            s["maxProperties"] = self.random.randrange(1, 4)
        if self.chance(0.1) and names:
            s[self.pick(["dependentRequired", "dependentRequired"])] = {names[0]: [self.pick(NAMES)]}
        return s

    def left_over(self, depth):
        """Members or elements that other keywords have not spoken about."""
        rest = self.pick([False, False, {"type": "integer"}])
        if self.chance(0.3):
            s = {"type": "array", "unevaluatedItems": rest}
            part = {"prefixItems": [self.schema(depth + 2) for _ in range(self.random.randrange(1, 3))]}
            s.update(self.pick([part, {"allOf": [part, self.array(depth + 1)]}, {"anyOf": [part, {"maxItems": 1}]},
                                {"contains": {"const": 1}, **part}]))
            return s
        s = {**self.object(depth), "unevaluatedProperties": rest}
        s.pop("additionalProperties", None)
        parts = [self.object(depth + 1) for _ in range(2)]
        name = self.pick(NAMES)
        s.update(self.pick([{"allOf": parts}, {"anyOf": parts}, {"oneOf": parts}, {"dependentSchemas": {name: parts[0]}},
                            {"if": {"properties": {name: {"const": 1}}, "required": [name]}, "then": parts[0], "else": parts[1]},
                            {"allOf": [parts[0], {"anyOf": [parts[1], {"required": [name]}]}]},
                            {"allOf": [{"unevaluatedProperties": {"type": ["integer", "string"]}, **parts[0]}]}]))
        return s

    def combined(self, depth):
        kind = self.random.randrange(11)
        if kind == 9:
            return self.left_over(depth)
        if kind == 0:
            return {"anyOf": [self.schema(depth + 1) for _ in range(2)]}
        if kind == 1:
            return {"oneOf": [self.schema(depth + 1) for _ in range(self.random.randrange(1, 4))]}
        if kind == 2:
            return {"allOf": [self.object(depth + 1), self.object(depth + 1)]}
        if kind == 3:
            return {**self.object(depth), "not": {"required": [self.pick(NAMES)]}}
        if kind == 4:
            return {**self.string(), "not": self.pick([{"pattern": "^a"}, {"enum": ["red", ""]}, {"maxLength": 2}])}
        if kind == 5:
            return {**self.number(), "not": self.pick([{"enum": [3, 4]}, {"multipleOf": 5}, {"minimum": 50}])}
        if kind == 6:
            name = self.pick(NAMES)
            return {"type": "object", "properties": {name: {"enum": ["u", "v"]}, "w": {"type": "integer"}},
                    "if": {"properties": {name: {"const": "u"}}, "required": [name]},
                    "then": {"required": ["w"]}, "else": {"properties": {"w": {"minimum": 10}}}}
        if kind == 7:
            return {"type": self.random.sample(["null", "boolean", "integer", "string", "array"], 2)}
        return {"oneOf": [{"type": "object", "properties": {"kind": {"const": kind}, "v": self.schema(depth + 2)},
                           "required": ["kind", "v"]} for kind in ("p", "q")]}

    def schema(self, depth=0):
        if depth > 3:
            return self.pick([{"type": "integer"}, {"type": "boolean"}, {"type": "null"}, {"const": "x"}])
        roll = self.random.random()
        if roll < 0.18:
            return self.string()
        if roll < 0.34:
            return self.number()
        if roll < 0.46:
            return self.array(depth)
        if roll < 0.68:
            return self.object(depth)
        if roll < 0.84:
            return self.combined(depth)
        if roll < 0.9 and depth > 0:
            self.defs.append("node")
            return {"$ref": "#/$defs/node"}
        if roll < 0.96:
            return {"enum": [self.literal() for _ in range(self.random.randrange(1, 5))]}
        return self.pick([{"const": self.literal()}, {"type": "boolean"}, {"type": "null"}, True])

    def root(self):
        self.defs = []
        schema = self.schema()
        if schema is True:
            schema = {}
        schema["$defs"] = {"node": {"type": "object", "properties": {"v": {"type": "integer"},
                                                                     "next": {"$ref": "#/$defs/node"}},
                                    "required": ["v"], "additionalProperties": False}}
        return schema


def check(schema, text):
    """None, or what is wrong with the document."""
    try:
        doc = json.loads(text)
    except ValueError as error:
        return f"no JSON: {error}"
    validator = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
    error = next(validator.iter_errors(doc), None)
    return error and error.message[:200]


def run(program, schemas, seed, extra):
    lines = "".join(json.dumps(s, ensure_ascii=False) + "\n" for s in schemas)
    done = subprocess.run([program, str(DOCS), str(seed), *extra], input=lines.encode(), capture_output=True,
                          check=True)
    return [json.loads(line) for line in done.stdout.decode("utf-8", "surrogatepass").split("\n") if line]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--pairs", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--vocab")
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args()
    maker = Maker(args.seed)
    pairs = bad = batch = 0
    refused = collections.Counter()
    n_schemas = 0
    while pairs < args.pairs and batch < 1000:
        batch += 1
        schemas = [maker.root() for _ in range(100)]
        extra = ["strict"] if batch % 2 else []
        if args.vocab and os.path.exists(args.vocab):
            extra.append(args.vocab)
        for schema, answer in zip(schemas, run(args.program, schemas, args.seed + batch, extra)):
            n_schemas += 1
            if "error" in answer:
                refused[answer["error"].split(" at #")[0][:70]] += 1
                if args.show:
                    print(answer["error"], json.dumps(schema)[:400])
            for text in answer.get("docs", []):
                pairs += 1
                wrong = check(schema, text)
                if wrong:
                    bad += 1
                    print(f"INVALID {wrong}\n  schema {json.dumps(schema, ensure_ascii=False)}\n  text   {text[:600]}")
    print(f"{n_schemas} schemas, {pairs} documents, {bad} invalid; refused: {sum(refused.values())}")
    for what, n in refused.most_common():
        print(f"  {n:5} {what}")
    return 1 if bad or pairs < args.pairs else 0


sys.exit(main())
