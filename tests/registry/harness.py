"""Debian's docker-registry on a free port, a proxy in front of it that does wrong on demand, and stores to look into."""

import contextlib
import hashlib
import http.client
import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

SKIPPED = 77
MODEL = "application/vnd.ollama.image.model"
CONFIG = "application/vnd.docker.container.image.v1+json"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
SEED = 20261125


def skip(reason):
    print(f"SKIPPED: {reason}")
    sys.exit(SKIPPED)


def free_port():
    with contextlib.closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def noise(n, seed=SEED):
    """Bytes that are the same in every run and compress badly."""
    out, block = bytearray(), hashlib.sha256(str(seed).encode()).digest()
    unit = b"".join(hashlib.sha256(block + i.to_bytes(4, "little")).digest() for i in range(2048))
    while len(out) < n:
        out += unit[:n - len(out)]
        unit = unit[1:] + unit[:1]
    return bytes(out)


class Registry:
    """docker-registry; use as a context."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()

    def __enter__(self):
        program = shutil.which("docker-registry")
        if not program:
            skip("docker-registry is absent (Debian package docker-registry)")
        os.makedirs(self.folder, exist_ok=True)
        config = os.path.join(self.folder, "config.yml")
        with open(config, "w", encoding="utf-8") as f:
            f.write("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
                    f"storage: {{filesystem: {{rootdirectory: {self.folder}/data}}, delete: {{enabled: true}}}}\n"
                    f"http: {{addr: 127.0.0.1:{self.port}}}\n")
        self.log = open(os.path.join(self.folder, "log"), "wb")
        self.process = subprocess.Popen([program, "serve", config], stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if self.call("GET", "/v2/")[0] == 200:
                    return self
            time.sleep(0.02)
        raise RuntimeError("docker-registry did not start")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def call(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            reply = connection.getresponse()
            return reply.status, reply.read(), dict(reply.getheaders())

    def put_blob(self, repository, data):
        _, _, headers = self.call("POST", f"/v2/{repository}/blobs/uploads/")
        path = re.sub(r"^http://[^/]*", "", headers["Location"])
        path += ("&" if "?" in path else "?") + "digest=" + digest_of(data)
        status, body, _ = self.call("PUT", path, data, {"Content-Type": "application/octet-stream"})
        assert status == 201, (status, body)

    def put_model(self, repository, layers, tag="latest", sizes=None):
        """layers: (media type, bytes), the config last; `sizes` may lie about a blob's size by its digest."""
        entries = []
        for kind, data in layers:
            self.put_blob(repository, data)
            size = (sizes or {}).get(digest_of(data), len(data))
            entries.append({"mediaType": kind, "digest": digest_of(data), "size": size})
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": entries[-1],
                               "layers": entries[:-1]}).encode()
        status, body, _ = self.call("PUT", f"/v2/{repository}/manifests/{tag}", manifest, {"Content-Type": MANIFEST})
        assert status == 201, (status, body)
        return manifest


class Exchange:
    """One request as the proxy saw it, and what it did."""

    def __init__(self, handler):
        self.method, self.path = handler.command, handler.path
        self.headers = {k.lower(): v for k, v in handler.headers.items()}
        self.host = self.headers.get("host", "")
        if self.path.startswith("http://"):  # asked as a proxy is
            self.host, _, rest = self.path[7:].partition("/")
            self.path = "/" + rest
        self.status, self.sent, self.received, self.began = None, 0, 0, time.monotonic()

    @property
    def is_blob(self):
        return self.method == "GET" and "/blobs/sha256" in self.path

    @property
    def range(self):
        m = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range", ""))
        return (int(m[1]), int(m[2])) if m else None


