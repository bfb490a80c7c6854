#!/usr/bin/env python3
"""Keys and servers that others can reach (security rule R21): test_keys.py OLL SHARED."""
import os
import subprocess
import sys
import tempfile

from served import Checks, Server

KEY = "k-0123456789abcdef"
ADMIN = [("POST", "/api/pull", {"model": "x"}), ("POST", "/api/push", {"model": "x"}), ("POST", "/api/create", {"model": "x"}),
         ("POST", "/api/copy", {"source": "a", "destination": "b"}), ("DELETE", "/api/delete", {"model": "x"}),
         ("POST", "/api/blobs/sha256:" + "0" * 64, b"x")]
FREE = [("GET", "/"), ("HEAD", "/"), ("GET", "/api/version"), ("GET", "/health")]


def check_keys(checks, oll, folder):
    path = os.path.join(folder, "keys")
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"# of the tests\n\nother-key-0123456789\r\n{KEY}\n")
    with Server(oll, folder + "/a/models", OLL_API_KEYS_FILE=path) as server:
        for method, route in FREE:
            checks.equal(server.call(method, route)[0], 200, f"{method} {route} without a key")
        for method, route, body in ADMIN + [("GET", "/api/tags", None), ("POST", "/v1/chat/completions", {})]:
            for headers in ({}, {"Authorization": "Bearer wrong-0123456789"}, {"Authorization": f"Basic {KEY}"},
                            {"Authorization": f"Bearer {KEY}x"}):
                checks.equal(server.call(method, route, body, headers)[0], 401, f"{method} {route} {headers}")
        for headers in ({"Authorization": f"Bearer {KEY}"}, {"authorization": f"bearer {KEY}"}, {"x-api-key": KEY},
                        {"Authorization": "Bearer other-key-0123456789"}):
            checks.equal(server.call("GET", "/api/tags", None, headers)[0], 200, f"{headers}")
        status, data = server.call("POST", "/v1/messages", {}, {})
        checks.true(status == 401 and data.startswith(b'{"type":"error","error":{"type":"authentication_error"'), f"{data}")
        checks.equal(server.call("POST", "/api/pull", {}, {"x-api-key": KEY})[0], 400, "a key lets models be changed")
        listed = subprocess.run([oll, "list"], env={**server.env(), "OLL_API_KEY": KEY}, capture_output=True, text=True)
        checks.equal((listed.returncode, listed.stdout.split()[:2]), (0, ["NAME", "ID"]), f"the client's key: {listed.stderr}")
        refused = server.run("list")
        checks.true(refused.returncode == 1 and "asks for a key" in refused.stderr, f"without: {refused.stderr}")


def check_bad_files(checks, oll, folder):
    for text, fault in (("short\n", "line 1: a key has"), ("# none\n", "holds no key"), (None, "No such file")):
        path = os.path.join(folder, "bad")
        if os.path.exists(path):
            os.remove(path)
        if text is not None:
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        server = Server(oll, folder + "/a/models", OLL_API_KEYS_FILE=path)
        done = subprocess.run([oll, "serve"], env=server.env(), capture_output=True, text=True, timeout=30)
        checks.true(done.returncode == 1 and path in done.stderr and fault in done.stderr, f"{text!r}: {done.stderr}")


def check_wide(checks, oll, folder):
    for name, variables, admin in (("closed", {}, 403), ("open", {"OLL_OPEN": "1"}, None)):
        server = Server(oll, f"{folder}/{name}/models")
        server.environment = {"OLLAMA_HOST": f"0.0.0.0:{server.port}", **variables}
        with server:
            checks.equal(server.call("GET", "/api/tags")[0], 200, f"{name}: models are used")
            for method, route, body in ADMIN:
                status = server.call(method, route, body)[0]
                checks.true(status == admin if admin else status != 403, f"{name}: {method} {route}: {status}")
            checks.equal("no keys" in server.read_log(), bool(admin), f"{name}: the log")


def main():
    oll, _ = sys.argv[1:]
    checks = Checks()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("a", "closed", "open"):
            os.makedirs(f"{folder}/{name}/models")
        check_keys(checks, oll, folder)
        check_bad_files(checks, oll, folder)
        check_wide(checks, oll, folder)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
