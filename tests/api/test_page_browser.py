#!/usr/bin/env python3
"""The chat page in a headless Chromium, with a real server behind it: pull, chat, think, stop, unload, keys.

    test_page_browser.py OLL SHARED

With OLL_TEST_SHOTS a folder, pictures of each state are left there.
"""
import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time

from browser import Browser, available
from served import Checks, Server, skip

PIECE = 64 << 10
THINKING = ("{{- range .Messages }}{{ if eq .Role \"assistant\" }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}"
            "{{ .Content }}{{ else }}{{ .Content }}{{ end }}\n{{ end }}{{ if .Think }}<think>{{ end }}")


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class SlowRegistry(http.server.ThreadingHTTPServer):
    """One model, test/m, whose blobs come in pieces with pauses; as much of the registry's protocol as a pull needs."""

    daemon_threads = True

    def __init__(self, model):
        super().__init__(("127.0.0.1", 0), RegistryHandler)
        config = json.dumps({"model_format": "gguf", "os": "linux", "architecture": "amd64"}).encode()
        self.blobs = {digest_of(data): data for data in (config, model)}
        layers = [{"mediaType": "application/vnd.docker.container.image.v1+json", "digest": digest_of(config), "size": len(config)},
                  {"mediaType": "application/vnd.ollama.image.model", "digest": digest_of(model), "size": len(model)}]
        self.manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                                    "config": layers[0], "layers": layers[1:]}).encode()
        self.pause = 1
        self.name = f"127.0.0.1:{self.server_address[1]}/test/m"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class RegistryHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        last = self.path.rpartition("/")[2]
        data = self.server.manifest if last == "latest" and "/test/m/manifests/" in self.path else self.server.blobs.get(last)
        if data is None:
            data = b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'
            self.send_response(404)
        else:
            found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            self.send_response(206 if found else 200)
            if found:
                first, end = int(found[1]), int(found[2] or len(data) - 1) + 1
                self.send_header("Content-Range", f"bytes {first}-{end - 1}/{len(data)}")
                data = data[first:end]
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        for at in range(0, len(data) if self.command == "GET" else 0, PIECE):
            try:
                self.wfile.write(data[at:at + PIECE])
            except OSError:
                return
            time.sleep(self.server.pause)

    do_HEAD = do_GET


def open_page(browser, server):
    """The page, with plain HTTP allowed for pulls: the registry of this test has no certificate."""
    browser.go(server.url + "/")
    browser.js("""
        const real = window.fetch;
        window.fetch = (path, options) => {
            if (path === "/api/pull") options.body = JSON.stringify({...JSON.parse(options.body), insecure: true});
            return real(path, options);
        };""")


def bar_values(browser, seconds=60):
    """Values of the bar until it is hidden again, and the notes beside it."""
    values, notes, deadline = [], [], time.monotonic() + seconds
    while time.monotonic() < deadline:
        hidden, value, note = browser.js("""
            const bar = document.getElementById("pull-bar");
            return [bar.hidden, bar.hasAttribute("value") ? bar.value : null, document.getElementById("pull-note").textContent];""")
        if hidden:
            return values, notes, note
        if value is not None and (not values or values[-1] != value):
            values.append(value)
        if not notes or notes[-1] != note:
            notes.append(note)
        time.sleep(0.02)
    return values, notes, None


