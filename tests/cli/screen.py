"""What a terminal shows: text with escape sequences, rendered to lines, and a program under a pseudo terminal."""

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
import unicodedata

SEQUENCE = re.compile(r"\x1b(?:\[([0-9;?<=>]*)([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Z0-9]|[=>78DEHMc])")


def width_of(char):
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


class Screen:
    """Lines without limit; only what command lines use is understood."""

    def __init__(self, columns=80):
        self.columns, self.lines, self.row, self.column = columns, [[]], 0, 0

    def line(self):
        while len(self.lines) <= self.row:
            self.lines.append([])
        return self.lines[self.row]

    def put(self, char):
        width = width_of(char)
        if self.column + width > self.columns:
            self.row, self.column = self.row + 1, 0
        line = self.line()
        line.extend([" "] * (self.column + width - len(line)))
        line[self.column] = char
        if width == 2:
            line[self.column + 1] = ""
        self.column += width

    def control(self, arguments, final):
        first = arguments.split(";")[0]
        n = int(first) if first.isdigit() else 0
        line = self.line()
        if final == "A":
            self.row = max(self.row - max(n, 1), 0)
        elif final == "B":
            self.row += max(n, 1)
        elif final == "C":
            self.column = min(self.column + max(n, 1), self.columns - 1)
        elif final == "D":
            self.column = max(min(self.column, self.columns - 1) - max(n, 1), 0)
        elif final == "G":
            self.column = max(n, 1) - 1
        elif final == "K" and n == 0:
            del line[self.column:]
        elif final == "K" and n == 2:
            line.clear()
        elif final == "J" and n == 0:
            del line[self.column:]
            del self.lines[self.row + 1:]
        elif final == "P":
            del line[self.column:self.column + max(n, 1)]
        elif final == "@":
            line[self.column:self.column] = [" "] * max(n, 1)
        elif final == "X":
            for i in range(self.column, min(self.column + max(n, 1), len(line))):
                line[i] = " "

    def feed(self, text):
        at = 0
        while at < len(text):
            char = text[at]
            found = SEQUENCE.match(text, at) if char == "\x1b" else None
            if found:
                if found.group(2):
                    self.control(found.group(1), found.group(2))
                at = found.end()
                continue
            at += 1
            if char == "\r":
                self.column = 0
            elif char == "\n":
                self.row += 1
                self.line()
            elif char == "\b":
                self.column = max(self.column - 1, 0)
            elif char == "\t":
                self.column = min((self.column // 8 + 1) * 8, self.columns - 1)
            elif char >= " ":
                self.put(char)
        return self

    def text(self):
        """Lines without blanks at their ends, nor empty ones at the end."""
        lines = ["".join(line).rstrip() for line in self.lines]
        while lines and not lines[-1]:
            lines.pop()
        return lines


def render(text, columns=80):
    return Screen(columns).feed(text).text()


class Terminal:
    """A program under a pseudo terminal. Use as a context; it is ended at the end."""

    def __init__(self, argv, env, cwd=None, columns=80, rows=24, term="xterm"):
        size = struct.pack("HHHH", rows, columns, 0, 0)
        self.raw = ""
        self.pending = b""
        self.code = None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                fcntl.ioctl(0, termios.TIOCSWINSZ, size)
                if cwd:
                    os.chdir(cwd)
                os.execve(argv[0], argv, {**env, "TERM": term})
            finally:
                os._exit(127)

    def resize(self, columns, rows=24):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def read(self, seconds):
        """What comes within some time; False at the end of the program."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""
        self.pending += data
        text = self.pending.decode(errors="ignore")
        self.pending = self.pending[len(text.encode()):] if len(self.pending) < 4 else b""
        self.raw += text
        return bool(data)

    def wait_for(self, pattern, seconds=60, start=0):
        """Waits until a pattern is found in what came after `start`; the text that came, or None in vain."""
        deadline = time.monotonic() + seconds
        alive = True
        while not re.search(pattern, self.raw[start:]):
            if not alive or time.monotonic() > deadline:
                return None
            alive = self.read(0.05)
        return self.raw[start:]

    def settle(self, quiet=0.25, seconds=30):
        """Waits until nothing comes for a while."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            n = len(self.raw)
            if not self.read(quiet) or len(self.raw) == n:
                return

    def send(self, text):
        os.write(self.fd, text.encode())

    def finish(self, seconds=60):
        """Waits for the end; the exit code, or minus the signal."""
        deadline = time.monotonic() + seconds
        while self.read(0.05):
            if time.monotonic() > deadline:
                raise TimeoutError(f"still running: {render(self.raw)[-5:]}")
        self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code

    def lines(self):
        return render(self.raw)
