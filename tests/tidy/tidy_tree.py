"""The tree as the tidy checks see it: its files, their text, and C text without comments and strings."""

import functools
import os
import re
import subprocess

C_EXTENSIONS = (".c", ".h", ".m", ".cu", ".metal", ".comp")
GENERATED = re.compile(r"^/\* Generated .*\bby\b", re.MULTILINE)  # in the first lines of a file that a script writes

_TOKEN = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL)


class Tree:
    def __init__(self, root, build=None):
        self.root = root
        self.build = build
        self.files = sorted(list_files(root))
        self.c_files = [f for f in self.files if f.endswith(C_EXTENSIONS)]

    @functools.lru_cache(maxsize=None)
    def text(self, path):
        """A file's text; "" for a file that is no UTF-8 text."""
        with open(os.path.join(self.root, path), "rb") as f:
            data = f.read()
        try:
            return "" if b"\0" in data else data.decode()
        except UnicodeDecodeError:
            return ""

    @functools.lru_cache(maxsize=None)
    def code(self, path):
        """C text with comments, strings and characters blanked; lines and columns stay where they are."""
        return _TOKEN.sub(lambda m: blank(m.group()), self.text(path))

    @functools.lru_cache(maxsize=None)
    def is_generated(self, path):
        return bool(GENERATED.search("\n".join(self.text(path).split("\n")[:5])))

    @functools.lru_cache(maxsize=None)
    def functions(self, path):
        return list(find_functions(self.code(path)))


def is_template(path):
    """Headers that are the body of another file: kernels for one instruction set (folders x86, arm), and what is compiled
    once per instruction set (tile, vec, _impl). They want the flags and definitions of the source that includes them."""
    return bool(re.match(r"kernels/cpu/(?:x86/|arm/|tile|cpu_vec|\w*_impl\.h$)|tests/unit/kernels/simde/", path)) and path.endswith(".h")


def blank(token):
    if token[0] in "\"'":
        return token[0] + " " * (len(token) - 2) + token[-1]
    return re.sub(r"[^\n]", " ", token)


def list_files(root):
    """What git tracks; everything but build folders where there is no git."""
    try:
        out = subprocess.run(["git", "-C", root, "ls-files", "-z"], capture_output=True, check=True).stdout.decode()
        top = subprocess.run(["git", "-C", root, "rev-parse", "--show-toplevel"], capture_output=True,
                             check=True).stdout.decode().strip()
        if os.path.realpath(top) == os.path.realpath(root):
            return [f for f in out.split("\0") if f and os.path.isfile(os.path.join(root, f))]
    except (OSError, subprocess.CalledProcessError):
        pass
    found = []
    for folder, folders, names in os.walk(root):
        here = os.path.relpath(folder, root)
        folders[:] = [d for d in folders if d not in (".git", ".cache", "__pycache__") and not
                      (here == "." and (d == "build" or d.startswith("build-")))]
        found += [os.path.normpath(os.path.join(here, n)) for n in names]
    return found


class Function:
    """`first` and `last` are the lines of the braces, `start` the line of the name's declaration, from 1."""

    def __init__(self, name, start, first, last, parameters):
        self.name, self.start, self.first, self.last, self.parameters = name, start, first, last, parameters


def find_functions(code):
    """Functions as the house style lays them out: the opening and the closing brace stand alone in column 0."""
    lines = code.split("\n")
    first = None
    for i, line in enumerate(lines):
        if line == "{" and first is None:
            first = i
        elif line.startswith("}") and first is not None:
            start = first
            while start > 0 and lines[start - 1].strip() and not lines[start - 1].startswith("#") and \
                    not lines[start - 1].rstrip().endswith((";", "}")):
                start -= 1
            signature = " ".join(lines[start:first])
            signature = re.sub(r"__attribute__\s*\(\(.*?\)\)", "", signature)
            found = re.search(r"(\w+)\s*\((.*)\)", signature)
            name, parameters = (found.group(1), found.group(2)) if found else ("?", "")
            if name.isupper():
                name = f"{name}({parameters})"  # a macro that makes the function, such as TEST(case)
            yield Function(name, start + 1, first + 1, i + 1, count_parameters(parameters))
            first = None


def count_parameters(text):
    if text.strip() in ("", "void"):
        return 0
    depth, count = 0, 1
    for c in text:
        depth += (c == "(") - (c == ")")
        count += c == "," and depth == 0
    return count


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1