def check_pull(checks, browser, registry):
    browser.type("#pull-name", registry.name)
    browser.click("#pull")
    checks.equal(browser.js("return document.getElementById('pull').textContent"), "Stop", "the button stops while a pull runs")
    checks.true(browser.wait("document.getElementById('pull-bar').value > 0.1"), "the bar moves")
    browser.shot("pulling")
    browser.click("#pull")
    checks.equal(bar_values(browser)[2], "Stopped; pulling again goes on from there.", "a pull is stopped")
    registry.pause = 0.2
    browser.click("#pull")
    values, notes, last = bar_values(browser)
    checks.true(len(values) >= 5 and values == sorted(values) and values[-1] > 0.9, f"the bar moves to its end: {values}")
    checks.true(values and values[0] > 0.05, f"it goes on where it stopped: {values[:2]}")
    checks.true(any(re.fullmatch(r"[\d.]+ (KB|MB) of 4\.4 MB", note) for note in notes), f"sizes are told: {notes}")
    checks.equal(last, registry.name + " is here.", "the pull's end")
    checks.equal(browser.js("return document.getElementById('model').value"), registry.name + ":latest", "the new model is chosen")
    browser.type("#pull-name", registry.name.replace("/m", "/absent"))
    browser.click("#pull")
    _, _, last = bar_values(browser)
    checks.true("absent" in last or "not exist" in last, f"a model that is not there: {last!r}")
    checks.equal(browser.js("return document.getElementById('pull-note').className"), "note bad", "and it is shown as a failure")


def say(browser, text):
    browser.type("#input", text)
    browser.click("#send")


def answer_done(browser, n, seconds=60):
    """The n-th answer when it is complete."""
    return browser.wait(f"""(() => {{
        const all = document.querySelectorAll(".message.assistant");
        return all.length >= {n} && document.getElementById("stop").hidden && all[{n - 1}].querySelector(".facts") &&
            [all[{n - 1}].querySelector(".text").textContent, all[{n - 1}].querySelector(".facts").textContent];
    }})()""", seconds)


def check_chat(checks, browser):
    browser.js("const m = document.getElementById('model'); m.value = 'short:latest'; m.onchange();")
    say(browser, "<b>Hello</b>")
    text, facts = answer_done(browser, 1) or ("", "")
    checks.true(text and re.match(r"8 tokens, [\d.]+ tokens/s", facts), f"an answer: {text!r} {facts!r}")
    checks.equal(browser.js("return [document.querySelector('.user .text').textContent, document.querySelectorAll('#talk b').length]"),
                 ["<b>Hello</b>", 0], "what is typed stays text")
    browser.shot("answered")
    browser.js("const m = document.getElementById('model'); m.value = 'long:latest'; m.onchange();")
    # The model is quick: the page itself presses Stop as soon as some text is there.
    browser.js("""
        const watch = setInterval(() => {
            if (!(document.querySelectorAll(".assistant .text")[1]?.textContent.length > 20)) return;
            clearInterval(watch);
            window.buttons = [document.getElementById("send").hidden, document.getElementById("stop").hidden];
            document.getElementById("stop").click();
        }, 2);""")
    say(browser, "at length")
    _, facts = answer_done(browser, 2, 20) or ("", "")
    checks.equal(browser.js("return window.buttons"), [True, False], "an answer that streams can be stopped")
    checks.equal(facts, "stopped", "Stop ends it")
    browser.click("#fresh")
    checks.equal(browser.js("return document.querySelectorAll('.message').length"), 0, "a new chat is empty")


def check_thinking(checks, browser):
    browser.js("const m = document.getElementById('model'); m.value = 'thinks:latest'; m.onchange();")
    checks.equal(browser.js("return [document.getElementById('think-row').hidden, document.getElementById('think').checked]"), [False, True],
                 "a model that thinks has a switch for it")
    for _ in range(5):  # the model says anything, now and then nothing at all
        say(browser, "why")
        answer_done(browser, 1)
        found = browser.js("""
            const details = document.querySelector(".assistant details");
            return details && [details.open, details.querySelector("div").textContent.length > 0,
                               details.querySelector("div").checkVisibility({contentVisibilityAuto: true})];""")
        if found:
            break
        browser.click("#fresh")
    checks.equal(found, [False, True, False], "thoughts are folded")
    checks.equal(browser.js("return document.querySelector('.assistant summary').textContent"), "Thoughts", "they are over")
    browser.click(".assistant summary")
    checks.true(browser.wait("document.querySelector('.assistant details').open"), "a click unfolds them")
    browser.shot("thinking")
    browser.click("#think")
    say(browser, "and now")
    text, _ = answer_done(browser, 2) or ("", "")
    checks.true(text and browser.js("return document.querySelectorAll('.assistant details').length") == 1, "without thinking there are none")


