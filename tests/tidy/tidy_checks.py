"""The checks that read the tree. Each takes a Tree and yields (path, line, message).

What is allowed where is data, at the top of its check, so that an exception is one visible line.
"""

import itertools
import os
import re

from tidy_nesting import deepest
from tidy_tree import is_template, line_of

# ---- the tree: names, includes, guards, dead and large files ----

# Which folder may include which: the arrows of docs/architecture.md. What a folder reaches through others it may
# include as well, so engine sees base; nothing points back. server/ proper sees the model through engine/oll.h alone;
# its command-line tools (cli_*.c) work on files and tensors in this very process and may see all below.
ARROWS = {
    "base": set(),
    "gguf": {"base"},
    "kernels": {"base"},
    "tokenizer": {"base", "gguf"},
    "sampler": {"base", "gguf", "tokenizer"},
    "engine": {"base", "gguf", "kernels", "tokenizer", "sampler"},
    "registry": {"base", "gguf"},
    "server": {"base", "engine", "registry"},
    "server/cli": {"base", "engine", "registry", "gguf", "kernels", "tokenizer", "sampler", "bench"},
    "bench": {"base", "engine", "gguf", "kernels", "tokenizer", "sampler", "registry", "server"},
    "tests": {"base", "engine", "gguf", "kernels", "tokenizer", "sampler", "registry", "server", "bench"},
}


def part_of(path):
    """The node of ARROWS that a file belongs to."""
    if path.startswith("engine/base/"):
        return "base"
    if path.startswith("server/cli_"):
        return "server/cli"
    return path.split("/")[0]


def check_includes(tree):
    """Includes follow the arrows, are written from the top of the tree, and name files that exist."""
    known = set(tree.files)
    for path in tree.c_files:
        allowed = ARROWS.get(part_of(path))
        for m in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', tree.text(path), re.MULTILINE):
            line, target = line_of(tree.text(path), m.start()), m.group(1)
            if target not in known:
                yield path, line, f'"{target}" is no file of the tree; write includes from its top ("folder/file.h")'
                continue
            if allowed is None:
                yield path, line, "this folder has no place in the tree (ARROWS in tests/tidy/tidy_checks.py)"
                continue
            own, other = part_of(path).split("/")[0], part_of(target).split("/")[0]
            if other != own and other not in allowed:
                yield path, line, f'{part_of(path)} must not include "{target}": no arrow leads from it to {other}'


def check_names(tree):
    """File names are unique in the tree, so that a name alone says which file is meant."""
    repeated = {"CMakeLists.txt", "README.md", ".gitignore", "run"}  # run and .ci/run
    seen = {}
    for path in tree.files:
        name = os.path.basename(path)
        if name not in repeated and seen.setdefault(name, path) != path:
            yield path, 1, f"{seen[name]} has the same name"


def check_guards(tree):
    """Headers have the guard OLL_<FOLDER>_<FILE>_H; FOLDER is one or more folders of the path, in order."""
    for path in tree.c_files:
        if not path.endswith(".h") or is_template(path):
            continue
        *folders, name = [re.sub(r"\W", "_", part).upper() for part in path.split("/")]
        guards = ["_".join(("OLL", *some, name)) for n in range(1, len(folders) + 1)
                  for some in itertools.combinations(folders, n)]
        found = re.search(r"^#ifndef (\w+)\n#define (\w+)$", tree.text(path), re.MULTILINE)
        if not found or found.group(1) != found.group(2) or found.group(1) not in guards:
            yield path, 1, f"its include guard must be OLL_{folders[-1]}_{name}"
        elif not tree.text(path).rstrip().endswith("#endif"):
            yield path, 1, "text behind the #endif of the include guard"


def check_dead(tree):
    """Every source is named by a CMake file, every header is included."""
    lists = "\n".join(tree.text(p) for p in tree.files if p.endswith(("CMakeLists.txt", ".cmake")))
    named = set(re.findall(r"[\w.+-]+", lists))
    included = "\n".join(tree.text(p) for p in tree.c_files)
    for path in tree.c_files:
        name = os.path.basename(path)
        if path.endswith(".h"):
            # A header that stands in for one of the system's is found by name alone.
            if f'"{path}"' not in included and f"<{name}>" not in included:
                yield path, 1, "no file includes this header"
        elif name not in named and os.path.splitext(name)[0] not in named and not path.startswith("tests/unit/"):
            yield path, 1, "no CMake file names this file"


FILE_LINES_ASK, FILE_LINES_MAX = 1000, 1500
FILE_BYTES_MAX = 1 << 20


