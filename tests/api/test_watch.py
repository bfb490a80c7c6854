#!/usr/bin/env python3
"""What operators see: request ids, the log, /metrics, and warnings about options. test_watch.py OLL SHARED."""
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile

from served import Checks, Server, skip

SECRET = "Zebrasecret"
SAMPLE = re.compile(r'^([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\]|\\.)*",?)+)\})? (-?[0-9.e+-]+|NaN|\+Inf)$')

REQUEST_FIELDS = {"method": str, "route": str, "status": int, "ms": float, "bytes": int, "id": str, "from": str}


def headers_of(server, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request(method, path, json.dumps(body) if body is not None else None, headers or {})
    reply = connection.getresponse()
    data = reply.read()
    connection.close()
    return reply.status, dict(reply.getheaders()), data


def check_ids(checks, server):
    ids = [headers_of(server, "GET", path, headers={"X-Request-Id": ""})[1].get("X-Request-Id") for path in ("/api/version", "/api/tags", "/nothing")]
    checks.true(all(i and re.fullmatch("[0-9a-f]{16}", i) for i in ids) and len(set(ids)) == 3, f"ids: {ids}")
    checks.equal(headers_of(server, "GET", "/api/version")[1].get("X-Request-Id"), None, "none for those who sent none")
    for given, kept in (("abc-1.2:3_X", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("é", False), ('a"b', False)):
        got = headers_of(server, "GET", "/api/version", headers={"X-Request-Id": given.encode("latin-1")})[1]["X-Request-Id"]
        checks.equal(got == given, kept, f"the client's id {given!r} became {got!r}")


def read_metrics(checks, server):
    """Samples by name and labels; every line must be of the exposition format."""
    status, headers, data = headers_of(server, "GET", "/metrics")
    checks.equal((status, headers["Content-Type"]), (200, "text/plain; version=0.0.4; charset=utf-8"), "/metrics")
    samples, types = {}, {}
    for line in data.decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            checks.true(name not in types, f"{name} is declared once")
            types[name] = kind
        elif not line.startswith("# HELP "):
            m = SAMPLE.match(line)
            checks.true(m, f"a sample: {line}")
            name = m.group(1)
            base = re.sub("_(bucket|sum|count)$", "", name)
            checks.true(name in types or types.get(base) == "histogram", f"{name} has a type")
            checks.true((name, m.group(2)) not in samples, f"{line} is there once")
            samples[name, m.group(2)] = float(m.group(3))
    return samples


def check_histograms(checks, samples):
    last = {}
    for (name, labels), value in samples.items():
        if name.endswith("_bucket"):
            key = name, re.sub('le="[^"]*"', "", labels)
            checks.true(value >= last.get(key, 0), f"{name} {labels} does not fall")
            last[key] = value
    for (name, labels), value in last.items():
        labels = labels.rstrip(",") or None
        checks.equal(samples[name[:-7] + "_count", labels], value, f"the count of {name} {labels}")


def check_metrics(checks, server):
    before = read_metrics(checks, server)
    reply = server.post("/api/generate", {"model": "m", "prompt": SECRET, "stream": False, "options": {"num_predict": 7, "seed": 1}})[1]
    server.call("POST", "/api/generate", b"{bad " + SECRET.encode())
    after = read_metrics(checks, server)
    check_histograms(checks, after)

    def grown(name, labels=None):
        return after.get((name, labels), 0) - before.get((name, labels), 0)
    checks.equal(grown("oll_requests_total", 'route="/api/generate",code="200"'), 1, "answers are counted")
    checks.equal(grown("oll_requests_total", 'route="/api/generate",code="400"'), 1, "refusals are counted")
    checks.equal(grown("oll_generated_tokens_total"), reply["eval_count"], "tokens of replies")
    checks.equal(grown("oll_prompt_tokens_total"), reply["prompt_eval_count"], "tokens of prompts")
    checks.equal(grown("oll_first_token_seconds_count"), 1, "first tokens")
    checks.equal(after["oll_models_loaded", None], 1, "loaded models")
    checks.true(after["oll_model_bytes", 'model="m:latest"'] > 1e5, "their memory")
    checks.equal(after["oll_requests_waiting", None], 0, "nobody waits")
    checks.true(after["oll_memory_bytes", None] > 1e6, "memory of the server")


def check_options(checks, server):
    ask = {"model": "m", "prompt": "a", "stream": False, "options": {"num_predict": 1, "temprature": 0, "Top_k": 3}}
    status, headers, _ = headers_of(server, "POST", "/api/generate", ask)
    said = 'unknown option "temprature", did you mean "temperature"?; unknown option "Top_k", did you mean "top_k"?'
    checks.equal((status, headers.get("Oll-Warning")), (200, said), "a warning")
    status, _, data = headers_of(server, "POST", "/api/generate", {**ask, "strict": True})
    checks.equal((status, json.loads(data)), (400, {"error": said}), "strict")
    ask["options"] = {"num_predict": 1, "stop": ["x"]}
    status, headers, _ = headers_of(server, "POST", "/api/generate", {**ask, "strict": True})
    checks.equal((status, headers.get("Oll-Warning")), (200, None), "strict, and nothing to say")
    chat = {"model": "m", "messages": [{"role": "user", "content": "a"}], "stream": False, "strict": True, "options": {"zzzzzz": 1}}
    checks.equal(server.post("/api/chat", chat), (400, {"error": 'unknown option "zzzzzz"'}), "nothing is near")
    odd = {"model": "m", "input": "a", "options": {"a b\r\nX: 1": 1, "é": 2}}
    status, headers, _ = headers_of(server, "POST", "/api/embed", odd)
    checks.equal(headers.get("Oll-Warning"), "unknown option with an odd name; unknown option with an odd name", f"{status}: odd names")


def check_log(checks, server, is_json):
    """One line for each request, without a word of it."""
    log = server.read_log(-1)
    checks.true(SECRET not in log, "the log holds no prompt")
    lines = [line for line in log.splitlines() if "/api/generate" in line]
    checks.true(len(lines) >= 2, f"requests are in the log: {lines}")
    if not is_json:
        checks.true(all(re.search(r'area=http msg="POST /api/generate (200|400) [0-9.]+ ms [0-9]+ bytes id=[^ ]+ from=127', line)
                        for line in lines), f"{lines}")
        return
    for line in log.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            value = {}
        is_request = value.get("area") == "http" and value.get("msg", "").split(" ")[0] in ("GET", "HEAD", "POST", "-")
        fields = REQUEST_FIELDS if is_request else {}
        checks.true(set(value) - {"runner"} == {"time", "level", "area", "msg", *fields}, f"JSON: {line}")
        checks.true(all(isinstance(value.get(name), kind) for name, kind in fields.items()), f"members of a request: {line}")
    requests = [value for value in map(json.loads, log.splitlines()) if value.get("route") == "/api/generate"]
    checks.true(len(requests) == len(lines) and all(value["method"] == "POST" and value["status"] in (200, 400) for value in requests),
                f"what was asked: {requests}")
    checks.true(any(json.loads(line).get("runner") == "m:latest" for line in log.splitlines()), "a runner's lines")


def main():
    oll, shared = sys.argv[1:]
    maker = os.path.join(shared, "data", "ollama", "make_tiny_gguf.py")
    if not os.path.exists(maker):
        skip(f"{maker} is absent")
    checks = Checks()
    with tempfile.TemporaryDirectory() as folder:
        tiny = os.path.join(folder, "tiny.gguf")
        subprocess.run([sys.executable, maker, tiny], check=True, capture_output=True)
        os.makedirs(os.path.join(folder, "models"))
        for form in ("", "json"):
            with Server(oll, os.path.join(folder, "models"), "--model", f"m={tiny}", OLL_LOG=form) as server:
                check_ids(checks, server)
                check_metrics(checks, server)
                check_options(checks, server)
                check_log(checks, server, form == "json")
        with Server(oll, tiny) as server:
            checks.true(f"{tiny} of the model store is no folder" in server.read_log(), f"a store that is none: {server.read_log()}")
            status, data = server.call("GET", "/api/tags")
            checks.true(tiny.encode() not in data, f"replies name no folder of the server: {status} {data}")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