def loaded_names(server):
    return sorted(m["name"] for m in json.loads(server.call("GET", "/api/ps")[1])["models"])


def check_loaded(checks, browser, server):
    items = "[...document.querySelectorAll('#loaded li span')].map(n => n.textContent).sort()"
    names = loaded_names(server)
    checks.true(names, "models are loaded")
    checks.true(browser.wait(f"{items}.length === {len(names)} && {items}", 10), "and the page lists them")
    shown = browser.js(f"return {items}")
    checks.true(all(re.fullmatch(re.escape(name) + r", [\d.]+ [KMG]B", text) for name, text in zip(names, shown)), f"{names} {shown}")
    browser.shot("loaded")
    for left in range(len(names) - 1, -1, -1):
        browser.click("#loaded li button")
        checks.true(browser.wait(f"document.querySelectorAll('#loaded li').length === {left}", 15), f"unloaded: {left} left")
    checks.equal((loaded_names(server), browser.js("return document.getElementById('loaded-none').hidden")), ([], False), "none is left")
    browser.shot("unloaded")


def check_keys(checks, oll, folder):
    keys = os.path.join(folder, "keys")
    with open(keys, "w", encoding="utf-8") as f:
        f.write("a-secret-key-of-some-length\n")
    os.chmod(keys, 0o600)
    with KeyServer(oll, os.path.join(folder, "models"), OLL_API_KEYS_FILE=keys) as server, Browser(420, 800) as browser:
        browser.go(server.url + "/")
        checks.true(browser.wait("!document.getElementById('key-part').hidden"), "a key is asked for")
        browser.shot("key")
        browser.type("#key", "a-secret-key-of-some-length")
        browser.click("#key-save")
        checks.true(browser.wait("document.querySelectorAll('#model option').length > 0"), "with it the models are listed")
        checks.true(browser.js("return document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out of a narrow window")
        browser.shot("narrow")


class KeyServer(Server):
    """Answers 401 until a key is sent, which is a sign of life, too."""

    def call(self, method, path, body=None, headers=None):
        return super().call(method, path, body, {**(headers or {}), "Authorization": "Bearer a-secret-key-of-some-length"})


def main():
    oll, shared = os.path.abspath(sys.argv[1]), sys.argv[2]
    maker = os.path.join(shared, "data", "ollama", "make_tiny_gguf.py")
    if not os.path.exists(maker):
        skip(f"{maker} is absent")
    if not available():
        skip("there is no Chromium with chromedriver (Debian packages chromium, chromium-driver)")
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="oll-page-") as folder:
        tiny = os.path.join(folder, "tiny.gguf")
        subprocess.run([sys.executable, "-B", maker, tiny], check=True, capture_output=True)
        with open(tiny, "rb") as f:
            data = f.read()
        os.makedirs(os.path.join(folder, "models"))
        pulled = data + bytes(1_500_000)  # a file that the store does not have yet
        with Server(oll, os.path.join(folder, "models")) as server, SlowRegistry(pulled) as registry, Browser() as browser:
            digest = server.upload(data)
            for name, more in (("short", {"parameters": {"num_predict": 8}}), ("long", {"parameters": {"num_predict": -1, "temperature": 0}}),
                               ("thinks", {"parameters": {"num_predict": 30}, "template": THINKING})):
                server.post("/api/create", {"model": name, "files": {"m.gguf": digest}, "stream": False, **more})
            open_page(browser, server)
            checks.true(browser.wait("document.querySelectorAll('#model option').length === 3"), "the models are listed")
            browser.shot("start")
            check_pull(checks, browser, registry)
            check_chat(checks, browser)
            check_thinking(checks, browser)
            check_loaded(checks, browser, server)
            checks.equal([line for line in browser.complaints() if "Security Policy" in line or "Uncaught" in line], [], "the console is silent")
        check_keys(checks, oll, folder)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
