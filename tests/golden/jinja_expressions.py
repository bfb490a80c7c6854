"""Random expressions and blocks through the Jinja engine and through PyPI's jinja2, text against text.

Usage: jinja_expressions.py PROGRAM [--count N] [--seed S]

PROGRAM is jinja_lines. What jinja2 cannot render, and what shows Python objects without a text of their own, is free.
"""

import argparse
import random
import re
import signal
import sys
import warnings

from jinja_against_python import NOW, Engine, environment, jinja2

VARIABLES = {
    "d": {"b": "<&'é", "a": [1, 2.0, None, True], "items": 5}, "l": [1, 2, 3], "n": None, "o": {}, "f": 0.5, "e": "",
    "s": "Hello, Wörld's  end\n", "t": "  a,b ,c\n\nD-e ", "u": "日本 ÄßΣ 🦦", "big": 12345678901, "neg": -7,
    "ms": [{"role": "system", "content": "S"}, {"role": "user", "content": "u1", "n": 3},
           {"role": "assistant", "content": "a1", "n": 1}, {"role": "user", "content": "", "n": 2}],
}
ATOMS = """d l n o s ms f big e t neg u x 0 1 2 -1 3.5 true false none [] {} () [1,'a'] (1,2) {'k':1,'j':[2]} ms[0] ms[1:]
d.a d['b'] ms[1].role l[0] s[0] range(4) [3,1,2] ['b','A','c'] [[1,2],[3]] 'a' ',' '' 'b\\n' 'é' 'role' 'user' '<>' '%s'
'{}' '1' '-2.5'""".split()
OPERATORS = "+ - * / // % ~ == != < <= > >= and or".split() + ["in", "not in"]
FILTERS = """upper lower title capitalize trim length list first last reverse|list sort unique|list min max sum string int
float abs round join tojson default e safe count d indent join(',') join(',',attribute='role') default('q')
default('q',true) replace('a','b') replace(',','') trim('a') indent(2) indent(2,true) indent(3,true,true)
tojson(indent=2) tojson(ensure_ascii=true) tojson(sort_keys=true) map('string')|list map('length')|list
map(attribute='role')|list map(attribute='n',default=0)|list select|list reject|list select('string')|list
selectattr('n')|list selectattr('role','equalto','user')|list rejectattr('role','eq','user')|list
selectattr('n','gt',1)|list selectattr('n','defined')|map(attribute='n')|list sort(attribute='role') sort(reverse=true)
sort(case_sensitive=true) batch(2)|list batch(3,'z')|list slice(2)|list groupby('role')|list|length dictsort
dictsort(by='value') dictsort(reverse=true) round(1) round(0,'ceil') int(7) float(1.5) sum(start=1) sum(attribute='n')
max(attribute='n') min(attribute='role') format(1) format('z') string|length""".split()
TESTS = """defined undefined none string mapping iterable sequence number integer float boolean true false callable odd even
divisibleby(2) in([1,'a',none]) eq(1) ne('a') lt(2) gt(0) sameas(none) lower upper""".split() + ["not none", "not string"]
MEMBERS = """upper() lower() strip() lstrip() rstrip() strip('a,') split() split(',') split('l',1) rsplit(',',1) split(None)
startswith('a') endswith(('d','\\n')) replace('a','') replace('','-') replace('l','L',1) find('b') rfind('l') count('l')
title() capitalize() join(['p','q']) join('pq') splitlines() partition(',') rpartition(',') isdigit() isalpha() isupper()
islower() isspace() isalnum() format(1,2) removeprefix('H') removesuffix('\\n') get('a') get('zz') get('zz',9) items()
keys() copy() index(2) count(1) swapcase() role content a b x splitlines(true) find('l',3) find('o',2,5) index('l')""".split()
# Texts of objects that carry an address or a name of Python's, and markup inside containers.
UNSTABLE = re.compile(r"<(generator|built-in|bound|function|macro)|_iterator|object at 0x|Markup", re.IGNORECASE)


