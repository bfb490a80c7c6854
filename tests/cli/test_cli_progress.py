"""Progress of `oll pull` under a pseudo terminal: rows that never break, whatever the width and however it changes.

    test_cli_progress.py OLL
"""

import os
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "api"))

from fake_server import FakeServer  # noqa: E402
from screen import SEQUENCE, Screen, Terminal, render, width_of  # noqa: E402
from served import Checks  # noqa: E402

LONG = "pulling a manifest whose name goes on and on for longer than most terminals are wide, " + "東京" * 20
HOSTILE = "a title\x1b[2J\x1b]0;x\x07\r\nin three\u009b2J lines"
DIGESTS = ["sha256:" + c * 64 for c in "abc"]


def pull_lines():
    yield {"status": LONG}
    yield {"status": HOSTILE}
    for digest in DIGESTS:
        for done in (1, 500_000, 1_500_000, 3_000_000):
            yield {"status": f"pulling {digest[7:19]}", "digest": digest, "total": 3_000_000, "completed": done}
    yield {"status": "verifying sha256 digest"}


def environment(folder, address):
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("OLLAMA_", "OLL_"))}
    return {**keep, "HOME": folder, "LC_ALL": "C.UTF-8", "OLLAMA_HOST": address}


def frames(raw):
    """What each redrawing writes, as rows without escape sequences."""
    for frame in re.findall(r"\x1b\[\?2026h(.*?)\x1b\[\?2026l", raw, re.S):
        yield [SEQUENCE.sub("", row).strip("\r") for row in frame.split("\n")]


def columns_of(row):
    return sum(map(width_of, row))


def check_widths(checks, oll, folder, server):
    for columns in (1, 2, 3, 6, 7, 10, 27, 40, 79, 80, 81, 132, 500, 5000):
        with Terminal([oll, "pull", "m"], environment(folder, server.address), columns=columns) as t:
            checks.equal(t.finish(), 0, f"{columns} columns: exit code")
            widest = max(columns_of(row) for rows in frames(t.raw) for row in rows)
            checks.true(0 <= widest < columns, f"{columns} columns: a row of {widest}")
            lines = Screen(columns).feed(t.raw).lines
        checks.equal(len([line for line in lines if line]), 7 if columns > 1 else 0, f"{columns} columns: rows at the end")
        if columns >= 40:
            text = render(t.raw, columns)
            checks.true(text[0].endswith("…") or columns > 130, f"{columns} columns: a long status is cut: {text[0]!r}")
            checks.true(re.match(r"pulling aaaaaaaaaaaa: +100%", text[2]), f"{columns} columns: a bar: {text[2]!r}")
            checks.equal(text[-1], "success", f"{columns} columns: the last row")
    checks.true("\x1b[2J" not in t.raw and "\x1b]0" not in t.raw and "\u009b" not in t.raw, "no control characters of the server's")


def read_for(t, seconds):
    """What comes within some time."""
    start, end = len(t.raw), time.monotonic() + seconds
    while time.monotonic() < end:
        t.read(0.02)
    return t.raw[start:]


def check_resize(checks, oll, folder, server):
    """The terminal becomes narrow, then wide, while bars run."""
    server.pause = 0.25
    with Terminal([oll, "pull", "m"], environment(folder, server.address), columns=100) as t:
        t.wait_for("pulling a+:")
        for columns in (60, 30, 12, 120):
            t.resize(columns)
            first = read_for(t, 0.25)
            rows = [columns_of(row) for rows in frames(read_for(t, 0.5)) for row in rows]
            checks.true(rows and columns // 2 <= max(rows) < columns, f"{columns} columns from now on: {rows}")
            checks.equal("\x1b[J" in first, columns < 100, f"{columns} columns: broken rows are wiped away")
        checks.equal(t.finish(), 0, "resized: exit code")
    server.pause = 0


def check_pipe(checks, oll, folder, server):
    done = subprocess.run([oll, "pull", "m"], env=environment(folder, server.address), stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=60, check=False)
    checks.equal((done.returncode, done.stdout), (0, b""), "into a pipe")
    checks.equal(len([c for c in done.stderr.decode() if c < " " and c != "\n"]), 0, f"no control characters: {done.stderr!r}")
    checks.true(done.stderr.decode().endswith("verifying sha256 digest\nsuccess\n"), f"statuses: {done.stderr!r}")


def main():
    oll = os.path.abspath(sys.argv[1])
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="oll-progress-") as folder, FakeServer({}) as server:
        server.pulled = list(pull_lines())
        check_widths(checks, oll, folder, server)
        check_resize(checks, oll, folder, server)
        check_pipe(checks, oll, folder, server)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
