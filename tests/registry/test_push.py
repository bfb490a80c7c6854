"""Pushes: order of requests, mounts, parts, what is sent again and what is not.

    test_push.py OLL
"""

import base64
import hashlib
import json
import os
import re
import sys
import time
import urllib.parse

from harness import CONFIG, MANIFEST, MODEL, Checks, Store, digest_of, kill, noise, put_model, stage

SYSTEM = "application/vnd.ollama.image.system"
PART = 100_000_000


def etag_of(data, part=PART):
    sums = [hashlib.md5(data[i:i + part]).digest() for i in range(0, len(data), part)]
    return hashlib.md5(b"".join(sums)).hexdigest() + f"-{len(sums)}"


def steps(proxy):
    return [(e.method, re.sub(r"/uploads/[0-9a-f-]{36}", "/uploads/ID", e.path.split("?")[0])) for e in proxy.exchanges]


class World:
    def __init__(self, oll, folder, registry, proxy, checks):
        self.oll, self.folder, self.registry, self.proxy, self.checks, self.n = oll, folder, registry, proxy, checks, 0

    def store(self):
        self.n += 1
        return Store(self.oll, os.path.join(self.folder, f"push{self.n}"))

    def push(self, store, name, rule=None, **more):
        self.proxy.begin(rule)
        code, text = store.run("push", "--insecure", f"{self.proxy.name}/{name}", **more)
        self.checks.that(store.killed or not store.files("oll/leases") + store.files("oll/tmp"), "leftovers")
        return code, text

    def check_there(self, name, manifest, layers):
        status, body, _ = self.registry.call("GET", f"/v2/{name}/manifests/latest", headers={"Accept": MANIFEST})
        self.checks.that(status == 200 and body == manifest, f"{name}: the manifest arrived as it is")
        for _, data in layers:
            status, body, _ = self.registry.call("GET", f"/v2/{name}/blobs/{digest_of(data)}")
            self.checks.that(status == 200 and body == data, f"{name}: blob of {len(data)} bytes")


CONFIG_BYTES = json.dumps({"model_format": "gguf"}).encode()


def order(w):
    store, layers = w.store(), [(MODEL, noise(500_000)), (SYSTEM, b"You are <x>"), (CONFIG, CONFIG_BYTES)]
    manifest = put_model(store, w.proxy.name, "test/a", layers)
    code, text = w.push(store, "test/a")
    w.checks.that(code == 0 and "You can find your model at:" in text, f"push: {text}")
    w.check_there("test/a", manifest, layers)
    want = []
    for _, data in layers:
        want += [("HEAD", f"/v2/test/a/blobs/{digest_of(data)}"), ("POST", "/v2/test/a/blobs/uploads/"),
                 ("PATCH", "/v2/test/a/blobs/uploads/ID"), ("PUT", "/v2/test/a/blobs/uploads/ID")]
    want.append(("PUT", "/v2/test/a/manifests/latest"))
    w.checks.that(steps(w.proxy) == want, f"order: {steps(w.proxy)}")
    patch = next(e for e in w.proxy.exchanges if e.method == "PATCH")
    expected = {"content-type": "application/octet-stream", "content-length": "500000", "content-range": "0-499999",
                "x-redirect-uploads": "1"}
    w.checks.that(all(patch.headers.get(k) == v for k, v in expected.items()), f"PATCH: {patch.headers}")
    commit = next(e for e in w.proxy.exchanges if e.method == "PUT" and "digest=" in e.path)
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(commit.path).query))
    w.checks.that(query["digest"] == digest_of(layers[0][1]) and query["etag"] == etag_of(layers[0][1]), f"{query}")
    code, text = w.push(store, "test/a")
    w.checks.that(code == 0 and [m for m, _ in steps(w.proxy)] == ["HEAD"] * 3 + ["PUT"], "nothing is sent twice")

    derived = [layers[0], (SYSTEM, b"other"), (CONFIG, CONFIG_BYTES)]
    manifest = put_model(store, w.proxy.name, "test/b", derived, origin=f"{w.proxy.name}/test/a:latest")
    code, text = w.push(store, "test/b")
    post = next(e for e in w.proxy.exchanges if e.method == "POST")
    w.checks.that(post.path == "/v2/test/b/blobs/uploads/?from=test%2Fa&mount=" + digest_of(layers[0][1]).replace(":", "%3A"),
                  f"mount: {post.path}")
    w.checks.that(code == 0 and sum(e.received for e in w.proxy.exchanges) < 5000, f"mounted, not sent: {text}")
    w.check_there("test/b", manifest, derived)


