"""Who the user is: tokens, signatures, passwords, and that none of it goes where it does not belong.

    test_auth.py OLL
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
import urllib.parse

from harness import CONFIG, MANIFEST, MODEL, Checks, Store, noise, put_model, stage

SIZE = 1_000_000


class Guard:
    """A rule of the proxy: a registry that wants a Bearer token, with its token server beside it."""

    def __init__(self, proxy, token_life=1 << 30, realm=None, reply=None, basic=None):
        self.proxy, self.token_life, self.reply, self.basic = proxy, token_life, reply, basic
        self.realm = realm or f"http://{proxy.name}/token?own=1"
        self.tokens, self.used, self.requests = 0, 0, []

    def __call__(self, exchange):
        authorization = exchange.headers.get("authorization", "")
        if exchange.path.startswith("/token"):
            self.requests.append(exchange)
            self.tokens, self.used = self.tokens + 1, 0
            body = self.reply if self.reply is not None else json.dumps({"token": f"t{self.tokens}"}).encode()
            return {"status": 200, "headers": {"Content-Type": "application/json"}, "body": body}
        if self.basic:
            if authorization == "Basic " + self.basic:
                return None
            return {"status": 401, "headers": {"WWW-Authenticate": 'Basic realm="x"'}}
        self.used += 1
        if authorization == f"Bearer t{self.tokens}" and self.tokens and self.used <= self.token_life:
            return None
        scope = "repository:test/m:pull repository:other:pull"
        return {"status": 401, "headers": {
            "WWW-Authenticate": f'Bearer realm="{self.realm}",service="registry, really",scope="{scope}"'}}


def verify(public, signed, signature):
    """Checks an SSH signature's raw Ed25519 bytes with openssl."""
    prefix = bytes.fromhex("302a300506032b6570032100")
    with tempfile.TemporaryDirectory() as folder:
        names = [os.path.join(folder, n) for n in ("key", "sig", "text")]
        for name, data in zip(names, (prefix + public, signature, signed)):
            with open(name, "wb") as f:
                f.write(data)
        run = subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", names[0], "-keyform", "DER", "-rawin",
                              "-in", names[2], "-sigfile", names[1]], capture_output=True, check=False)
        return run.returncode == 0


def make_key(store):
    """A key pair, as a server makes it at its first start."""
    key = os.path.join(store.home, ".ollama", "id_ed25519")
    os.makedirs(os.path.dirname(key))
    made = subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key], check=False)
    return key if made.returncode == 0 else None


