"""House rules that a program can check.

    tidy.py [--root FOLDER] [--build FOLDER] CHECK...
    tidy.py --list

Prints "path:line: message" per finding. Exit code 1 with findings, 77 when a tool is absent, 0 otherwise.
"""

import argparse
import os
import sys

import tidy_checks
import tidy_tools
from tidy_tree import Tree

CHECKS = {**tidy_checks.CHECKS, **tidy_tools.CHECKS}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    parser.add_argument("--build")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("check", nargs="*", choices=[[], *CHECKS])
    args = parser.parse_args()
    if args.list:
        for name, check in CHECKS.items():
            print(f"{name:10} {' '.join(check.__doc__.split())}")
        return 0
    tree = Tree(os.path.normpath(args.root), args.build)
    count = 0
    for name in args.check or CHECKS:
        try:
            for path, line, message in CHECKS[name](tree):
                print(f"{path}:{line}: {message}")
                count += 1
        except tidy_tools.Skip as reason:
            print(f"SKIPPED: {reason}")
            return 77
    print(f"{len(tree.files)} files, {count} findings")
    return 1 if count else 0


sys.exit(main())
