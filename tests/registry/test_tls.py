"""TLS: who the registry is, is proven by a certificate; nothing makes up for that, and nothing leads away from it.

    test_tls.py OLL
"""

import os
import shutil
import ssl
import subprocess
import sys

from harness import CONFIG, MODEL, Checks, Proxy, Store, noise, skip, stage


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
    return checks.end()


sys.exit(main())