def main():
    oll = sys.argv[1]
    checks = Checks()
    with stage() as (folder, registry, proxy):
        blob, config = noise(SIZE), json.dumps({"model_format": "gguf"}).encode()
        registry.put_model("test/m", [(MODEL, blob), (CONFIG, config)])
        name, n = f"{proxy.name}/test/m", [0]

        def store():
            n[0] += 1
            return Store(oll, os.path.join(folder, f"s{n[0]}"))

        def pull(guard, s=None, **more):
            s = s or store()
            proxy.begin(guard)
            code, text = s.run("pull", "--insecure", name, **more)
            checks.that(s.complaint() is None, str(s.complaint()))
            return code, text

        # Without a key and without a login: a token all the same.
        guard = Guard(proxy)
        code, text = pull(guard)
        checks.that(code == 0 and guard.tokens == 1, f"anonymous token: {text}")
        query = urllib.parse.urlsplit(guard.requests[0].path).query
        keys = [p.split("=")[0] for p in query.split("&")]
        checks.that(keys == ["nonce", "own", "scope", "scope", "service", "ts"], f"token query: {query}")
        checks.that("service=registry%2C+really" in query and "scope=repository%3Atest%2Fm%3Apull" in query, query)
        checks.that("authorization" not in guard.requests[0].headers, "no identity, no header")

        # With a key: signed.
        s = store()
        key = make_key(s)
        if key:
            guard = Guard(proxy)
            code, text = pull(guard, s)
            header = guard.requests[0].headers.get("authorization", ":")
            wire, signature = (base64.b64decode(p) for p in header.split(":"))
            with open(key + ".pub", encoding="ascii") as f:
                checks.that(f.read().split()[1] == header.split(":")[0], "the public key of the file")
            empty = "ZTNiMGM0NDI5OGZjMWMxNDlhZmJmNGM4OTk2ZmI5MjQyN2FlNDFlNDY0OWI5MzRjYTQ5NTk5MWI3ODUyYjg1NQ=="
            signed = f"GET,http://{proxy.name}{guard.requests[0].path},{empty}".encode()
            checks.that(code == 0 and verify(wire[-32:], signed, signature), f"signature: {text}")
            checks.that(not verify(wire[-32:], signed + b"x", signature), "the check of signatures checks")
        else:
            print("ssh-keygen is absent: signatures are not tested")

        # A token that ends in the middle of the transfer.
        guard = Guard(proxy, token_life=2)
        rule = lambda e: guard(e) or ({"cut": 400_000} if e.is_blob and e.range and e.range[0] < 900_000 and
                                      e.range[1] > 5000 else None)
        code, text = pull(rule)
        checks.that(code == 0 and guard.tokens >= 2, f"token that expires: {guard.tokens} tokens: {text}")

        # A token that ends for eight ranges at once: one of them gets the new one.
        registry.put_model("test/many", [(MODEL, noise(280_000_000, 5)), (CONFIG, config)])

        class Short(Guard):
            def __call__(self, exchange):
                self.token_life = 2 if self.tokens < 2 else 1 << 30
                reply = super().__call__(exchange)
                return {**reply, "wait": 0.3} if reply and reply["status"] == 401 else reply

        guard, s = Short(proxy), store()
        proxy.begin(guard)
        code, text = s.run("pull", "--insecure", f"{proxy.name}/test/many")
        checks.that(code == 0 and guard.tokens <= 3 and s.complaint() is None,
                    f"token that expires for all ranges: {guard.tokens} tokens: {text}")

        # Docker's login.
        login = base64.b64encode(b"user:pass word").decode()
        s = store()
        docker = os.path.join(s.home, ".docker")
        os.makedirs(docker)
        with open(os.path.join(docker, "config.json"), "w", encoding="utf-8") as f:
            json.dump({"auths": {proxy.name: {"auth": login}}, "credsStore": "x"}, f)
        code, text = pull(Guard(proxy, basic=login), s)
        checks.that(code == 0, f"Basic: {text}")
        guard = Guard(proxy)
        s2 = store()
        code, text = pull(guard, s2, DOCKER_CONFIG=docker)
        checks.that(code == 0 and guard.requests[0].headers.get("authorization") == "Basic " + login,
                    f"login for a token: {text}")
        code, text = pull(Guard(proxy, basic=login))
        checks.that(code == 1 and "asks for a user and a password" in text, f"no login: {text}")
        code, text = pull(Guard(proxy, basic="other"), s2, DOCKER_CONFIG=docker)
        checks.that(code == 1 and "unauthorized: access denied" in text, f"wrong login: {text}")

        # Never elsewhere: another host, another port, unless it is listed.
        for realm in (f"http://{proxy.foreign}/token", f"http://127.0.0.1:{registry.port}/token",
                      f"https://{proxy.name}/token"):
            guard = Guard(proxy, realm=realm)
            code, text = pull(guard, DOCKER_CONFIG=docker)
            checks.that(code == 1 and "does not match original" in text and not guard.requests, f"realm {realm}: {text}")
        guard = Guard(proxy, realm=f"http://{proxy.foreign}/token")
        code, text = pull(guard, OLL_AUTH_REALMS=f"https://a.example, http://{proxy.foreign}")
        checks.that(code == 0 and guard.tokens == 1, f"listed realm: {text}")
        guard = Guard(proxy)

        def to_foreign(e):
            if e.is_blob and e.host == proxy.name:
                return guard(e) or {"status": 307, "headers": {"Location": f"http://{proxy.foreign}/direct{e.path}"}}
            return None if e.host == proxy.foreign else guard(e)

        code, text = pull(to_foreign)
        foreign = [e for e in proxy.exchanges if e.host == proxy.foreign]
        checks.that(code == 0 and foreign and not any("authorization" in e.headers for e in foreign),
                    f"no credentials after a redirect: {text}")

        # Token servers that misbehave.
        for what, reply, words in (("no JSON", b"hello", "token server"), ("no token", b"{}", "no usable token"),
                                   ("CR LF", b'{"token":"a\\r\\nX-Evil: 1"}', "no usable token"),
                                   ("too long", b'{"token":"' + b"a" * 70000 + b'"}', "registry sent more than 65536 bytes"),
                                   ("access_token", b'{"access_token":"t1"}', "success")):
            guard = Guard(proxy, reply=reply)
            code, text = pull(guard)
            checks.that(words in text and (code == 0) == (words == "success"), f"token: {what}: {text}")
            checks.that(not any("x-evil" in e.headers for e in proxy.exchanges), f"token: {what}: injected")

        # A push with a token, also one that ends between two requests.
        for life in (1 << 30, 3):
            s = store()
            guard = Guard(proxy, token_life=life)
            put_model(s, proxy.name, f"test/pushed{life}", [(MODEL, noise(300_000, life)), (CONFIG, config)])
            proxy.begin(guard)
            code, text = s.run("push", "--insecure", f"{proxy.name}/test/pushed{life}")
            checks.that(code == 0 and (guard.tokens == 1) == (life > 3), f"push, {guard.tokens} tokens: {text}")
            there = registry.call("HEAD", f"/v2/test/pushed{life}/manifests/latest", headers={"Accept": MANIFEST})[0]
            checks.that(there == 200, "pushed")

        # A second 401 is the end.
        code, text = pull(lambda e: Guard(proxy)(e) if not e.path.startswith("/token") else
                          {"status": 200, "body": b'{"token":"x"}'})
        checks.that(code == 1 and "pull model manifest: unauthorized: access denied" in text, f"second 401: {text}")
        code, text = pull(lambda e: {"status": 403, "body": b"go away"} if e.path.startswith("/token") else
                          Guard(proxy)(e))
        checks.that(code == 1 and "403: go away" in text, f"refused token: {text}")
    return checks.end()


sys.exit(main())
