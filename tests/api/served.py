"""A real `oll serve` on a folder and a free port, for tests that look at it from outside."""

import contextlib
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time

SKIPPED = 77
START_TIMEOUT_S = 30
REPLY_TIMEOUT_S = 300
REPORTS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer", "runtime error:")


def skip(reason):
    print(f"SKIPPED: {reason}")
    sys.exit(SKIPPED)


def free_port():
    with contextlib.closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """Use as a context: the server runs inside and is stopped, and must have stopped well, at the end."""

    def __init__(self, oll, models, *arguments, **environment):
        self.oll, self.models, self.arguments, self.environment = oll, models, arguments, environment
        self.start_options = {}  # of subprocess.Popen
        self.may_crash = False  # its runners are killed on purpose
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = os.path.join(os.path.dirname(models), "server.log")

    def env(self):
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("OLLAMA_", "OLL_"))}
        return {**keep, "OLLAMA_MODELS": self.models, "OLLAMA_HOST": f"127.0.0.1:{self.port}", **self.environment}

    def __enter__(self):
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([self.oll, "serve", *self.arguments], env=self.env(), stdout=log, stderr=log,
                                            **self.start_options)
        deadline = time.monotonic() + START_TIMEOUT_S
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                if self.call("GET", "/api/version")[0] == 200:
                    return self
            except OSError:
                time.sleep(0.02)
        self.process.kill()
        raise RuntimeError(f"the server did not start: {self.read_log()}")

    def __exit__(self, kind, value, traceback):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = "none within 30 s"
        if kind is None and code != 0:
            raise RuntimeError(f"the server ended with code {code}: {self.read_log()}")

        if kind is None and not self.may_crash and any(sign in self.read_log(-1) for sign in REPORTS):
            raise RuntimeError(f"a sanitizer complained: {self.read_log(-1)}")

    def read_log(self, n=4000):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()[-n:] if n > 0 else f.read()

    def call(self, method, path, body=None, headers=None):
        """Status and bytes of a reply; `body` is bytes, or a value that is sent as JSON."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REPLY_TIMEOUT_S)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            reply = connection.getresponse()
            return reply.status, reply.read()

    def counter(self, name):
        """A number of /metrics, 0 where it is not yet told."""
        for line in self.call("GET", "/metrics")[1].decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        return 0

    def post(self, path, body):
        """Status and value of a JSON reply."""
        status, data = self.call("POST", path, body)
        return status, json.loads(data) if data.strip() else None

    def upload(self, data):
        """Stores bytes as a blob; its digest."""
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        status, reply = self.call("POST", f"/api/blobs/{digest}", data)
        if status not in (200, 201):
            raise RuntimeError(f"upload: {status} {reply!r}")
        return digest

    def run(self, *argv, more=None, **options):
        """A command of the client, with output as text; `more`: further variables."""
        return subprocess.run([self.oll, *argv], env={**self.env(), **(more or {})}, stdin=subprocess.DEVNULL, capture_output=True,
                              encoding="utf-8", errors="replace", timeout=REPLY_TIMEOUT_S, check=False, **options)


class Checks:
    """Counts what was checked and prints what was not as expected."""

    def __init__(self):
        self.n, self.n_failed = 0, 0

    def equal(self, got, expected, what):
        self.n += 1
        if got != expected:
            self.n_failed += 1
            print(f"FAILED {what}\n  got      {got!r}\n  expected {expected!r}")
        return got == expected

    def true(self, condition, what):
        return self.equal(bool(condition), True, what)

    def finish(self):
        print(f"{self.n} checks, {self.n_failed} failed")
        return 1 if self.n_failed else 0
