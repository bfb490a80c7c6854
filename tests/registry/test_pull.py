"""Pulls through a proxy that cuts, delays, corrupts and lies.

    test_pull.py OLL [--only PART]

After every case: nothing under a final name has wrong bytes, every manifest has its blobs; a pull that failed leaves
one line of text, and a second, undisturbed pull succeeds.
"""

import argparse
import email.utils
import json
import os
import signal
import sys
import time

from harness import CONFIG, MANIFEST, MODEL, Checks, Store, digest_of, kill, noise, stage

SIZE = 3_000_000  # of the model's blob: one range
BIG = 70_000_000  # several ranges
MANY = 280_000_000  # as many ranges as are asked for at once
CASES = []


def case(function):
    CASES.append(function)
    return function


class World:
    def __init__(self, oll, folder, registry, proxy, checks):
        self.oll, self.folder, self.registry, self.proxy, self.checks = oll, folder, registry, proxy, checks
        self.name = f"{proxy.name}/test/m"
        self.blob, self.config = noise(SIZE), json.dumps({"model_format": "gguf", "model_family": "llama"}).encode()
        self.manifest = registry.put_model("test/m", [(MODEL, self.blob), (CONFIG, self.config)])
        self.n_stores = 0

    def store(self):
        self.n_stores += 1
        return Store(self.oll, os.path.join(self.folder, f"store{self.n_stores}"))

    def pull(self, store, name=None, **more):
        return store.run("pull", "--insecure", name or self.name, **more)

    def succeeds(self, what, rule=None, name=None, **more):
        store = self.store()
        self.proxy.begin(rule)
        code, text = self.pull(store, name, **more)
        self.checks.that(code == 0 and text.endswith("success\n"), f"{what}: exit code {code}: {text}")
        self.checks.that(store.complaint() is None, f"{what}: {store.complaint()}")
        return store

    def fails(self, what, words, rule=None, name=None, again=True, **more):
        """The pull fails with these words; nothing is broken; an undisturbed pull then succeeds."""
        store = self.store()
        self.proxy.begin(rule)
        code, text = self.pull(store, name, **more)
        errors = [line for line in text.splitlines() if line.startswith("Error: ")]
        self.checks.that(code == 1 and len(errors) == 1 and all(w in errors[0] for w in words),
                         f"{what}: exit code {code}: {text}")
        self.checks.that(store.complaint() is None and not store.files("manifests"), f"{what}: {store.complaint()}")
        self.checks.that(not store.files("oll/tmp") and not store.files("oll/leases"), f"{what}: leftovers")
        if again:
            self.proxy.begin()
            code, text = self.pull(store)
            self.checks.that(code == 0 and store.complaint() is None, f"{what}, again: exit code {code}: {text}")
        return store


def first_blob(action, n=1):
    """Acts on the first n requests for the large blob."""
    left = [n]

    def rule(exchange):
        if exchange.is_blob and left[0] > 0 and (exchange.range is None or exchange.range[1] > 1000):
            left[0] -= 1
            return action(exchange) if callable(action) else action
        return None

    return rule


def blob_always(action):
    return first_blob(action, 1 << 30)


# ---- what must work ----


@case
def plain(w):
    store = w.succeeds("plain")
    w.checks.that([e.method for e in w.proxy.exchanges] == ["GET"] * 3, "plain: one request for each document")
    agents = {e.headers.get("user-agent", "") for e in w.proxy.exchanges}
    w.checks.that(all(a.startswith("ollama/0.33.0 (") for a in agents), f"plain: user agents {agents}")
    with open(os.path.join(store.models, store.files("manifests")[0]), "rb") as f:
        w.checks.that(f.read() == w.manifest, "plain: the manifest byte for byte")
    w.proxy.begin()
    code, _ = w.pull(store)
    w.checks.that(code == 0 and len(w.proxy.exchanges) == 1, "with all blobs present exactly one request")


