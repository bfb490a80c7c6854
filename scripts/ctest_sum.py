"""Adds up the JUnit reports of several ctest runs.

    ctest_sum.py NAME=REPORT.xml...

Lists what failed, and what was skipped with its reason; the last line is "N passed, N failed, N skipped". A missing
report means that the build of that name failed, and counts as one failed test. Exit code 1 when anything failed, or
when nothing passed.
"""

import os
import re
import sys
import xml.etree.ElementTree as ElementTree


def reason(case):
    """What a skipped test printed: its line "SKIPPED: ..."."""
    output = case.findtext("system-out") or ""
    found = re.findall(r"^\s*SKIPPED: (.*)$", output, re.MULTILINE)
    return "; ".join(dict.fromkeys(found)) or "it gave no reason"


def main(arguments):
    passed, failed, skipped = [], [], []
    for argument in arguments:
        name, path = argument.split("=", 1)
        if not os.path.exists(path):
            failed.append(f"{name}: the build failed")
            continue
        for case in ElementTree.parse(path).getroot().iter("testcase"):
            title = f"{name}: {case.get('name')}"
            if case.get("status") == "run":
                passed.append(title)
            elif case.find("skipped") is not None and case.get("status") != "fail":
                skipped.append(f"{title}: {reason(case)}")
            else:
                failed.append(title)
    for word, titles in ("skipped", skipped), ("FAILED", failed):
        for title in titles:
            print(f"{word} {title}")
    print(f"{len(passed)} passed, {len(failed)} failed, {len(skipped)} skipped")
    return 1 if failed or not passed else 0


sys.exit(main(sys.argv[1:]))