class Source:
    """Makes template sources from one seed."""

    def __init__(self, seed):
        self.r = random.Random(seed)

    def index(self):
        part = lambda: self.r.choice(["", "", "0", "1", "2", "-1", "-2", "5", "-9"])
        return self.r.choice([part() or "0", f"{part()}:{part()}", f"{part()}:{part()}:{self.r.choice(['', '2', '-1'])}",
                              "'a'", "'role'"])

    def expression(self, depth=0):
        r, inner = self.r, lambda: self.expression(depth + 1)
        kind = r.random()
        if depth > 2 or kind < 0.15:
            return r.choice(ATOMS)
        if kind < 0.45:
            return f"({inner()} | {r.choice(FILTERS)})"
        if kind < 0.6:
            return f"({inner()}) is {r.choice(TESTS)}"
        if kind < 0.75:
            return f"({inner()}).{r.choice(MEMBERS)}"
        if kind < 0.87:
            return f"({inner()} {r.choice(OPERATORS)} {inner()})"
        if kind < 0.95:
            return f"({inner()})[{self.index()}]"
        return f"({inner()} if {inner()} else {inner()})"

    def tag(self, text):
        sign = lambda: self.r.choice(["", "", "-", "+"])
        return self.space() + "{%" + sign() + f" {text} " + sign() + "%}" + self.space()

    def space(self):
        return self.r.choice(["", "", "\n", " ", "\n  ", "x", "y \n", "{#- c #}", "{# c -#}"])

    def block(self, depth=0):
        r, tag, inner = self.r, self.tag, lambda: self.block(depth + 1)
        kind = r.random()
        if depth > 2 or kind < 0.35:
            return self.space() + "{{" + r.choice(["", "-"]) + f" {self.expression(1)} " + r.choice(["", "-"]) + "}}"
        if kind < 0.5:
            return tag(f"if {self.expression(1)}") + inner() + tag("else") + inner() + tag("endif")
        if kind < 0.7:
            items = r.choice(["l", "ms", "s", "d", "range(3)", "o", "ms | selectattr('n')"]) + r.choice(["", " if q"])
            last = r.choice(["{{ loop.index }}{{ loop.last }}", "{{ q }}{{ loop.length }}{{ loop.revindex }}",
                             "{% if loop.first %}{% continue %}{% endif %}", "{% if loop.index0 == 1 %}{% break %}{% endif %}",
                             "{{ loop.previtem is defined }}{{ loop.nextitem is defined }}", "{% set x = q %}{{ x }}"])
            return tag(f"for q in {items}") + inner() + last + r.choice(["", tag("else") + "E"]) + tag("endfor")
        if kind < 0.8:
            return tag(f"set {r.choice('xyq')} = {self.expression(1)}") + inner() + "{{ x }}{{ y }}{{ q }}"
        if kind < 0.88:
            return (tag(f"macro m(a, b={self.expression(2)})") + "{{ a }}|{{ b }}{{ q }}" + inner() + tag("endmacro") +
                    "{{ m(" + self.expression(2) + ") }}{{ m(b=" + self.expression(2) + ") }}")
        if kind < 0.94:
            return ("{% set ns = namespace(v=" + self.expression(2) + ") %}{% for i in l %}{% set ns.v = ns.v ~ i %}"
                    "{% endfor %}{{ ns.v }}" + inner())
        return tag("set x" + r.choice(["", " | upper", " | trim"])) + inner() + tag("endset") + "[{{ x }}]"


def too_slow(*_):
    raise TimeoutError


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--show", type=int, default=3)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, too_slow)
    engine, env = Engine(args.program), environment(jinja2.sandbox.SandboxedEnvironment)
    maker, equal, free, differ = Source(args.seed), 0, 0, 0
    for i in range(args.count):
        source = "{{ " + maker.expression() + " }}" if i % 2 else maker.block() + maker.block()
        got = engine.ask(jinja=source)
        if "text" in got:
            got = engine.ask(vars=VARIABLES, now=NOW)
        try:
            signal.alarm(2)
            want = env.from_string(source).render(**VARIABLES)
        except Exception:  # whatever Python objects to
            want = None
        signal.alarm(0)
        if want is None or UNSTABLE.search(want):
            free += 1
        elif got.get("text") == want:
            equal += 1
        else:
            differ += 1
            if differ <= args.show:
                print(f"DIFFERS: {source!r}\n  jinja2 {want!r}\n  engine {got.get('text', got.get('error'))!r}")
    print(f"seed {args.seed}: {equal} texts equal, {free} that jinja2 cannot render, {differ} differ")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