@case
def redirect(w):
    def rule(exchange):
        if exchange.is_blob and exchange.host == w.proxy.name:
            return {"status": 307, "headers": {"Location": f"http://{w.proxy.foreign}/direct{exchange.path}"}}
        return None

    w.succeeds("redirect to another host", rule)
    w.checks.that(any(e.host == w.proxy.foreign for e in w.proxy.exchanges), "redirect: followed")
    for status in (301, 302, 303, 308):
        w.succeeds(f"redirect by {status}", lambda e, s=status: e.is_blob and e.host == w.proxy.name and {
            "status": s, "headers": {"Location": f"http://{w.proxy.foreign}/direct{e.path}"}} or None)


@case
def cuts(w):
    for share in range(0, 100, 5):
        w.succeeds(f"cut at {share} %", first_blob({"cut": SIZE * share // 100}))
        total = sum(e.sent for e in w.proxy.blobs())
        w.checks.that(total <= 1.05 * SIZE + 1000, f"cut at {share} %: {total} bytes for {SIZE}")
    w.succeeds("cut every 100,000 bytes", blob_always({"cut": 100_000}))
    ranges = [e.range for e in w.proxy.blobs() if e.range and e.range[1] > 1000]
    w.checks.that(len(ranges) >= 30 and all(a[0] < b[0] for a, b in zip(ranges, ranges[1:])),
                  "cut: each try goes on where the last ended")


@case
def resets(w):
    count = [0]

    def rule(_):
        count[0] += 1
        return {"raw": b""} if count[0] % 2 else None

    w.succeeds("every second connection is closed unanswered", rule)


@case
def stalls(w):
    begin = time.monotonic()
    w.succeeds("silence in the body", first_blob({"stall": 1_000_000}))
    w.checks.that(time.monotonic() - begin < 20, "silence: noticed in time")
    w.checks.that([e.range[0] for e in w.proxy.blobs()][:2] == [0, 1_000_000], "silence: goes on at the last byte")


@case
def no_ranges(w):
    w.succeeds("ranges ignored", lambda e: {"drop_range": True} if e.is_blob else None)
    big = noise(BIG, 7)
    w.registry.put_model("test/big", [(MODEL, big), (CONFIG, w.config)])
    name = f"{w.proxy.name}/test/big"
    w.succeeds("ranges ignored, large blob", lambda e: {"drop_range": True} if e.is_blob else None, name)
    w.succeeds("ranges ignored after the first cut", first_blob({"cut": 30_000_000, "drop_range": True}), name)
    w.succeeds("ranges ignored later", lambda e: {"drop_range": True} if e.is_blob and e.range and e.range[0] else None,
               name)
    w.succeeds("several ranges", None, name)
    ranges = sorted(e.range for e in w.proxy.blobs() if e.range[1] > 1000)
    w.checks.that(len(ranges) > 1 and ranges[0][0] == 0 and ranges[-1][1] == BIG - 1 and
                  all(a[1] + 1 == b[0] for a, b in zip(ranges, ranges[1:])), f"ranges without gap: {ranges}")


@case
def server_trouble(w):
    for status in (408, 429, 500, 502, 503, 504, 522):
        w.succeeds(f"{status} twice for a blob", first_blob({"status": status}, 2))
    n = [0]

    def rule(exchange):
        n[0] += "/manifests/" in exchange.path
        return {"status": 503, "headers": {"Retry-After": "0"}} if "/manifests/" in exchange.path and n[0] < 3 else None

    w.succeeds("503 twice for the manifest", rule)
    begin = time.monotonic()
    w.succeeds("Retry-After 1", first_blob({"status": 429, "headers": {"Retry-After": "1"}}))
    w.checks.that(time.monotonic() - begin >= 1, "Retry-After: waited")
    date = email.utils.formatdate(time.time() + 3, usegmt=True)
    begin = time.monotonic()
    w.succeeds("Retry-After with a date", first_blob({"status": 503, "headers": {"Retry-After": date}}))
    w.checks.that(time.monotonic() - begin >= 1, "Retry-After with a date: waited")
    w.succeeds("Retry-After with garbage", first_blob({"status": 429, "headers": {"Retry-After": "soon"}}))


@case
def expired_url(w):
    """A signed URL that expires in the middle is asked for again."""
    seen = [0]

    def rule(exchange):
        if exchange.is_blob and exchange.host == w.proxy.name:
            return {"status": 307, "headers": {"Location": f"http://{w.proxy.foreign}/direct{exchange.path}"}}
        if exchange.is_blob and exchange.range and exchange.range[1] > 1000:
            seen[0] += 1
            return [{"cut": 500_000}, {"status": 403, "body": b"expired"}, None][min(seen[0] - 1, 2)]
        return None

    w.succeeds("expired URL", rule)


@case
def expired_for_all(w):
    """All ranges find at once that their URL has expired, and are sent on at once: one redirect, not eight."""
    blob = noise(MANY, 5)
    w.registry.put_model("test/many", [(MODEL, blob), (CONFIG, w.config)])
    version = [1]

    def rule(exchange):
        if not exchange.is_blob or exchange.range[1] < 1000:
            return None
        if exchange.host == w.proxy.name:
            location = f"http://{w.proxy.foreign}/direct{exchange.path}?v={version[0]}"
            return {"status": 307, "headers": {"Location": location}, "wait": 0.5 if version[0] > 1 else 0}
        if exchange.path.endswith("v=2"):
            return {"wait": 0.5}
        if exchange.range[0] > 0:  # the first range has proven the place
            version[0] = 2
            return {"status": 403, "body": b"expired", "wait": 0.2}
        return {"cut": 5_000_000}

    w.succeeds("expired URL of many ranges", rule, f"{w.proxy.name}/test/many")
    begun = [e for e in w.proxy.blobs() if e.host == w.proxy.name and e.range[1] > 1000]
    w.checks.that(len(begun) > 6, f"expired URL of many ranges: {len(begun)} redirects")


# ---- what must fail, with words ----


@case
def refusals(w):
    w.fails("no such model", ["pull model manifest: file does not exist"], name=f"{w.proxy.name}/test/none", again=False)
    w.fails("404 for a blob", ["blob " + digest_of(w.blob), "file does not exist"], blob_always({"status": 404}))
    w.fails("400", ["400: bad tag"], lambda e: {"status": 400, "body": b"bad tag\n"})
    w.fails("412", ["412: this model requires a newer version"],
            lambda e: {"status": 412, "body": b"this model requires a newer version"})
    w.fails("500 for ever", ["max retries exceeded: 500: oops"], blob_always({"status": 500, "body": b"oops"}))
    w.fails("429 for ever", ["pull model manifest: 429"], lambda e: {"status": 429})
    w.fails("cut at once for ever", ["max retries exceeded"], blob_always({"cut": 0}))
    w.fails("unanswered for ever", ["pull model manifest: Get \"http://"], lambda e: {"raw": b""})
    w.fails("401 without a challenge", ["unknown authentication"], lambda e: {"status": 401})


@case
def wrong_bytes(w):
    store = w.fails("one byte changed", ["digest mismatch, file must be downloaded again: want " + digest_of(w.blob),
                                         "got sha256:"], blob_always({"flip": 12345}), again=False)
    w.checks.that(not store.files("oll/part"), "one byte changed: the wrong bytes are gone")
    w.checks.that(len(store.files("blobs")) == 1, "one byte changed: the other blob stays")
    w.fails("one byte changed, again", ["digest mismatch"], blob_always({"flip": 0}))


@case
def lies(w):
    html = {"status": 200, "headers": {"Content-Type": "text/html"}, "body": b"<html>log in</html>"}
    w.fails("a page instead of the manifest", ["got text/html from 127.0.0.1"], lambda e: html)
    w.fails("a page instead of a blob", ["expected application/octet-stream, got text/html from"], blob_always(html))
    w.fails("another range", ["registry answered with the range"],
            blob_always({"headers_more": {"Content-Range": f"bytes 1-{SIZE}/{SIZE}"}}))
    w.fails("another total", ["registry answered with the range"],
            blob_always({"headers_more": {"Content-Range": f"bytes 0-{SIZE - 1}/{SIZE + 1}"}}))
    w.fails("206 without a range", ["registry answered with the range \"(none)\""],
            blob_always({"headers_more": {"Content-Range": None}}))
    w.fails("longer than the manifest says", ["registry sent more than"], blob_always({"drop_range": True, "extra": b"x" * 9}))
    w.fails("longer range", ["registry sent more than"], blob_always({"extra": b"x" * 100_000}))
    w.fails("a length that lies", ["max retries exceeded"],
            blob_always({"headers_more": {"Content-Length": str(SIZE)}, "cut": 0}))
    w.fails("gzip", ["refused an encoded reply (Content-Encoding: gzip)"],
            blob_always({"headers_more": {"Content-Encoding": "gzip"}}))
    w.fails("gzip manifest", ["refused an encoded reply"],
            lambda e: {"status": 200, "headers": {"Content-Encoding": "br"}, "body": b"x"})
    w.fails("transfer coding", ["refused an encoded reply (Transfer-Encoding: gzip, chunked)"], lambda e: {
        "raw": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"})
    w.fails("416", ["416"], blob_always({"status": 416}))


@case
def floods(w):
    w.fails("manifest of 5 MiB", ["registry sent more than 4194304 bytes"],
            lambda e: {"status": 200, "body": b" " * (5 << 20)})
    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b" " * 65536 + b"\r\n"
    w.fails("endless manifest", ["registry sent more than 4194304 bytes"],
            lambda e: {"raw": endless + (b"10000\r\n" + b" " * 65536 + b"\r\n") * 100})
    w.fails("headers without end", ["headers"],
            lambda e: {"raw": b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"b" * 100 + b"\r\n" * 1 + b"X-B: c\r\n" * 20000})
    w.fails("a header of 1 MB", ["pull model manifest"],
            lambda e: {"raw": b"HTTP/1.1 200 OK\r\nX: " + b"y" * (1 << 20) + b"\r\n\r\n"})
    w.fails("endless blob", ["registry sent more than"], blob_always(
        {"raw": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
                (b"10000\r\n" + b"z" * 65536 + b"\r\n") * (SIZE // 65536 + 3)}))


@case
def manifests(w):
    def manifest(value):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return lambda e: {"status": 200, "headers": {"Content-Type": MANIFEST}, "body": body} \
            if "/manifests/" in e.path else None

    layer = {"mediaType": MODEL, "digest": digest_of(w.blob), "size": SIZE}
    config = {"mediaType": CONFIG, "digest": digest_of(w.config), "size": len(w.config)}
    bad = {
        "empty": b"", "no JSON": b"hello", "a list": [], "half": w.manifest[:100], "null": b"null",
        "an index": {"schemaVersion": 2, "manifests": [{"digest": digest_of(b""), "size": 1}]},
        "short digest": {"layers": [{**layer, "digest": "sha256:12"}]},
        "a path as digest": {"layers": [{**layer, "digest": "sha256:../../../../etc/passwd" + "0" * 40}]},
        "no digest": {"layers": [{"size": 1}]}, "digest is a number": {"layers": [{**layer, "digest": 1}]},
        "negative size": {"layers": [{**layer, "size": -1}]}, "size is text": {"layers": [{**layer, "size": "1"}]},
        "size of 2^63": {"layers": [{**layer, "size": 1 << 63}]}, "real size": {"layers": [{**layer, "size": 1.5}]},
        "sizes beyond 64 bits": {"layers": [{**layer, "size": (1 << 63) - 1}] * 3},
        "10,000 layers": {"layers": [layer] * 10000},
        "deep": b'{"layers":' + b"[" * 10000 + b"]" * 10000 + b"}",
        "tensors": {"layers": [{**layer, "mediaType": "application/vnd.ollama.image.tensor"}], "config": config},
        "larger than the disk": {"layers": [{**layer, "size": 1 << 60}], "config": config},
    }
    for what, value in bad.items():
        w.fails(f"manifest: {what}", [], manifest(value))
    w.fails("no space in advance", ["no space left: need 1152921 TB, "], manifest(bad["larger than the disk"]))
    w.fails("wrong size in the manifest", ["registry answered with the range"],
            manifest({"layers": [{**layer, "size": SIZE - 1}], "config": config}))
    store = w.succeeds("a layer twice, and as the config", manifest({"layers": [layer, layer], "config": layer}))
    w.checks.that(len(store.files("blobs")) == 1, "a layer twice: one blob")
    w.succeeds("a blob of no bytes", manifest({"layers": [{**layer, "digest": digest_of(b""), "size": 0}],
                                               "config": config}))
    w.fails("no bytes where there are some", ["digest mismatch"], manifest({"layers": [{**layer, "size": 0}]}))


@case
def redirects_refused(w):
    blob = f"http://{w.proxy.name}/v2/test/m/manifests/latest"

    def to(location):
        return lambda e: {"status": 302, "headers": {"Location": location}}

    w.fails("redirect to a file", ["redirect refused"], to("file:///etc/passwd"))
    w.fails("redirect to gopher", ["redirect refused"], to("gopher://127.0.0.1/"))
    w.fails("redirect with a user", ["redirect refused"], to(f"http://a:b@{w.proxy.foreign}/"))
    w.fails("redirect to itself", ["redirect refused"], to(blob))
    w.fails("redirect nowhere", ["no Location header"], lambda e: {"status": 302})
    n = [0]

    def on(exchange):
        n[0] += 1
        return {"status": 302, "headers": {"Location": f"http://{w.proxy.foreign}/{n[0]}"}}

    w.fails("six redirects", ["redirect refused: more than 5 redirects"], on)
    w.fails("blob redirects without end", ["redirect refused"], blob_always(
        lambda e: {"status": 307, "headers": {"Location": f"http://{w.proxy.foreign}/direct/a/blobs/sha256:{time.monotonic_ns()}"}}))
    w.fails("metadata service", ["link-local"], to("http://169.254.169.254/latest/"))
    w.fails("metadata service of IPv6", ["link-local"], to("http://[fe80::1]/"))
    w.fails("mapped metadata service", ["link-local"], to("http://[::ffff:169.254.169.254]/"))
    w.fails("decimal metadata service", ["link-local"], to("http://2852039166/"))


# ---- several at once, interruptions ----


@case
def shared(w):
    store = w.store()
    w.proxy.begin(blob_always({"pace": 0.01}))
    first = store.start("pull", "--insecure", w.name)
    time.sleep(0.2)
    second = store.start("pull", "--insecure", w.name)
    texts = [p.communicate(timeout=60)[0] for p in (first, second)]
    w.checks.that(first.returncode == 0 and second.returncode == 0, f"two pulls of one blob: {texts}")
    total = sum(e.sent for e in w.proxy.blobs())
    w.checks.that(total <= SIZE + 2 * len(w.config), f"two pulls of one blob: {total} bytes")
    w.checks.that(store.complaint() is None, str(store.complaint()))


@case
def removed_meanwhile(w):
    """A model that shares a layer with one that is on its way is removed; so is the one itself."""
    store = w.store()
    w.registry.put_model("test/sharing", [(MODEL, b"other"), (CONFIG, w.config)])
    sharing = f"{w.proxy.name}/test/sharing"
    w.proxy.begin()
    w.checks.that(w.pull(store, sharing)[0] == 0, "the model that shares a layer")
    w.proxy.begin(blob_always({"pace": 0.02}))
    process = store.start("pull", "--insecure", w.name)
    time.sleep(0.3)
    code, text = store.run("rm", sharing)
    w.checks.that(code == 0, f"removed meanwhile: {text}")
    code, text = store.run("rm", w.name)
    w.checks.that(code == 1 and "not found" in text, f"not there yet: {text}")
    text = process.communicate(timeout=60)[0]
    w.checks.that(process.returncode == 0 and store.complaint() is None, f"removed meanwhile: {text} {store.complaint()}")


@case
def takeover(w):
    store = w.store()
    w.proxy.begin(blob_always({"pace": 0.05}))
    first = store.start("pull", "--insecure", w.name)
    time.sleep(0.3)
    second = store.start("pull", "--insecure", w.name)
    time.sleep(0.3)
    w.proxy.rule = lambda e: None
    kill(first)
    text = second.communicate(timeout=60)[0]
    w.checks.that(second.returncode == 0 and store.complaint() is None, f"takeover: {text}")


@case
def interrupt(w):
    big = noise(BIG, 7)
    w.registry.put_model("test/big", [(MODEL, big), (CONFIG, w.config)])
    name = f"{w.proxy.name}/test/big"
    store = w.store()
    w.proxy.begin(blob_always({"pace": 0.002}))
    process = store.start("pull", "--insecure", name)
    while sum(e.sent for e in list(w.proxy.exchanges)) < BIG // 3 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    text = process.communicate(timeout=60)[0]
    first = sum(e.sent for e in w.proxy.blobs())
    w.checks.that(process.returncode == -signal.SIGINT, f"Ctrl-C: exit code {process.returncode}: {text}")
    w.checks.that(store.complaint() is None and store.files("oll/part"), "Ctrl-C: the part is kept")
    w.proxy.begin()
    code, text = w.pull(store, name)
    total = first + sum(e.sent for e in w.proxy.blobs())
    w.checks.that(code == 0 and store.complaint() is None, f"after Ctrl-C: {text}")
    # What the proxy had sent and nobody had read yet is lost with the connections: their buffers.
    w.checks.that(total <= BIG + 8 * 8_000_000, f"after Ctrl-C: {total} bytes for {BIG}")
    begun = sum(r[1] - r[0] + 1 for r in (e.range for e in w.proxy.blobs()) if r)
    w.checks.that(begun < BIG, f"after Ctrl-C: {begun} bytes asked for again")


@case
def adopt(w):
    """What a real Ollama left behind goes on; only the missing ranges are asked for."""
    store = w.store()
    base = os.path.join(store.models, "blobs", "sha256-" + digest_of(w.blob)[7:])
    os.makedirs(os.path.dirname(base))
    half = SIZE // 2
    states = [{"N": 0, "Offset": 0, "Size": half, "Completed": 1_000_000},
              {"N": 1, "Offset": half, "Size": SIZE - half, "Completed": SIZE - half}]
    data = bytearray(SIZE)
    data[:1_000_000] = w.blob[:1_000_000]
    data[half:] = w.blob[half:]
    with open(base + "-partial", "wb") as f:
        f.write(data)
    for i, state in enumerate(states):
        with open(f"{base}-partial-{i}", "w", encoding="utf-8") as f:
            json.dump(state, f)
    young = Store(w.oll, os.path.join(w.folder, "young"))
    os.makedirs(young.models)
    os.system(f"cp -r '{store.models}/blobs' '{young.models}/'")
    old = time.time() - 3600
    for name in os.listdir(os.path.dirname(base)):
        os.utime(os.path.join(os.path.dirname(base), name), (old, old))
    w.proxy.begin()
    code, text = w.pull(store)
    w.checks.that(code == 0 and store.complaint() is None, f"adopted: {text} {store.complaint()}")
    ranges = [e.range for e in w.proxy.blobs() if e.range[1] > 1000]
    w.checks.that(ranges == [(1_000_000, half - 1)], f"adopted: {ranges}")
    w.proxy.begin()
    code, text = w.pull(young)
    w.checks.that(code == 0 and len(young.files("blobs")) == 5, f"young files of another program stay: {text}")
    w.checks.that(sum(e.sent for e in w.proxy.blobs()) >= SIZE, "young files: fetched whole")


@case
def replaced(w):
    store = w.succeeds("before the replacement")
    other = noise(1000, 3)
    w.registry.put_model("test/m", [(MODEL, other), (CONFIG, w.config)])
    code, text = w.pull(store)
    w.checks.that(code == 0 and "removing unused layers\n" in text, f"replaced: {text}")
    w.checks.that(len(store.files("blobs")) == 2 and store.complaint() is None, "replaced: the old blob is gone")
    w.registry.put_model("test/m", [(MODEL, w.blob), (CONFIG, w.config)])
    code, text = w.pull(store, OLLAMA_NOPRUNE="1")
    w.checks.that(code == 0 and "removing" not in text and len(store.files("blobs")) == 3, f"NOPRUNE: {text}")


@case
def limit_rate(w):
    begin = time.monotonic()
    w.succeeds("rate", OLL_LIMIT_RATE="1m")
    seconds = time.monotonic() - begin
    w.checks.that(2 <= seconds <= 8, f"OLL_LIMIT_RATE=1m: {SIZE} bytes in {seconds:.1f} s")
    for text in ("fast", "5 MB", "-1", "1.5m", "99999999999g"):
        w.fails(f"rate of {text}", [f"OLL_LIMIT_RATE is \"{text}\": it must be bytes a second"], again=False,
                OLL_LIMIT_RATE=text)
    w.proxy.begin()
    process = w.store().start("pull", "--insecure", w.name, OLL_LIMIT_RATE="100")
    time.sleep(1)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    text = process.communicate(timeout=60)[0]
    w.checks.that(process.returncode == -signal.SIGINT and time.monotonic() - begin < 5, f"Ctrl-C at a low rate: {text}")


@case
def damaged_journal(w):
    """Every prefix of a journal, and one with a flipped byte, leads to a whole blob."""
    store = w.store()
    part = os.path.join(store.models, "oll", "part", "sha256-" + digest_of(w.blob)[7:])
    rule = first_blob({"cut": 2_000_000})
    w.proxy.begin(lambda e: rule(e) or (blob_always({"status": 404})(e)))
    w.pull(store)
    with open(part, "rb") as f:
        data = f.read()
    with open(part + ".journal", "rb") as f:
        journal = f.read()
    w.checks.that(journal.count(b"\n") >= 2, f"journal: {journal}")
    variants = [journal[:n] for n in range(0, len(journal), 7)]
    variants += [journal[:n] + bytes([journal[n] ^ 4]) + journal[n + 1:] for n in range(0, len(journal), 11)]
    for i, text in enumerate(variants):
        os.makedirs(os.path.dirname(part), exist_ok=True)
        with open(part, "wb") as f:
            f.write(data)
        with open(part + ".journal", "wb") as f:
            f.write(text)
        w.proxy.begin()
        code, out = w.pull(store)
        w.checks.that(code == 0 and store.complaint() is None, f"journal variant {i}: {out}")
        store.run("rm", w.name)


@case
def through_a_proxy(w):
    """http_proxy and no_proxy; hf.co is asked under the name that it stands for and keeps its own."""
    w.registry.put_model("user/repo", [(MODEL, w.blob), (CONFIG, w.config)], tag="Q4_K_M")
    proxy = f"http://{w.proxy.name}"
    for name, host in (("hf.co/user/repo:Q4_K_M", "huggingface.co"), ("HF.co/user/repo:Q4_K_M", "huggingface.co"),
                       ("huggingface.co/user/repo:Q4_K_M", "huggingface.co"),
                       ("other.example/user/repo:Q4_K_M", "other.example")):
        store = w.succeeds(name, name=name, http_proxy=proxy)
        hosts = {e.host for e in w.proxy.exchanges}
        w.checks.that(hosts == {host}, f"{name}: asked {hosts}")
        folder = name.partition("/")[0]
        w.checks.that(store.files("manifests") == [f"manifests/{folder}/user/repo/Q4_K_M"], str(store.files("manifests")))
    w.fails("no_proxy", ["other.example"], name="other.example/user/repo", http_proxy=proxy, no_proxy="a.b, .example",
            again=False)
    w.checks.that(not w.proxy.exchanges, "no_proxy: the proxy is not asked")
    w.fails("a proxy that asks for a password", ["407"], lambda e: {"status": 407}, name="other.example/user/repo",
            http_proxy=proxy, again=False)
    w.fails("a proxy that is not there", ["Failed to connect to 127.0.0.1 port 9"], name="other.example/user/repo",
            http_proxy="http://127.0.0.1:9", again=False)
    code, text = w.store().run("pull", w.name)
    w.checks.that(code == 1 and "the server speaks plain HTTP; --insecure uses it" in text, f"https where http is: {text}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("oll")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    checks = Checks()
    with stage() as (folder, registry, proxy):
        for function in CASES:
            if args.only in function.__name__:
                begin, n = time.monotonic(), checks.n
                world = World(args.oll, os.path.join(folder, function.__name__), registry, proxy, checks)
                function(world)
                print(f"{function.__name__}: {world.n_stores} cases, {checks.n - n} checks, {time.monotonic() - begin:.1f} s",
                      flush=True)
    return checks.end()


sys.exit(main())
