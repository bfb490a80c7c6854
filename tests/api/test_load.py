#!/usr/bin/env python3
"""500 slow and 500 fast connections at once: nothing is lost, memory and descriptors stay. test_load.py OLL SHARED.

Half of the slow ones send their request in small pieces over seconds, half read a streamed reply a few bytes at a time. The
fast ones ask over kept connections as quickly as they are answered. What each must get is known. The same is done three
times; after the first, which fills what is kept, the server may not grow. Then h2load, where it is there, does the same to
a route that needs no model.
"""
import asyncio
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time

from served import Checks, Server, skip

SLOW, FAST, PER_FAST, ROUNDS = 500, 500, 20, 3
PIECES, PAUSE_S = 12, 0.25  # of a slow request: 3 s
LIMIT_S = 60  # of any one reply
GROWTH_BYTES = 12 * 1024 * 1024  # stacks of several hundred threads fill one by one: 18 MB become 38 over 40 rounds, then no more


def raise_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        skip(f"a process may open {hard} files; 4096 are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))


def request(method, path, body=None):
    data = json.dumps(body).encode() if body is not None else b""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


async def read_reply(reader, slowly=False):
    """Status and body of one reply."""
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split()[1])
    length = re.search(rb"content-length: (\d+)", head, re.I)
    if length:
        return status, await reader.readexactly(int(length[1]))
    body = b""
    while True:
        n = int(await reader.readuntil(b"\r\n"), 16)
        if slowly:
            await asyncio.sleep(0.02)
        body += await reader.readexactly(n)
        await reader.readexactly(2)
        if n == 0:
            return status, body


async def slow_sender(port, expected):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = request("POST", "/api/show", {"model": "m"})
    step = -(-len(data) // PIECES)
    for i in range(0, len(data), step):
        writer.write(data[i:i + step])
        await writer.drain()
        await asyncio.sleep(PAUSE_S)
    got = await read_reply(reader)
    writer.close()
    return got == (200, expected)


async def slow_reader(port, expected):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=256)
    writer.write(request("POST", "/api/generate", {"model": "m", "prompt": "hi", "raw": True,
                                                   "options": {"num_predict": 12, "temperature": 0}}))
    status, body = await read_reply(reader, slowly=True)
    writer.close()
    lines = [json.loads(line) for line in body.splitlines()]
    return status == 200 and lines[-1]["done"] and "".join(line.get("response", "") for line in lines) == expected


async def fast(port, expected):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    good = 0
    for i in range(PER_FAST):
        path = ("/api/version", "/api/tags")[i % 2]
        writer.write(request("GET", path))
        good += await read_reply(reader) == (200, expected[path])
    writer.close()
    return good == PER_FAST


async def one_round(port, expected):
    jobs = [slow_sender(port, expected["show"]) for _ in range(SLOW // 2)]
    jobs += [slow_reader(port, expected["text"]) for _ in range(SLOW // 2)]
    jobs += [fast(port, expected) for _ in range(FAST)]
    done = await asyncio.gather(*(asyncio.wait_for(j, LIMIT_S) for j in jobs), return_exceptions=True)
    errors = sorted({repr(d) for d in done if d is not True})
    return sum(d is True for d in done), errors


def state(pid):
    """Resident bytes and open descriptors of the server, once it is at rest."""
    time.sleep(1)
    with open(f"/proc/{pid}/statm", encoding="ascii") as f:
        rss = int(f.read().split()[1]) * resource.getpagesize()
    return rss, len(os.listdir(f"/proc/{pid}/fd"))


def check_h2load(checks, server):
    if not shutil.which("h2load"):
        print("note: h2load (nghttp2-client) is absent: the fast ones were our own alone")
        return
    done = subprocess.run(["h2load", "--h1", "-c", "500", "-n", "20000", f"{server.url}/api/version"], capture_output=True,
                          text=True, timeout=120, check=False)
    found = re.search(r"requests: (\d+) total.* (\d+) succeeded, (\d+) failed, (\d+) errored", done.stdout)
    checks.equal(found and found.groups(), ("20000", "20000", "0", "0"), f"h2load: {done.stdout[-400:]}")
    print(re.search(r"finished in .*", done.stdout)[0])


def main():
    oll, shared = sys.argv[1:]
    maker = os.path.join(shared, "data", "ollama", "make_tiny_gguf.py")
    if not os.path.exists(maker):
        skip(f"{maker} is absent")
    raise_limit()
    checks = Checks()
    with tempfile.TemporaryDirectory() as folder:
        tiny, store = os.path.join(folder, "tiny.gguf"), os.path.join(folder, "models")
        subprocess.run([sys.executable, maker, tiny], check=True, capture_output=True)
        os.makedirs(store)
        with Server(oll, store, OLLAMA_NUM_PARALLEL="4") as server:
            with open(tiny, "rb") as f:
                digest = server.upload(f.read())
            checks.equal(server.post("/api/create", {"model": "m", "files": {"m.gguf": digest}, "stream": False})[0], 200, "a model")
            expected = {p: server.call("GET", p)[1] for p in ("/api/version", "/api/tags")}
            expected["show"] = server.call("POST", "/api/show", {"model": "m"})[1]
            expected["text"] = server.post("/api/generate", {"model": "m", "prompt": "hi", "raw": True, "stream": False,
                                                             "options": {"num_predict": 12, "temperature": 0}})[1]["response"]
            states = []
            for i in range(ROUNDS):
                begin = time.monotonic()
                good, errors = asyncio.run(one_round(server.port, expected))
                states.append(state(server.process.pid))
                print(f"round {i + 1}: {good} of {SLOW + FAST} in {time.monotonic() - begin:.1f} s, "
                      f"{states[-1][0] / 1e6:.1f} MB, {states[-1][1]} descriptors")
                checks.equal((good, errors), (SLOW + FAST, []), f"round {i + 1}: replies that were whole and right")
            checks.true(states[-1][0] - states[0][0] < GROWTH_BYTES, f"memory is flat: {states}")
            checks.equal(states[-1][1], states[0][1], f"descriptors are flat: {states}")
            check_h2load(checks, server)
            checks.equal(state(server.process.pid)[1], states[0][1], "descriptors behind h2load")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