class Proxy:
    """Forwards to a registry. `rule(exchange)` may return a dictionary that says what to do otherwise:

    status, headers, body    answer so, without the registry
    cut                      close the connection after so many bytes of the body
    stall                    say nothing more after so many bytes
    wait                     seconds before anything is answered
    flip                     change this byte of the body
    drop_range               ask the registry without the range
    headers_more             further headers of the registry's reply; replaces those of the same name
    extra                    bytes after the body, with a length that counts them
    pace                     seconds between pieces of 64 KiB
    raw                      these bytes as the whole answer
    """

    def __init__(self, registry):
        self.registry, self.port, self.rule = registry, free_port(), lambda exchange: None
        self.exchanges, self.lock, self.stopping = [], threading.Lock(), threading.Event()
        self.name, self.foreign = f"127.0.0.1:{self.port}", f"localhost:{self.port}"

    def __enter__(self):
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle_one_request(self):
                with contextlib.suppress(ConnectionError, BrokenPipeError):
                    super().handle_one_request()
                    return
                self.close_connection = True

            def do_any(self):
                proxy.serve(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_any

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 128

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", self.port), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()

    def begin(self, rule=None):
        """Forgets what was seen; from now on this rule holds."""
        with self.lock:
            self.exchanges = []
        self.rule = rule or (lambda exchange: None)

    def blobs(self):
        return [e for e in self.exchanges if e.is_blob]

    # -- one exchange --

    def serve(self, handler):
        exchange = Exchange(handler)
        with self.lock:
            self.exchanges.append(exchange)
            what = self.rule(exchange) or {}
        n_body = int(handler.headers.get("Content-Length") or 0)
        if "cut_body" in what:
            self.take_body(handler, exchange, min(n_body, what["cut_body"]))
            self.close(handler)
            return
        body = self.take_body(handler, exchange, n_body)
        self.stopping.wait(what.get("wait", 0))
        if "raw" in what:
            handler.wfile.write(what["raw"])
            self.close(handler)
        elif "status" in what:
            self.answer(handler, exchange, what["status"], what.get("headers", {}), what.get("body", b""), {})
        else:
            self.forward(handler, exchange, body, what)

    @staticmethod
    def close(handler):
        handler.close_connection = True
        with contextlib.suppress(OSError):
            handler.connection.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def take_body(handler, exchange, n):
        body = handler.rfile.read(n) if n else b""
        exchange.received = len(body)
        return body

    def forward(self, handler, exchange, body, what):
        skip_headers = {"host", "connection"} | ({"range"} if what.get("drop_range") else set())
        headers = {k: v for k, v in handler.headers.items() if k.lower() not in skip_headers}
        # The registry names itself by this host in its Location headers.
        headers["Host"] = exchange.host
        if exchange.method == "GET" and "/direct/" in exchange.path:
            exchange.path = exchange.path.replace("/direct", "", 1)
        status, data, reply = self.registry.call(exchange.method, exchange.path, body or None, headers)
        reply = {k: v for k, v in reply.items() if k.lower() not in ("date", "connection", "transfer-encoding")}
        for name, value in what.get("headers_more", {}).items():
            reply = {k: v for k, v in reply.items() if k.lower() != name.lower()}
            if value is not None:
                reply[name] = value
        if "flip" in what and len(data) > what["flip"]:
            data = bytearray(data)
            data[what["flip"]] ^= 1
        if "extra" in what:
            data = bytes(data) + what["extra"]
            reply = {k: v for k, v in reply.items() if k.lower() != "content-length"}
        self.answer(handler, exchange, status, reply, bytes(data), what)

    def answer(self, handler, exchange, status, headers, body, what):
        exchange.status = status
        handler.send_response_only(status)
        names = {k.lower() for k in headers}
        for name, value in headers.items():
            handler.send_header(name, value)
        if "content-length" not in names and "transfer-encoding" not in names:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if exchange.method == "HEAD":
            return
        end = len(body)
        for key in ("cut", "stall"):
            end = min(end, what.get(key, end))
        at = 0
        while at < end:
            piece = body[at:min(end, at + 65536)]
            handler.wfile.write(piece)
            at += len(piece)
            exchange.sent = at
            if "pace" in what:
                time.sleep(what["pace"])
        if "stall" in what:
            self.stopping.wait(60)
        if end < len(body) or "stall" in what:
            self.close(handler)


class Store:
    """A store folder and the commands that work on it without a server."""

    def __init__(self, oll, folder):
        self.oll, self.home, self.killed = oll, folder, False
        self.models = os.path.join(folder, "models")
        os.makedirs(folder, exist_ok=True)

    def env(self, **more):
        drop = ("OLLAMA_", "OLL_", "http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY", "no_proxy",
                "DOCKER_CONFIG")
        keep = {k: v for k, v in os.environ.items() if not k.startswith(drop)}
        return {**keep, "HOME": self.home, "OLLAMA_MODELS": self.models, "OLL_RETRY_MS": "5", "OLL_STALL_S": "1",
                **more}

    def start(self, *args, **more):
        if args[0] in ("pull", "push", "list", "cp", "rm", "create", "link"):
            args = (args[0], "--local", *args[1:])
        return subprocess.Popen([self.oll, *args], env=self.env(**more), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")

    def run_as(self, user, *args, **more):
        """As another user: `user` are the words of a command that becomes it."""
        done = subprocess.run([*user, self.oll, *args], env=self.env(**more), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=120,
                              check=False)
        return done.returncode, done.stdout

    def run(self, *args, timeout=120, **more):
        process = self.start(*args, **more)
        try:
            text, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return "timeout", ""
        return process.returncode, text

    def files(self, folder):
        found = []
        for path, _, names in os.walk(os.path.join(self.models, folder)):
            found += [os.path.relpath(os.path.join(path, n), self.models) for n in names]
        return sorted(found)

    def complaint(self):
        """What is wrong with the store, or None: names that lie about content, manifests without their blobs."""
        for name in self.files("blobs"):
            base = os.path.basename(name)
            if not re.fullmatch(r"sha256-[0-9a-f]{64}", base):
                return f"stray file {name}"
            with open(os.path.join(self.models, name), "rb") as f:
                if "sha256-" + hashlib.sha256(f.read()).hexdigest() != base:
                    return f"wrong content under {name}"
        for name in self.files("manifests"):
            with open(os.path.join(self.models, name), "rb") as f:
                text = f.read()
            try:
                manifest = json.loads(text)
                layers = manifest["layers"] + [manifest["config"]]
            except (ValueError, KeyError):
                return f"half a manifest {name}"
            for layer in layers:
                if not os.path.exists(os.path.join(self.models, "blobs", layer["digest"].replace(":", "-"))):
                    return f"{name} names a blob that is missing"
        return None


def put_blob(store, data):
    path = os.path.join(store.models, "blobs", digest_of(data).replace(":", "-"))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


def put_model(store, host, name, layers, origin=None):
    """layers: (type, bytes), the config last; `origin`: where the first layer came from."""
    entries = []
    for kind, data in layers:
        put_blob(store, data)
        entries.append({"mediaType": kind, "digest": digest_of(data), "size": len(data)})
    if origin:
        entries[0]["from"] = origin
    path = os.path.join(store.models, "manifests", host, *name.split("/"), "latest")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    text = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": entries[-1], "layers": entries[:-1]},
                      separators=(",", ":"))
    with open(path, "w", encoding="utf-8") as f:
        f.write(text + "\n")
    return text.encode()


class Checks:
    def __init__(self):
        self.n, self.failed = 0, 0

    def that(self, ok, what):
        self.n += 1
        if not ok:
            self.failed += 1
            print(f"FAILED: {what}", flush=True)
        return ok

    def end(self):
        print(f"{self.n} checks, {self.failed} failed")
        return 1 if self.failed else 0


@contextlib.contextmanager
def stage():
    """A folder for one test, with a registry and a proxy."""
    folder = tempfile.mkdtemp(prefix="oll-registry-")
    try:
        with Registry(os.path.join(folder, "registry")) as registry, Proxy(registry) as proxy:
            yield folder, registry, proxy
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def kill(process):
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
