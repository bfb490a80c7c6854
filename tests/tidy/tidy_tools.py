"""The checks that ask a tool: compilers, nm, clang-format. Each takes a Tree and yields (path, line, message), or raises
Skip where its tool is absent."""

import concurrent.futures
import os
import re
import shutil
import subprocess

from tidy_tree import is_template

COMPILERS = ("gcc", "clang-19")
COMPILE_FLAGS = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-D_POSIX_C_SOURCE=200809L",
                 "-D_XOPEN_SOURCE=700", '-DOLL_VERSION="0"', "-x", "c", "-"]
FORMATTER = "clang-format-19"


class Skip(Exception):
    pass


def run_all(commands):
    """Runs (key, argv, stdin) on two processors; yields (key, CompletedProcess) in order."""
    def one(command):
        key, argv, text = command
        return key, subprocess.run(argv, input=text, capture_output=True, text=True)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        yield from pool.map(one, commands)


def check_headers(tree):
    """Every header compiles alone, with each compiler that is here."""
    compilers = [c for c in COMPILERS if shutil.which(c)] or ["cc"]
    if not shutil.which(compilers[0]):
        raise Skip("no C compiler")
    headers = [p for p in tree.c_files if p.endswith(".h") and not is_template(p)]
    commands = [((path, c), [c, *COMPILE_FLAGS, "-I", tree.root], f'#include "{path}"\n')
                for path in headers for c in compilers]
    for (path, compiler), result in run_all(commands):
        if result.returncode:
            found = re.search(r":(\d+):\d+: (?:fatal )?error: (.*)", result.stderr)
            line, text = (int(found.group(1)), found.group(2)) if found else (1, result.stderr.strip())
            yield path, line, f"does not compile alone ({compiler}): {text}"


# Prefixes of modules whose name is not that of a file, by folder.
SYMBOL_PREFIXES = {
    "kernels": ("op_",),  # the ops of device.h
    "tokenizer": ("pretok_", "encoder_", "charsmap_", "fragments_"),
    "sampler": ("gbnf_", "machine_", "schema_", "shape_", "shapes_"),
    "engine": ("block_", "fill_", "moe_", "plan_", "ubatch_"),
    "registry": ("transfer_",),
    "server": ("fair_", "place_", "policy_"),  # the scheduler's
}


def check_symbols(tree):
    """A symbol that a library shows to others begins with oll_ or with the name of its module or folder."""
    if not tree.build:
        raise Skip("no build folder was given")
    folders = {}
    for path in tree.c_files:
        folder, name = os.path.split(path)
        folders.setdefault(name, folder)
    for archive in sorted(find_archives(tree.build)):
        result = subprocess.run(["nm", "-A", "-g", "--defined-only", archive], capture_output=True, text=True)
        for line in result.stdout.split("\n"):
            found = re.match(r".*?:([\w.+-]+\.[a-z]+)\.o:\s*[0-9a-f]* \w (\S+)", line)
            if not found or found.group(1) not in folders:
                continue
            path, symbol = os.path.join(folders[found.group(1)], found.group(1)), found.group(2)
            if symbol.startswith(("oll_", "_", *module_prefixes(tree, path))):
                continue
            yield path, 1, f"symbol {symbol} begins neither with oll_ nor with the name of its module"


def module_prefixes(tree, path):
    """The names of the folders above and of the files beside this one; cpu/cpu_x, cli_x and openai_x are also called x,
    and files whose names begin with one word are a module of that name."""
    folder = os.path.dirname(path)
    stems = {os.path.splitext(os.path.basename(p))[0] for p in tree.c_files if os.path.dirname(p) == folder}
    words = [stem.split("_")[0] for stem in stems]
    stems |= {word for word in words if words.count(word) > 1}
    for own in ("cli_", "openai_", os.path.basename(folder) + "_"):
        stems |= {stem.removeprefix(own) for stem in stems}
    stems |= set(folder.split("/"))
    return (*(f"{stem}_" for stem in stems), *SYMBOL_PREFIXES.get(path.split("/")[0], ()))


def find_archives(build):
    for folder, folders, names in os.walk(build):
        folders[:] = [d for d in folders if d not in ("CMakeFiles", "tests")]
        yield from (os.path.join(folder, n) for n in names if n.endswith(".a"))


def check_format(tree):
    """clang-format would change nothing."""
    if not shutil.which(FORMATTER):
        raise Skip(f"{FORMATTER} is absent")
    files = [p for p in tree.c_files if p.endswith((".c", ".h")) and not tree.is_generated(p)]
    batches = [files[i:i + 20] for i in range(0, len(files), 20)]
    commands = [(None, [FORMATTER, "--dry-run", "-Werror", *(os.path.join(tree.root, p) for p in batch)], None)
                for batch in batches]
    for _, result in run_all(commands):
        for m in re.finditer(r"^(.*?):(\d+):\d+: error: ", result.stderr, re.MULTILINE):
            yield os.path.relpath(m.group(1), tree.root), int(m.group(2)), f"run {FORMATTER} -i on this file"


CHECKS = {"headers": check_headers, "symbols": check_symbols, "format": check_format}
