#!/usr/bin/env python3
"""The chat page at "/": who gets it, its policy, and that it runs in a browser. test_page.py OLL SHARED."""
import base64
import hashlib
import http.client
import os
import re
import shutil
import subprocess
import sys
import tempfile

from served import Checks, Server, skip


def get(server, accept=None, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request(method, "/", headers={"Accept": accept} if accept else {})
    reply = connection.getresponse()
    data = reply.read()
    connection.close()
    return reply.status, dict(reply.getheaders()), data.decode()


def check_who(checks, server):
    plain = (200, "text/plain; charset=utf-8", "Ollama is running")
    for accept in (None, "*/*", "application/json", "text/*", "text/html;q=0", "text/htmlx", "text/plain, */*"):
        status, headers, text = get(server, accept)
        checks.equal((status, headers["Content-Type"], text), plain, f"Accept {accept}")
    for accept in ("text/html", "text/html,application/xhtml+xml,*/*;q=0.8", "application/json, TEXT/HTML; q=0.9"):
        status, headers, text = get(server, accept)
        checks.true(status == 200 and headers["Content-Type"].startswith("text/html") and "<title>oll</title>" in text,
                    f"Accept {accept}: {status} {headers}")
    status, headers, text = get(server, "text/html", "HEAD")
    checks.true(status == 200 and text == "" and "Content-Security-Policy" in headers, f"HEAD: {status} {headers}")


def check_policy(checks, server):
    _, headers, text = get(server, "text/html")
    policy = headers.get("Content-Security-Policy", "")
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        inside = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.S)
        digest = base64.b64encode(hashlib.sha256(inside[0].encode()).digest()).decode() if len(inside) == 1 else "?"
        checks.true(f"{rule} 'sha256-{digest}'" in policy, f"{rule}: {policy}")
    checks.true("default-src 'none'" in policy and "connect-src 'self'" in policy and "unsafe" not in policy, policy)
    checks.equal(headers.get("X-Content-Type-Options"), "nosniff", "no guessing of types")
    checks.true("Accept" in headers.get("Vary", ""), "caches keep page and text apart")
    checks.equal(re.findall(r"(?:src|href)\s*=|https?://|\son[a-z]+\s*=", text.partition("<script>")[0]), [], "nothing from outside")
    checks.true("innerHTML" not in text and "eval(" not in text, "text stays text")


def check_browser(checks, server):
    """The page as Chromium leaves it: it has asked the server for its models, and its policy let it."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not browser:
        print("SKIPPED in part: there is no Chromium")
        return
    with tempfile.TemporaryDirectory() as profile:
        done = subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}",
                               "--virtual-time-budget=4000", "--dump-dom", server.url + "/"],
                              capture_output=True, text=True, timeout=120)
    checks.true('<option value="calls:latest">' in done.stdout, f"the list of models: {done.stdout[-400:]} {done.stderr[-400:]}")
    checks.true("Content Security Policy" not in done.stderr, f"the policy lets the page run: {done.stderr[-400:]}")


def main():
    oll, shared = sys.argv[1:]
    maker = os.path.join(shared, "data", "ollama", "make_tiny_gguf.py")
    if not os.path.exists(maker):
        skip(f"{maker} is absent")
    checks = Checks()
    with tempfile.TemporaryDirectory() as folder:
        tiny = os.path.join(folder, "tiny.gguf")
        subprocess.run([sys.executable, maker, tiny], check=True, capture_output=True)
        store = os.path.join(folder, "models")
        os.makedirs(store)
        with Server(oll, store) as server:
            with open(tiny, "rb") as f:
                digest = server.upload(f.read())
            server.post("/api/create", {"model": "calls", "files": {"m.gguf": digest}, "stream": False})
            check_who(checks, server)
            check_policy(checks, server)
            check_browser(checks, server)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