def check_files(tree):
    """Files stay below 1500 lines and 1 MiB (tables that a script wrote excepted); commands have their run bit."""
    for path in tree.files:
        size = os.path.getsize(os.path.join(tree.root, path))
        if size > FILE_BYTES_MAX:
            yield path, 1, f"{size >> 10} KiB, the limit is {FILE_BYTES_MAX >> 10}"
        if path.endswith((*(".c", ".h"), ".py", ".sh", ".m", ".cu")) and not tree.is_generated(path):
            lines = tree.text(path).count("\n")
            if lines > FILE_LINES_MAX:
                yield path, lines, f"{lines} lines, the limit is {FILE_LINES_MAX}"
            elif lines > FILE_LINES_ASK:
                print(f"note: {path} has {lines} lines, past {FILE_LINES_ASK} it needs a reason")
        if path in ("run", "test", ".ci/run") and not os.access(os.path.join(tree.root, path), os.X_OK):
            yield path, 1, "not executable"


# ---- functions ----

FUNCTION_LINES, FUNCTION_LINES_MAX = 70, 120
NESTING, NESTING_KERNELS, NESTING_MAX = 3, 4, 5
PARAMETERS_MAX = 8


def marker(tree, path, function, word):
    """The reason behind a marker comment ("<word>: <reason>") in or right above a function."""
    lines = tree.text(path).split("\n")[max(0, function.start - 12):function.last]
    found = re.search(re.escape(word) + r":\s+(\S.{9,})", "\n".join(lines))
    return found.group(1) if found else None


def check_functions(tree):
    """Functions have at most 70 lines, 120 with a comment `long function: <reason>`, and 8 parameters."""
    for path in tree.c_files:
        if tree.is_generated(path):
            continue
        for f in tree.functions(path):
            lines = f.last - f.first + 1
            if lines > FUNCTION_LINES_MAX:
                yield path, f.first, f"{f.name} has {lines} lines, the limit is {FUNCTION_LINES_MAX}"
            elif lines > FUNCTION_LINES and not marker(tree, path, f, "long function"):
                yield path, f.first, (f"{f.name} has {lines} lines; past {FUNCTION_LINES} a comment "
                                      '"long function: <reason>" is needed')
            if f.parameters > PARAMETERS_MAX and not is_template(path):
                yield path, f.start, f"{f.name} has {f.parameters} parameters; use a descriptor struct"


def check_nesting(tree):
    """Control statements nest at most three deep, four in kernels and tests, where loops over rows, blocks and elements
    are the work itself; five with a comment `deep nesting: <reason>`."""
    for path in tree.c_files:
        limit = NESTING_KERNELS if path.startswith(("kernels/", "tests/")) else NESTING
        lines = tree.code(path).split("\n")
        for f in tree.functions(path):
            depth, line = deepest("\n".join(lines[f.first - 1:f.last]), f.first)
            if depth > NESTING_MAX or (depth > limit and not marker(tree, path, f, "deep nesting")):
                yield path, line, (f"{f.name}: nested {depth} deep; past {limit} a comment "
                                   f'"deep nesting: <reason>" is needed, past {NESTING_MAX} another shape')


# ---- calls and words ----

# call: what to write instead, and where it is right (paths or their beginnings).
BANNED = {
    r"v?sprintf": ("snprintf or oll_strbuf_printf", ()),
    r"strcpy|strcat|strncat|stpcpy|gets|strtok|strtok_r": ("oll_strbuf, memcpy or a cursor", ()),
    r"atoi|atol|atoll|atof": ("strtoll or strtod with all its checks", ()),
    r"alloca|__builtin_alloca": ("an arena", ()),
    r"system|popen": ("posix_spawn with an argument list", ()),
    r"mktemp|tmpnam|tempnam": ("mkstemp", ()),
    r"rand|srand|random|drand48": ("a seeded generator", ()),
    r"assert": ("OLL_ASSERT for bugs, oll_status for everything else", ("tests/",)),
    r"malloc|calloc|realloc|reallocarray|strdup|strndup|aligned_alloc|posix_memalign":
        ("engine/base/mem.h, so that fault injection reaches it", ("engine/base/mem.c", "tests/")),
    r"exit|_exit|_Exit|quick_exit|abort": ("an oll_status", ("engine/base/status.c", "server/main.c", "tests/")),
    r"printf|fprintf|vprintf|vfprintf|puts|fputs|putchar|perror|dprintf":
        ("an oll_status with its text, or the log",
         ("engine/base/status.c", "engine/base/log.c", "server/main.c", "server/cli", "bench/", "tests/")),
    r"getenv|secure_getenv|setenv|putenv":
        ("an option; the environment is read in few places",
         ("engine/base/mem.c", "kernels/cpu/cpu_device.c", "kernels/cpu/cpu_profile.c", "registry/environment.c", "registry/disk.c",
          "server/", "tests/")),
}


