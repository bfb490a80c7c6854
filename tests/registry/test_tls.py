"""TLS: who the registry is, is proven by a certificate; nothing makes up for that, and nothing leads away from it.

    test_tls.py OLL
"""

import contextlib
import os
import shutil
import ssl
import socket
import subprocess
import sys
import time

from harness import CONFIG, MODEL, Checks, Proxy, Store, free_port, kill, noise, put_model, skip, stage


class Authority:
    """Makes certificates with openssl: of an authority of our own, and of servers that it speaks for."""

    def __init__(self, folder):
        self.folder, self.n = folder, 0
        os.makedirs(folder)
        self.key, self.cert = self.path("ca.key"), self.path("ca.pem")
        self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.key, "-out", self.cert, "-days", "2",
                     "-subj", "/CN=test authority")

    def path(self, name):
        return os.path.join(self.folder, name)

    @staticmethod
    def openssl(*args):
        done = subprocess.run(["openssl", *args], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"openssl {args[0]}: {done.stderr}")

    def server(self, alt_name, days="2"):
        """Paths of a certificate and its key; negative days: one that has expired."""
        self.n += 1
        key, request, cert, more = (self.path(f"{self.n}.{e}") for e in ("key", "csr", "pem", "ext"))
        with open(more, "w", encoding="ascii") as f:
            f.write(f"subjectAltName={alt_name}\n")
        self.openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj", "/CN=server")
        self.openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial", "-out", cert,
                     "-days", days, "-extfile", more)
        return cert, key


class SecureProxy(Proxy):
    def __init__(self, registry, cert, key):
        super().__init__(registry)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert, key)

    def __enter__(self):
        super().__enter__()
        self.server.socket = self.context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        return self


class Http2:
    """nghttpx in front of the registry: HTTP/2 over TLS; use as a context."""

    def __init__(self, registry, folder, cert, key):
        self.port, self.folder, self.n = free_port(), folder, 0
        self.command = ["nghttpx", "--conf=/dev/null", f"--frontend=127.0.0.1,{self.port}", "--single-process",
                        "--workers=1", f"--backend=127.0.0.1,{registry.port}",
                        "--accesslog-format=$alpn $remote_port $method $status", "--log-level=FATAL", key, cert]

    def __enter__(self):
        self.n += 1
        self.log = os.path.join(self.folder, f"http2-{self.n}.log")
        command = [self.command[0], f"--accesslog-file={self.log}", *self.command[1:]]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return self
            time.sleep(0.02)
        raise RuntimeError("nghttpx did not start")

    def __exit__(self, *_):
        kill(self.process)

    def lines(self):
        """Of the log since the last start."""
        with open(self.log, encoding="ascii") as f:
            return [line.split() for line in f]


def http2(oll, folder, registry, ours, checks):
    """Pull and push over HTTP/2, where all ranges share a connection; that connection breaks."""
    if not shutil.which("nghttpx"):
        print("nghttpx is absent (Debian package nghttp2-proxy): HTTP/2 is NOT TESTED")
        return
    blob = noise(280_000_000, 5)
    registry.put_model("test/many", [(MODEL, blob), (CONFIG, b"{}")])
    front = Http2(registry, folder, *ours.server("IP:127.0.0.1"))
    known = {"SSL_CERT_FILE": ours.cert}
    store = Store(oll, os.path.join(folder, "http2"))
    with front:
        code, text = store.run("pull", f"127.0.0.1:{front.port}/test/many", **known)
    lines = front.lines()
    checks.that(code == 0 and store.complaint() is None, f"HTTP/2: {text}")
    checks.that({line[0] for line in lines} == {"h2"} and len({line[1] for line in lines}) == 1 and len(lines) > 8,
                f"HTTP/2: one connection for all ranges: {lines}")

    store = Store(oll, os.path.join(folder, "http2-broken"))
    with front:
        process = store.start("pull", f"127.0.0.1:{front.port}/test/many", OLL_RETRY_MS="200", **known)
        part = os.path.join(store.models, "oll", "part")
        while process.poll() is None and not (os.path.isdir(part) and any(
                os.stat(os.path.join(part, n)).st_blocks * 512 > 30_000_000 for n in os.listdir(part))):
            time.sleep(0.005)
    early = process.poll() is not None
    with front:
        text = process.communicate(timeout=60)[0]
    checks.that(process.returncode == 0 and store.complaint() is None, f"HTTP/2, broken connection: {text}")
    checks.that(not early, "HTTP/2: the connection broke in the middle")

    store = Store(oll, os.path.join(folder, "http2-push"))
    with front:
        put_model(store, f"127.0.0.1:{front.port}", "test/pushed", [(MODEL, noise(3_000_000, 8)), (CONFIG, b"{}")])
        code, text = store.run("push", f"127.0.0.1:{front.port}/test/pushed", **known)
    checks.that(code == 0 and {line[0] for line in front.lines()} == {"h2"}, f"HTTP/2 push: {text}")