def parts(w):
    store, big = w.store(), noise(250_000_000)
    layers = [(MODEL, big), (CONFIG, CONFIG_BYTES)]
    manifest = put_model(store, w.proxy.name, "test/big", layers)
    code, text = w.push(store, "test/big")
    ranges = [e.headers["content-range"] for e in w.proxy.exchanges if e.method == "PATCH"]
    w.checks.that(ranges[:3] == ["0-99999999", "100000000-199999999", "200000000-249999999"], f"parts: {ranges}")
    w.checks.that(any("etag=" + etag_of(big) in e.path for e in w.proxy.exchanges), "etag of three parts")
    w.checks.that(code == 0, text)
    w.check_there("test/big", manifest, layers)

    # Killed after the first part: another process goes on behind it.
    put_model(store, w.proxy.name, "test/killed", layers)
    w.proxy.begin()
    process = store.start("push", "--insecure", f"{w.proxy.name}/test/killed")
    while not any(e.method == "PATCH" and e.status == 202 for e in list(w.proxy.exchanges)) and process.poll() is None:
        time.sleep(0.01)
    while not store.files("oll/uploads") and process.poll() is None:
        time.sleep(0.005)
    kill(process)
    store.killed = True
    time.sleep(1)  # the registry finishes with the part that was cut
    first = [e.headers["content-range"] for e in w.proxy.exchanges if e.method == "PATCH"]
    code, text = w.push(store, "test/killed")
    w.checks.that(code == 0, f"after kill -9: {text}")
    w.check_there("test/killed", put_model(store, w.proxy.name, "test/killed", layers), layers)
    w.checks.that(not store.files("oll/uploads"), "the session is forgotten at the end")
    print("parts before and after kill -9:", first, [e.headers["content-range"] for e in w.proxy.exchanges
                                                     if e.method == "PATCH"])

    # Stopped between parts: another process sends exactly the rest.
    put_model(store, w.proxy.name, "test/between", layers)
    seen = [0]

    def refuse_second(e):
        seen[0] += e.method == "PATCH"
        return {"status": 403, "body": b"no"} if e.method == "PATCH" and seen[0] >= 2 else None

    code, text = w.push(store, "test/between", refuse_second, OLL_RETRY_MS="1")
    w.checks.that(code == 1 and "403: no" in text and len(store.files("oll/uploads")) == 1, f"refused part: {text}")
    code, text = w.push(store, "test/between")
    ranges = [e.headers["content-range"] for e in w.proxy.exchanges if e.method == "PATCH"]
    w.checks.that(code == 0 and ranges[:2] == ["100000000-199999999", "200000000-249999999"],
                  f"goes on at the second part: {ranges} {text}")
    w.checks.that(any("etag=" + etag_of(big) in e.path for e in w.proxy.exchanges), "etag after going on")
    w.check_there("test/between", put_model(store, w.proxy.name, "test/between", layers), layers)