def check_calls(tree):
    """Calls that are banned, or right in few files only."""
    for path in tree.c_files:
        code = tree.code(path)
        for pattern, (instead, places) in BANNED.items():
            if path.startswith(places):
                continue
            for m in re.finditer(rf"(?<![\w.>])(?:{pattern})(?=\s*\()", code):
                if re.search(r"\b(?:struct|enum|define)\s+$", code[max(0, m.start() - 40):m.start()]):
                    continue
                yield path, line_of(code, m.start()), f"{m.group()} is banned here; use {instead}"


# Libraries are each known to one file.
LIBRARIES = {
    "openssl/": ("engine/base/crypto.c",),
    "histedit.h": ("server/cli_line.c",),
    "zstd.h": ("server/body_zstd.c",),
    "curl/": ("registry/https.c",),
    "vulkan/": ("kernels/vulkan/vulkan_device.c",),
}
# What is Linux alone stands in files that say so in their name: of the floor, where each has a POSIX twin, and of tests.
LINUX_FILES = r"(?:engine/base|tests/fault)/\w+_linux\.c$"
LINUX_HEADERS = r"linux/|sys/(?:epoll|eventfd|signalfd|timerfd|inotify|syscall|sysinfo|auxv|prctl|sendfile|random)\.h"


def check_libraries(tree):
    """Headers of libraries and of Linux appear only in the file that wraps them."""
    for path in tree.c_files:
        text = tree.text(path)
        for m in re.finditer(r"^[ \t]*#[ \t]*include[ \t]*<([^>\n]+)>", text, re.MULTILINE):
            header, line = m.group(1), line_of(text, m.start())
            for library, files in LIBRARIES.items():
                if header.startswith(library) and path not in files:
                    yield path, line, f"<{header}> belongs into {' or '.join(files)}"
            if re.match(LINUX_HEADERS, header) and not re.match(LINUX_FILES, path):
                yield path, line, f"<{header}> is Linux alone and belongs into engine/base/*_linux.c"
        for m in re.finditer(r"\b(?:__linux__|_GNU_SOURCE)\b", tree.code(path)):
            if not re.match(LINUX_FILES, path):
                yield path, line_of(text, m.start()), f"{m.group()}: what is Linux alone belongs into *_linux.c"


# The words are put together here so that this file does not contain them.
UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK|stu" r"bs?|for no" r"w|not impl" r"emented|"
                        r"place" r"holders?)\b")
MACHINE = re.compile(r"(?<![\w.~}/-])/(?:wor" r"k|roo" r"t|tm" r"p|hom" r"e/\w\w+|Use" r"rs/\w\w+|mn" r"t)/[\w.-]|"
                     r"\b(?:deb\.debi" r"an\.org|pyp" r"i\.org|pythonhos" r"ted\.org)\b")


def check_words(tree):
    """No words of unfinished work, no paths of one machine, no hosts of package mirrors."""
    for path in tree.files:
        text = tree.text(path)
        source = path.endswith((".py", ".sh", ".txt", ".cmake")) or path in tree.c_files
        for m in UNFINISHED.finditer(text) if source else ():
            yield path, line_of(text, m.start()), f'"{m.group()}": finish it, or say what is the case'
        for m in MACHINE.finditer(text):
            yield path, line_of(text, m.start()), f'"{m.group()}" belongs to one machine'


def check_blanks(tree):
    """No trailing blanks, no tabs in C, no carriage returns, a line end at the end."""
    for path in tree.files:
        text = tree.text(path)
        if not text or tree.is_generated(path) or path.startswith("tests/fuzz/corpus/"):
            continue
        c = path in tree.c_files
        for m in re.finditer(r"[ \t]+$|\r" + (r"|\t" if c else ""), text, re.MULTILINE):
            yield path, line_of(text, m.start()), "trailing blank, tab or carriage return"
        if not text.endswith("\n"):
            yield path, text.count("\n") + 1, "no line end at the end of the file"


CHECKS = {
    "includes": check_includes,
    "names": check_names,
    "guards": check_guards,
    "dead": check_dead,
    "files": check_files,
    "functions": check_functions,
    "nesting": check_nesting,
    "calls": check_calls,
    "libraries": check_libraries,
    "words": check_words,
    "blanks": check_blanks,
}
