"""A headless Chromium, driven through Debian's chromedriver over WebDriver (W3C, 2018): no package besides them."""

import base64
import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of an element's reference, as WebDriver fixes it


def available():
    return all(map(shutil.which, ("chromium", "chromedriver")))


class Browser:
    """Use as a context: a window with a profile of its own."""

    def __init__(self, width=1200, height=800, dark=False):
        self.size, self.dark = (width, height), dark
        with contextlib.closing(socket.socket()) as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]

    def __enter__(self):
        self.profile = tempfile.TemporaryDirectory(prefix="oll-browser-", ignore_cleanup_errors=True)
        self.driver = subprocess.Popen([shutil.which("chromedriver"), f"--port={self.port}"], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL, env={**os.environ, "TMPDIR": self.profile.name})
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     f"--window-size={self.size[0]},{self.size[1]}", f"--user-data-dir={self.profile.name}/profile"]
        if self.dark:
            arguments.append("--force-dark-mode")
        options = {"binary": shutil.which("chromium"), "args": arguments}
        deadline = time.monotonic() + 60
        while True:
            try:
                reply = self.call("POST", "/session", {"capabilities": {"alwaysMatch": {
                    "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}})
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        self.session = f"/session/{reply['sessionId']}"
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError, RuntimeError):
            self.call("DELETE", self.session)
        self.driver.terminate()
        self.driver.wait()
        self.profile.cleanup()

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        with contextlib.closing(connection):
            connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
            reply = connection.getresponse()
            value = json.loads(reply.read())["value"]
        if reply.status != 200:
            raise RuntimeError(f"{method} {path}: {value['error']}: {value['message'][:400]}")
        return value

    def go(self, url):
        self.call("POST", self.session + "/url", {"url": url})

    def js(self, script, *arguments):
        """The value that a script returns."""
        return self.call("POST", self.session + "/execute/sync", {"script": script, "args": list(arguments)})

    def wait(self, expression, seconds=30):
        """The first value of an expression that counts as true; None in vain."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            value = self.js(f"return {expression}")
            if value:
                return value
            time.sleep(0.03)
        return None

    def element(self, selector):
        return self.call("POST", self.session + "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        self.call("POST", f"{self.session}/element/{self.element(selector)}/click", {})

    def type(self, selector, text):
        self.call("POST", f"{self.session}/element/{self.element(selector)}/value", {"text": text})

    def complaints(self):
        """Lines of the console since the last call."""
        return [line["message"] for line in self.call("POST", self.session + "/se/log", {"type": "browser"})]

    def shot(self, name):
        """A picture in the folder OLL_TEST_SHOTS, where somebody wants to look at it."""
        folder = os.environ.get("OLL_TEST_SHOTS")
        if folder:
            with open(os.path.join(folder, name + ".png"), "wb") as f:
                f.write(base64.b64decode(self.call("GET", self.session + "/screenshot")))