def main():
    if not shutil.which("openssl"):
        skip("openssl is absent")
    oll, checks = sys.argv[1], Checks()
    with stage() as (folder, registry, plain):
        registry.put_model("test/m", [(MODEL, noise(1_000_000)), (CONFIG, b'{"model_format":"gguf"}')])
        ours = Authority(os.path.join(folder, "ca"))
        n = [0]

        def pull(cert, words, rule=None, flags=(), **more):
            """A pull from a server with this certificate: succeeds when `words` is None, else fails with them."""
            n[0] += 1
            store = Store(oll, os.path.join(folder, f"s{n[0]}"))
            with SecureProxy(registry, *cert) as proxy:
                proxy.begin(rule(proxy) if rule else None)
                code, text = store.run("pull", *flags, f"{proxy.name}/test/m", **more)
                ok = code == 0 if words is None else code == 1 and all(w in text for w in words)
                checks.that(ok, f"{cert[0]} {more}: exit code {code}: {text}")
                checks.that(store.complaint() is None and bool(store.files("manifests")) == (words is None), "the store")
                return proxy

        good = ours.server("IP:127.0.0.1,DNS:localhost")
        known = {"SSL_CERT_FILE": ours.cert}
        pull(good, None, **known)
        pull(good, ["certificate"])
        pull(ours.server("DNS:other.example"), ["127.0.0.1"], **known)
        pull(ours.server("IP:127.0.0.1", days="-1"), ["expired"], **known)
        pull((ours.cert, ours.key), ["certificate"])
        pull(good, ["certificate"], SSL_CERT_FILE=os.path.join(folder, "absent.pem"))
        hashed = os.path.join(folder, "hashed")
        os.makedirs(hashed)
        shutil.copy(ours.cert, hashed)
        subprocess.run(["openssl", "rehash", hashed], check=True, capture_output=True)
        pull(good, None, SSL_CERT_DIR=hashed)
        # --insecure means plain HTTP; it never skips the proof.
        pull(good, ["pull model manifest"], flags=("--insecure",), **known)

        def to_plain(proxy):
            return lambda e: {"status": 307, "headers": {"Location": f"http://{plain.name}{e.path}"}} \
                if "/manifests/" in e.path else None

        plain.begin()
        pull(good, ["redirect refused: from https to http://"], to_plain, **known)
        pull(good, ["redirect refused: from https to http://"],
             lambda proxy: lambda e: {"status": 307, "headers": {"Location": f"http://{plain.name}{e.path}"}}
             if e.is_blob else None, **known)
        checks.that(not plain.exchanges, "nothing was asked for without TLS")

        # A place for blobs that cannot prove who it is: said at once, not after six tries.
        with SecureProxy(registry, ours.cert, ours.key) as other:
            begin = time.monotonic()
            pull(good, ["certificate"], lambda proxy: lambda e: {
                "status": 307, "headers": {"Location": f"https://localhost:{other.port}{e.path}"}} if e.is_blob else None,
                 OLL_RETRY_MS="2000", **known)
            checks.that(time.monotonic() - begin < 2 and not other.exchanges, "a certificate is refused at once")
        http2(oll, folder, registry, ours, checks)
    return checks.end()


sys.exit(main())
