"""The Jinja engine against PyPI's jinja2, set up as the transformers library does: seeded conversations through every
chat template that is at hand, text against text.

Usage: jinja_against_python.py PROGRAM [--count N] [--seed S] [--shared FOLDER] [--templates FOLDER]... [--only TEXT]

PROGRAM is jinja_lines. Templates are read in place: jinja-templates.json and vocab/*.gguf of the shared folder, *.jinja
of the other folders, and of OLL_TEST_MODELS its *.gguf and the templates in an unpacked PyPI llama-cpp-python. Where jinja2 refuses a
conversation because the template raises, the engine must refuse it with the same message; where jinja2 fails otherwise
(undefined values, wrong types), the engine may do as it likes, but must answer.
"""

import argparse
import calendar
import datetime
import glob
import json
import os
import random
import struct
import subprocess
import sys

try:
    import jinja2
    import jinja2.ext
    import jinja2.meta
    import jinja2.nodes
    import jinja2.sandbox
except ImportError:
    print("SKIPPED: Python's jinja2 is absent")
    sys.exit(77)

NOW = 1787313600  # 21 August 2026, noon UTC
os.environ["TZ"] = "UTC"


class Raised(Exception):
    """The template itself refused."""


class Generation(jinja2.ext.Extension):
    """{% generation %}: a block that is there for training alone."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("text"), [], [], body).set_lineno(line)

    def text(self, caller):
        return caller()


def environment(sandbox):
    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise Raised(message)

    def strftime_now(how):
        return datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).strftime(how)

    env = sandbox(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.filters["from_json"] = json.loads
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = strftime_now
    return env


# ---- templates ----

def gguf_templates(path):
    """The chat templates among the metadata of a GGUF file."""
    sizes = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
    with open(path, "rb") as f:
        def number(form):
            return struct.unpack("<" + form, f.read(struct.calcsize(form)))[0]

        def text():
            return f.read(number("Q"))

        def skip(kind):
            if kind == 8:
                f.seek(number("Q"), 1)
            elif kind == 9:
                inner, n = number("I"), number("Q")
                if inner in sizes:
                    f.seek(sizes[inner] * n, 1)
                else:
                    for _ in range(n):
                        skip(inner)
            else:
                f.seek(sizes[kind], 1)

        if f.read(4) != b"GGUF":
            return
        number("I"), number("Q")
        for _ in range(number("Q")):
            key, kind = text().decode(), number("I")
            if key.startswith("tokenizer.chat_template") and kind == 8:
                yield key[len("tokenizer.chat_template"):], text().decode()
            else:
                skip(kind)


def corpus(args):
    """(name, text) of every template that is at hand."""
    recorded = os.path.join(args.shared, "data", "ollama", "jinja-templates.json")
    if os.path.exists(recorded):
        with open(recorded, encoding="utf-8") as f:
            yield from sorted(json.load(f).items())
    models = os.environ.get("OLL_TEST_MODELS", "")
    folders = args.templates + sorted(glob.glob(os.path.join(models, "llama_cpp_python-*", "vendor", "*", "models",
                                                             "templates"))) if models else args.templates
    for folder in folders:
        for path in sorted(glob.glob(os.path.join(folder, "*.jinja"))):
            with open(path, encoding="utf-8") as f:
                yield os.path.basename(path), f.read()
    for folder in filter(None, (os.path.join(args.shared, "data", "vocab"), models)):
        for path in sorted(glob.glob(os.path.join(folder, "*.gguf"))):
            for variant, text in gguf_templates(path):
                yield os.path.basename(path) + variant, text


# ---- conversations ----

WORDS = ["otter", "Where do they sleep?", "Élbe", "π ≈ 3.14", "🦦", "a < b && \"c\" > 'd'", "\n", "  ", "\t", "{{ x }}",
         "<think>hm</think>", "</think>\n\nso", "<|im_end|>", "[INST]", "1", "ÄÖÜß straße", "\\n", "日本語", "x" * 30,
         "/no_think", "line\nline two\n", "{\"a\": 1}", "it's", "[TOOL_CALLS]", "a\u2028b", "\x1f", "<tool_call>"]


class Maker:
    """Makes conversations of all shapes from one seed."""

    def __init__(self, seed):
        self.r = random.Random(seed)

    def text(self, allow_empty=True):
        n = self.r.choice([0, 1, 1, 2, 3, 5] if allow_empty else [1, 2, 3])
        return self.r.choice(["", " "]).join(self.r.choice(WORDS) for _ in range(n))

    def value(self, depth=0):
        kinds = ["s", "i", "f", "b", "n"] + (["l", "d"] if depth < 2 else [])
        kind = self.r.choice(kinds)
        if kind == "s":
            return self.text()
        if kind == "i":
            return self.r.choice([0, 1, -7, 42, 1000000, 12345678901])
        if kind == "f":
            return self.r.choice([0.5, 1.0, -2.25, 1e16, 1e-7, 3.14159, 1e22, 123456789.125])
        if kind == "b":
            return self.r.random() < 0.5
        if kind == "l":
            return [self.value(depth + 1) for _ in range(self.r.randrange(3))]
        if kind == "d":
            return {self.r.choice(["a", "B", "zeta", "é", "type"]): self.value(depth + 1)
                    for _ in range(self.r.randrange(3))}
        return None

    def schema(self, depth=0):
        r = self.r
        kind = r.choice(["string", "integer", "number", "boolean", "array", "object"])
        s = {"type": r.choice([kind, kind, kind, [kind, "null"]])}
        if r.random() < 0.7:
            s["description"] = self.text()
        if r.random() < 0.2:
            s["enum"] = [self.value(2) for _ in range(r.randrange(1, 3))]
        if r.random() < 0.1:
            s["default"] = self.value(2)
        if r.random() < 0.1:
            s["nullable"] = True
        if kind == "array" and depth < 2:
            s["items"] = self.schema(depth + 1)
        if kind == "object" and depth < 2:
            s.update(self.properties(depth + 1))
        return s

    def properties(self, depth=0):
        names = self.r.sample(["town", "days", "Unit", "x", "é"], self.r.randrange(4))
        out = {"properties": {n: self.schema(depth) for n in names}}
        if self.r.random() < 0.7:
            out["required"] = names[:self.r.randrange(len(names) + 1)]
        return out

    def tool(self):
        function = {"name": self.r.choice(["get_weather", "add", "say.hello", "code_interpreter"]),
                    "description": self.text()}
        parameters = {"type": "object"}
        parameters.update(self.properties())
        function["parameters"] = parameters
        if self.r.random() < 0.1:
            function["return"] = {"type": "string", "description": "a result"}
        return {"type": "function", "function": function}

    def call(self, as_text):
        names = self.r.sample(["town", "days", "Unit", "x"], self.r.randrange(4))
        arguments = {n: self.value() for n in names}
        return {"id": "".join(self.r.choice("abcXYZ019") for _ in range(9)), "type": "function",
                "function": {"name": self.r.choice(["get_weather", "add"]),
                             "arguments": json.dumps(arguments) if as_text else arguments}}

    def content(self, typed):
        if not typed or self.r.random() < 0.5:
            return self.text()
        parts = [{"type": "text", "text": self.text()} for _ in range(self.r.randrange(1, 3))]
        if self.r.random() < 0.3:
            parts.append({"type": self.r.choice(["image", "image_url"])})
        return parts

    def assistant(self, shape):
        m = {"role": "assistant", "content": self.text()}
        if shape["tools"] and self.r.random() < 0.5:
            n = self.r.choice([1, 1, 1, 2, 3])
            m["tool_calls"] = [self.call(shape["text_arguments"]) for _ in range(n)]
            m["content"] = self.r.choice(["", "", None, m["content"]])
            if m["content"] is None and self.r.random() < 0.3:
                del m["content"]
        if shape["thinks"] and self.r.random() < 0.6:
            m["reasoning_content"] = self.text()
            if self.r.random() < 0.5:
                m["thinking"] = m["reasoning_content"]
        return m

    def messages(self, shape):
        out = []
        if self.r.random() < 0.5:
            out.append({"role": self.r.choice(["system", "system", "system", "developer"]),
                        "content": self.content(shape["typed"])})
        for _ in range(self.r.randrange(1, 4)):
            out.append({"role": "user", "content": self.content(shape["typed"])})
            while self.r.random() < 0.7:
                m = self.assistant(shape)
                out.append(m)
                for call in m.get("tool_calls", []):
                    out.append({"role": "tool", "content": self.text(), "name": call["function"]["name"],
                                "tool_call_id": call["id"]})
                if "tool_calls" not in m:
                    break
        if out[-1]["role"] == "assistant" and self.r.random() < 0.7:
            out.append({"role": "user", "content": self.text()})
        if self.r.random() < 0.05:
            self.r.shuffle(out)
        return out

    def odd_variables(self, names):
        """Values for some of the other names that a template asks for: switches, documents, extra lists of tools."""
        r = self.r
        kinds = [lambda: True, lambda: False, self.text, self.value, lambda: [self.tool()], lambda: None,
                 lambda: [{"title": self.text(), "text": self.text(), "doc_id": 1, "content": self.text()}],
                 lambda: r.choice([0, 1, 512]), lambda: {"a": self.value()}]
        return {n: r.choice(kinds)() for n in names if r.random() < 0.2}

    def oddities(self, messages):
        """Members that clients add, drop or fill with other types than usual."""
        r = self.r
        for m in messages:
            if r.random() < 0.1:
                m[r.choice(["name", "tool_plan", "prefix", "citations", "recipient", "tools", "channel", "to"])] = (
                    self.value())
            if r.random() < 0.02:
                m["role"] = r.choice(["developer", "ipython", "observation", "function", "bot", ""])
            if r.random() < 0.02:
                m["content"] = self.value()
            if r.random() < 0.02 and "tool_calls" in m:
                m["tool_calls"] = r.choice([[], None])

    def variables(self, names):
        r = self.r
        shape = {"tools": r.random() < 0.5, "text_arguments": r.random() < 0.2, "thinks": r.random() < 0.4,
                 "typed": r.random() < 0.2}
        v = self.odd_variables(names) if r.random() < 0.3 else {}
        v.update({"messages": self.messages(shape), "bos_token": r.choice(["<s>", ""]), "eos_token": "</s>"})
        if r.random() < 0.2:
            self.oddities(v["messages"])
        if r.random() < 0.8:
            v["add_generation_prompt"] = r.random() < 0.9
        if shape["tools"] and r.random() < 0.8:
            v["tools"] = [self.tool() for _ in range(r.randrange(1, 4))]
        if r.random() < 0.3:
            v["enable_thinking"] = v["thinking"] = r.random() < 0.5
        if r.random() < 0.2:
            v["reasoning_effort"] = r.choice(["low", "medium", "high"])
        if r.random() < 0.5:
            v["date_string"], v["datetime"] = "21 Aug 2026", "Aug 21 2026"
            v["functions"] = json.dumps(v.get("tools"))
        return v


# ---- comparing ----

class Engine:
    """jinja_lines as a child."""

    def __init__(self, program):
        self.child = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, **line):
        self.child.stdin.write(json.dumps(line).encode() + b"\n")
        self.child.stdin.flush()
        reply = self.child.stdout.readline()
        if not reply:
            raise SystemExit(f"the engine died with {self.child.wait()} on {json.dumps(line)[:2000]}")
        return json.loads(reply)


def expected(template, mutable, variables):
    """("text", t), ("raised", message) or ("free", why). Templates that append to their own lists are judged by the
    sandbox that lets them."""
    try:
        return "text", template.render(**variables)
    except Raised as e:
        return "raised", str(e)
    except jinja2.exceptions.SecurityError as e:
        return expected(mutable, None, variables) if mutable else ("free", str(e))
    except Exception as e:  # whatever Python objects to
        return "free", f"{type(e).__name__}: {e}"


def agrees(kind, want, got):
    if kind == "text":
        return got.get("text") == want
    if kind == "raised":
        return got.get("status") == "invalid argument" and got["error"].startswith(want[:300])
    return True


def report(name, number, variables, kind, want, got):
    print(f"DIFFERS: {name}, conversation {number}\n  variables {json.dumps(variables, ensure_ascii=False)[:1500]}")
    text = got.get("text")
    if kind == "text" and text is not None:
        at = next((i for i, (a, b) in enumerate(zip(want, text)) if a != b), min(len(want), len(text)))
        print(f"  at character {at}\n  jinja2 {want[max(0, at - 60):at + 80]!r}\n  engine {text[max(0, at - 60):at + 80]!r}")
    else:
        print(f"  jinja2 {kind} {want[:300]!r}\n  engine {json.dumps(got, ensure_ascii=False)[:400]}")


def compare(engine, name, source, args):
    """Counts of texts equal, refusals equal, free ones, differences; None when jinja2 refuses the template."""
    try:
        template = environment(jinja2.sandbox.ImmutableSandboxedEnvironment).from_string(source)
        mutable = environment(jinja2.sandbox.SandboxedEnvironment).from_string(source)
    except jinja2.TemplateError:
        return None
    counts = {"text": 0, "raised": 0, "free": 0, "differs": 0}
    parsed = engine.ask(jinja=source)
    if "text" not in parsed:
        print(f"DIFFERS: {name}: {parsed}")
        counts["differs"] = 1
        return counts
    maker = Maker(f"{args.seed}/{name}")
    names = sorted(jinja2.meta.find_undeclared_variables(template.environment.parse(source)) -
                   set(template.environment.globals))
    for number in range(args.count):
        variables = maker.variables(names)
        kind, want = expected(template, mutable, variables)
        got = engine.ask(vars=variables, now=NOW)
        ok = agrees(kind, want, got)
        counts[kind if ok else "differs"] += 1
        if not ok and counts["differs"] <= args.show:
            report(name, number, variables, kind, want, got)
        if kind == "free" and args.free:
            print(f"free: {name}: {want}")
    return counts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--shared", default="../../../shared")
    parser.add_argument("--templates", action="append", default=[])
    parser.add_argument("--only", default="")
    parser.add_argument("--show", type=int, default=2)
    parser.add_argument("--free", action="store_true", help="say what jinja2 objected to")
    args = parser.parse_args()
    engine = Engine(args.program)
    assert datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc) == datetime.datetime(
        2026, 8, 21, 12, tzinfo=datetime.timezone.utc) and calendar.timegm((2026, 8, 21, 12, 0, 0)) == NOW
    total = {"text": 0, "raised": 0, "free": 0, "differs": 0}
    n = refused = 0
    for name, source in corpus(args):
        if args.only not in name:
            continue
        counts = compare(engine, name, source, args)
        if counts is None:
            refused += 1
            continue
        n += 1
        print(f"{name}: {counts}")
        for key, value in counts.items():
            total[key] += value
    if n == 0:
        print("SKIPPED: no templates at hand")
        return 77
    print(f"{n} templates ({refused} refused by jinja2), seed {args.seed}: {total['text']} texts equal, "
          f"{total['raised']} refusals equal, {total['free']} that jinja2 cannot render, {total['differs']} differ")
    return 1 if total["differs"] else 0


if __name__ == "__main__":
    sys.exit(main())
