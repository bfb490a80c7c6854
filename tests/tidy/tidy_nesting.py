"""Depth of nested control statements in a function's body: `for` in `if` in the body is 2, an `else if` stays level."""

import re

_TOKEN = re.compile(r"[A-Za-z_]\w*|\d[\w.]*|[{}();:?]|[^\sA-Za-z_0-9]")
_CONTROL = ("for", "while", "switch")


def deepest(body, first_line):
    """(depth, line) of the most deeply nested control statement of a blanked body, braces included."""
    body = re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", "", body, flags=re.MULTILINE)
    tokens, lines, line, at = [], [], first_line, 0
    for m in _TOKEN.finditer(body):
        line += body.count("\n", at, m.start())
        at = m.start()
        tokens.append(m.group())
        lines.append(line)
    parser = _Parser(tokens, lines)
    parser.block(0, 0)
    return parser.depth, parser.line


class _Parser:
    def __init__(self, tokens, lines):
        self.tokens, self.lines = tokens, lines
        self.depth, self.line = 0, 0

    def at(self, i):
        return self.tokens[i] if i < len(self.tokens) else ""

    def enter(self, i, depth):
        if depth > self.depth:
            self.depth, self.line = depth, self.lines[i]

    def block(self, i, depth):
        """From `{`; returns the index behind its `}`."""
        i += 1
        while self.at(i) not in ("}", ""):
            i = self.statement(i, depth)
        return i + 1

    def statement(self, i, depth):
        token = self.at(i)
        if token == "{":
            return self.block(i, depth)
        if token == "if":
            self.enter(i, depth + 1)
            i = self.statement(self.skip_group(i + 1), depth + 1)
            if self.at(i) == "else":
                i += 1
                i = self.statement(i, depth if self.at(i) == "if" else depth + 1)
            return i
        if token in _CONTROL or self.is_macro_loop(i):
            self.enter(i, depth + 1)
            return self.statement(self.skip_group(i + 1), depth + 1)
        if token == "do":
            self.enter(i, depth + 1)
            return self.expression(self.statement(i + 1, depth + 1))
        if token in ("case", "default") or (token.isidentifier() and self.at(i + 1) == ":"):
            while self.at(i) not in (":", ""):
                i += 1
            return i + 1
        return self.expression(i)

    def is_macro_loop(self, i):
        return self.at(i).isidentifier() and self.at(i + 1) == "(" and self.at(self.skip_group(i + 1)) == "{"

    def skip_group(self, i):
        """From `(`; returns the index behind its `)`."""
        depth = 0
        while self.at(i):
            depth += {"(": 1, ")": -1}.get(self.at(i), 0)
            i += 1
            if depth == 0:
                break
        return i

    def expression(self, i):
        """Behind the `;`; braces of initialisers are balanced, a closing one ends a macro without semicolon."""
        depth = 0
        while self.at(i):
            token = self.at(i)
            if depth == 0 and token == "}":
                return i
            depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(token, 0)
            i += 1
            if depth == 0 and token == ";":
                break
        return i