def trouble(w):
    layers = [(MODEL, noise(400_000, 9)), (CONFIG, CONFIG_BYTES)]

    def once(method, action, n=1, part="/uploads/"):
        left = [n]

        def rule(e):
            if e.method == method and part in e.path and left[0] > 0:
                left[0] -= 1
                return action
            return None

        return rule

    cases = [("a part cut in the middle", once("PATCH", {"cut_body": 100_000})),
             ("a part whose answer is lost", once("PATCH", {"raw": b""})),
             ("a part refused with 500", once("PATCH", {"status": 500})),
             ("a part refused with 503, three times", once("PATCH", {"status": 503}, 3)),
             ("a session that is gone", once("PATCH", {"status": 404})),
             ("POST refused with 503", once("POST", {"status": 503})),
             ("HEAD refused with 503", once("HEAD", {"status": 503}, 2, "/blobs/")),
             ("commit refused with 502", once("PUT", {"status": 502})),
             ("commit unanswered", once("PUT", {"raw": b""})),
             ("manifest refused with 503", once("PUT", {"status": 503}, 1, "/manifests/")),
             ("every second connection lost", lambda e, n=[0]: n.__setitem__(0, n[0] + 1) or (
                 {"raw": b""} if n[0] % 2 else None))]
    for i, (what, rule) in enumerate(cases):
        store, name = w.store(), f"test/t{i}"
        manifest = put_model(store, w.proxy.name, name, layers)
        code, text = w.push(store, name, rule)
        if w.checks.that(code == 0, f"{what}: {text}"):
            w.check_there(name, manifest, layers)

    bad = [("401", lambda e: {"status": 401}, "authorized|unknown authentication"),
           ("403", lambda e: {"status": 403, "body": b"denied"}, "403|denied"),
           ("no Location", once("POST", {"status": 202}), "no place to upload to"),
           ("500 for ever", once("PATCH", {"status": 500, "body": b"oops"}, 99), "max retries exceeded: 500: oops"),
           ("manifest refused", once("PUT", {"status": 400, "body": b"bad manifest"}, 1, "/manifests/"), "400: bad manifest"),
           ("HEAD of 500", once("HEAD", {"status": 500}, 99, "/blobs/"), "500")]
    for i, (what, rule, words) in enumerate(bad):
        store, name = w.store(), f"test/b{i}"
        put_model(store, w.proxy.name, name, layers)
        code, text = w.push(store, name, rule)
        w.checks.that(code == 1 and re.search(words, text), f"{what}: {code} {text}")
        w.checks.that(w.registry.call("GET", f"/v2/{name}/manifests/latest", headers={"Accept": MANIFEST})[0] == 404,
                      f"{what}: no manifest arrived")
    store = w.store()
    code, text = w.push(store, "test/none")
    w.checks.that(code == 1 and "couldn't retrieve manifest" in text and "not found" in text, f"unknown: {text}")
    put_model(store, w.proxy.name, "test/lost", layers)
    os.unlink(os.path.join(store.models, "blobs", digest_of(layers[0][1]).replace(":", "-")))
    code, text = w.push(store, "test/lost")
    w.checks.that(code == 1 and "is missing from the model store" in text, f"missing blob: {text}")


def elsewhere(w):
    """A registry that wants the bytes at another host: they go there without credentials."""
    store, data = w.store(), noise(300_000, 4)
    layers = [(MODEL, data), (CONFIG, CONFIG_BYTES)]
    put_model(store, w.proxy.name, "test/e", layers)
    login = base64.b64encode(b"u:p").decode()
    docker = os.path.join(store.home, ".docker")
    os.makedirs(docker)
    with open(os.path.join(docker, "config.json"), "w", encoding="utf-8") as f:
        json.dump({"auths": {w.proxy.name: {"auth": login}}}, f)

    def rule(e):
        if e.host == w.proxy.foreign:
            return {"status": 200}
        if e.headers.get("authorization") != "Basic " + login:
            return {"status": 401, "headers": {"WWW-Authenticate": "Basic"}}
        if e.method == "HEAD":
            return {"status": 404}
        if e.method == "POST":
            return {"status": 202, "headers": {"Docker-Upload-Location": "/v2/test/e/blobs/uploads/1", "Location": "/no"}}
        if e.method == "PATCH":
            return {"status": 307, "headers": {"Docker-Upload-Location": "/v2/test/e/blobs/uploads/2",
                                               "Location": f"http://{w.proxy.foreign}/bucket/{len(w.proxy.exchanges)}"}}
        return {"status": 201}

    code, text = w.push(store, "test/e", rule)
    puts = [e for e in w.proxy.exchanges if e.host == w.proxy.foreign]
    w.checks.that(code == 0 and [e.received for e in puts] == [len(data), len(CONFIG_BYTES)], f"elsewhere: {text}")
    w.checks.that(not any("authorization" in e.headers for e in puts), "no credentials elsewhere")
    w.checks.that(any(e.path.startswith("/v2/test/e/blobs/uploads/2?digest=") for e in w.proxy.exchanges),
                  "the commit goes to the last session")


def main():
    checks = Checks()
    with stage() as (folder, registry, proxy):
        world = World(sys.argv[1], folder, registry, proxy, checks)
        for function in (order, trouble, elsewhere, parts):
            begin = time.monotonic()
            function(world)
            print(f"{function.__name__}: {time.monotonic() - begin:.1f} s", flush=True)
    return checks.end()


sys.exit(main())
