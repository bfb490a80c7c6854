#!/usr/bin/env python3
"""The numbered conformance cases of the API's specification (rest-api 8), each by itself: test_conformance.py OLL SHARED.

The fixture models are made as for the recordings. Cases that need a model which says what it is told, a clock, or another
server are elsewhere: ELSEWHERE names the place of each, and all 155 must be in one or the other.
"""
import base64
import concurrent.futures
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time

from served import Server, free_port, skip
from test_replay import sources

ELSEWHERE = {
    18: "tests/unit/server/test_env.c", 54: "no model here sees pictures: templates in tests/unit/chat",
    73: "parse-generic-tools.jsonl", 74: "parse-generic-tools.jsonl", 75: "parse-generic-tools.jsonl",
    78: "parse-model.jsonl", 79: "http-chat.jsonl", 80: "parse-thinking.jsonl", 81: "parse-thinking.jsonl",
    82: "parse-thinking.jsonl", 88: "tests/api/transcripts", 91: "tests/api/transcripts", 108: "http-models.jsonl",
    123: "registry.jsonl", 132: "tests/api/transcripts", 133: "http-openai.jsonl", 145: "tests/api/transcripts",
    151: "tests/api/transcripts",
}
STORY = "Write a very long story about a river, a town and its people."
METRICS = ["total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration"]
WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "d", "parameters": {
    "type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]}}}
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name", "age"]}


class Reply:
    def __init__(self, status, headers, data):
        self.status, self.headers, self.data = status, headers, data

    @property
    def json(self):
        return json.loads(self.data)

    @property
    def error(self):
        value = self.json.get("error", "")
        return value.get("message", "") if isinstance(value, dict) else value

    @property
    def lines(self):
        return [json.loads(line) for line in self.data.decode().splitlines() if line]

    @property
    def events(self):
        """Values of an event stream; [DONE] as it is."""
        texts = [line[6:] for line in self.data.decode().splitlines() if line.startswith("data: ")]
        return [t if t == "[DONE]" else json.loads(t) for t in texts]

    def __repr__(self):
        return f"{self.status} {self.headers.get('Content-Type')} {self.data[:300]!r}"


def request(port, method, path, body=None, headers=None, host="127.0.0.1"):
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection = http.client.HTTPConnection(host, port, timeout=300)
    connection.request(method, path, data, headers or {})
    reply = connection.getresponse()
    out = Reply(reply.status, reply.headers, reply.read())
    connection.close()
    return out


class Cases:
    def __init__(self, server):
        self.server, self.done, self.n_failed = server, {}, 0

    def case(self, number, condition, shown=""):
        self.done[number] = self.done.get(number, True) and bool(condition)
        if not condition:
            self.n_failed += 1
            print(f"FAILED case {number}: {shown!r}")

    def call(self, method, path, body=None, **headers):
        return request(self.server.port, method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})

    def post(self, path, body, **headers):
        return self.call("POST", path, body, **headers)

    def g(self, model="m", **fields):
        return self.post("/api/generate", {"model": model, "stream": False, **fields})

    def c(self, model="m", content="hi", **fields):
        messages = fields.pop("messages", [{"role": "user", "content": content}] if content is not None else None)
        body = {"model": model, "stream": False, **fields}
        return self.post("/api/chat", {**body, "messages": messages} if messages is not None else body)

    def v1(self, path="chat/completions", model="m", content="hi", **fields):
        body = {"model": model, **fields}
        if path == "chat/completions" and "messages" not in fields:
            body["messages"] = [{"role": "user", "content": content}]
        return self.post("/v1/" + path, body)

    def rendered(self, reply):
        return reply.json["_debug_info"]["rendered_template"] if reply.status == 200 else repr(reply)

    def ps(self):
        return {m["model"]: m for m in self.call("GET", "/api/ps").json["models"]}

    # ---- 8.1 ----

    def server_cases(self):
        r = self.call("GET", "/")
        self.case(1, (r.status, r.headers["Content-Type"], r.data) == (200, "text/plain; charset=utf-8", b"Ollama is running"), r)
        r = self.call("HEAD", "/")
        self.case(2, (r.status, r.data) == (200, b""), r)
        r = self.call("GET", "/api/version")
        self.case(3, r.headers["Content-Type"] == "application/json; charset=utf-8" and list(r.json) == ["version"] and r.data[-1:] == b"}", r)
        self.case(3, self.call("HEAD", "/api/version").status == 200)
        r = self.call("GET", "/nope")
        self.case(4, (r.status, r.data) == (404, b"404 page not found") and r.headers["Content-Type"].startswith("text/plain"), r)
        for number, method, path, allow in ((5, "GET", "/api/show", "POST"), (6, "GET", "/api/blobs/sha256:" + "0" * 64, "HEAD, POST")):
            r = self.call(method, path)
            self.case(number, (r.status, r.headers["Allow"], r.data) == (405, allow, b"405 method not allowed"), r)
        self.case(7, self.call("HEAD", "/api/ps").status == 405)
        r = self.call("GET", "/api/tags/")
        self.case(8, (r.status, r.headers["Location"]) == (301, "/api/tags"), r)
        self.case(8, self.call("POST", "/api/chat/").status == 307)
        r = self.call("GET", "/api/tags", Origin="http://localhost:3000")
        self.case(9, (r.status, r.headers["Access-Control-Allow-Origin"], r.headers["Vary"]) == (200, "http://localhost:3000", "Origin"), r)
        r = self.call("GET", "/api/tags", Origin="https://evil.example")
        self.case(10, (r.status, r.data) == (403, b""), r)
        r = self.call("OPTIONS", "/api/chat", Origin="http://127.0.0.1:1")
        self.case(11, r.status == 204 and r.headers["Access-Control-Allow-Methods"] and "X-Stainless-Os" in
                  r.headers["Access-Control-Allow-Headers"] and r.headers["Access-Control-Max-Age"] == "43200", r)
        self.case(12, self.call("OPTIONS", "/does/not/exist", Origin="http://127.0.0.1:1").status == 204)
        for origin in ("app://x", "file://x", "tauri://x", "vscode-webview://x"):
            self.case(13, self.call("GET", "/api/tags", Origin=origin).status == 200, origin)
        self.case(13, self.call("GET", "/api/tags", Origin="chrome-extension://x").status == 403)
        self.case(16, self.call("GET", "/api/tags", Host="evil.example").status == 403)
        for host in ("foo.local", "a.localhost", "x.internal", "192.168.1.9"):
            self.case(16, self.call("GET", "/api/tags", Host=host).status == 200, host)
        for method, path in [("POST", "/api/" + p) for p in ("generate", "chat", "embed", "embeddings", "show", "pull", "push", "create", "copy")] \
                + [("DELETE", "/api/delete")]:
            r = self.call(method, path)
            self.case(19, (r.status, r.json) == (400, {"error": "missing request body"}), (path, r))
        r = self.post("/api/chat", b'{"model":')
        self.case(20, r.status == 400 and r.error, r)
        self.case(21, self.post("/api/chat", b'{"model":5}').status == 400)
        self.case(22, self.post("/api/chat", b'{"model":"m"} trailing').status == 200)
        r = self.post("/api/chat", b'{"MODEL":"m"}')
        self.case(23, r.status == 200 and r.lines[-1]["done_reason"] == "load", r)
        self.case(24, self.post("/api/chat", b'{"model":"m","messages":[],"stream":false}', Content_Type="text/plain").status == 200)

    def other_servers(self, oll, store):
        for number, variables, origin, want in ((14, {"OLLAMA_ORIGINS": "chrome-extension://*"}, "chrome-extension://x", "chrome-extension://x"),
                                                (15, {"OLLAMA_ORIGINS": "*"}, "https://any.example", "*")):
            with Server(oll, store, **variables) as server:
                r = request(server.port, "GET", "/api/tags", headers={"Origin": origin})
                self.case(number, (r.status, r.headers["Access-Control-Allow-Origin"]) == (200, want), r)
        server = Server(oll, store)
        server.environment = {"OLLAMA_HOST": f"0.0.0.0:{server.port}"}
        with server:
            self.case(17, request(server.port, "GET", "/api/tags", headers={"Host": "evil.example"}).status == 200)
        with tempfile.TemporaryDirectory() as empty, Server(oll, os.path.join(empty, "models")) as server:
            r = request(server.port, "GET", "/api/tags")
            self.case(102, r.json == {"models": []} and request(server.port, "HEAD", "/api/tags").status == 200, r)
        with Server(oll, store, OLLAMA_MAX_QUEUE="1", OLLAMA_MAX_LOADED_MODELS="1") as server:
            def load(i):
                body = {"model": ("m", "tiny", "g3")[i % 3], "prompt": STORY, "stream": False, "options": {"num_predict": 30}}
                return request(server.port, "POST", "/api/generate", body)
            with concurrent.futures.ThreadPoolExecutor(24) as pool:
                replies = list(pool.map(load, range(24)))
            busy = [r for r in replies if r.status == 503]
            self.case(90, busy and all(r.error == "server busy, please try again.  maximum pending requests exceeded" for r in busy)
                      and any(r.status == 200 for r in replies), [r.status for r in replies])

    # ---- 8.2 ----

    def generate_cases(self):
        for body in (b"null", b"{}"):
            r = self.post("/api/generate", body)
            self.case(25, (r.status, r.error) == (404, "model '' not found"), r)
        r = self.g("none", prompt="x")
        self.case(26, (r.status, r.error) == (404, "model 'none' not found"), r)
        r = self.g("bad name!", prompt="x")
        self.case(27, (r.status, r.error) == (400, "invalid model name"), r)
        r = self.post("/api/generate", {"model": "m"})
        self.case(28, r.status == 200 and r.headers["Content-Type"] == "application/json; charset=utf-8" and r.json["done"] is True and
                  (r.json["done_reason"], r.json["response"]) == ("load", "") and "total_duration" not in r.json, r)
        r = self.g(keep_alive=0)
        self.case(29, r.status == 200 and r.json["done_reason"] == "unload", r)
        self.case(29, self.gone("m:latest"), self.ps())
        self.g("tiny", keep_alive=0)
        self.case(29, "tiny:latest" not in self.ps())
        r = self.g("emb", prompt="x")
        self.case(30, (r.status, r.error) == (400, '"emb" does not support generate'), r)
        r = self.g(prompt="a", suffix="b")
        self.case(31, (r.status, r.error) == (400, "registry.ollama.ai/library/m:latest does not support insert"), r)
        text = self.rendered(self.g("fim", prompt="def add(", suffix="    return c", _debug_render_only=True))
        self.case(32, text == "<PRE> def add( <SUF>    return c <MID>", text)
        r = self.g(prompt="Say hello.", options={"num_predict": 8})
        keys = ["model", "created_at", "response", "done", "done_reason", "context", *METRICS]
        self.case(33, list(r.json) == keys and r.json["context"] and all(r.json[k] > 0 for k in METRICS) and
                  r.json["done_reason"] in ("stop", "length"), r)
        self.case(34, "You are a helpful assistant." in self.rendered(self.g("ms", prompt="Hello!", _debug_render_only=True)))
        text = self.rendered(self.g("ms", prompt="Hello!", system="Be odd.", _debug_render_only=True))
        self.case(34, "Be odd." in text and "helpful" not in text, text)
        text = self.rendered(self.g("ms", prompt="Hello!", template="<{{ .Prompt }}>", _debug_render_only=True))
        self.case(35, text == "<Hello!>", text)
        self.case(36, self.rendered(self.g(prompt="as it is", raw=True, _debug_render_only=True)) == "as it is")
        self.case(36, "context" not in self.g(prompt="a", raw=True, options={"num_predict": 1}).json)
        for more in ({"system": "s"}, {"template": "t"}, {"context": [1]}):
            r = self.g(prompt="a", raw=True, **more)
            self.case(37, (r.status, r.error) == (400, "raw mode does not support template, system, or context"), r)
        for n in (-1, 21):
            r = self.g("none", prompt="a", top_logprobs=n)
            self.case(38, (r.status, r.error) == (400, "top_logprobs must be between 0 and 20"), r)
        r = self.g(prompt="a", think=True)
        self.case(39, (r.status, r.error) == (400, '"m" does not support thinking'), r)
        self.case(39, self.g(prompt="a", think=False, options={"num_predict": 1}).status == 200)
        self.case(39, self.g(prompt="a", think="medium").status == 400)
        r = self.g(prompt="a", think="huge")
        self.case(40, r.status == 400 and r.error.startswith('invalid think value: "huge"'), r)
        r = self.g(prompt="a", think=3)
        self.case(40, r.status == 400 and r.error.startswith("think must be a boolean or string"), r)
        for number, options, text in ((41, {"temperature": "hot"}, 'option "temperature" must be of type float32'),
                                      (42, {"stop": "x"}, 'option "stop" must be of type array'),
                                      (42, {"stop": [1]}, 'option "stop" must be of an array of strings'),
                                      (43, {"num_ctx": "a"}, 'option "num_ctx" must be of type integer'),
                                      (43, {"use_mmap": 1}, 'option "use_mmap" must be of type boolean')):
            r = self.g(prompt="a", options=options)
            self.case(number, (r.status, r.error) == (500, text), r)
        self.case(44, self.g(prompt="a", options={"mirostat": 1, "foo": 2, "seed": None, "num_predict": 1}).status == 200)
        r = self.g(prompt="a", format="xml")
        self.case(45, r.status == 500 and r.error.startswith("invalid format: "), r)
        for free in ("", None):
            self.case(45, self.g(prompt="a", format=free, options={"num_predict": 1}).status == 200)
        r = self.g(prompt="Describe a cat as JSON.", format="json", options={"num_predict": 200})
        self.case(46, r.json["done_reason"] != "stop" or isinstance(json.loads(r.json["response"]), dict), r)
        r = self.g(prompt="Ann is 7.", format=SCHEMA, options={"num_predict": 100})
        value = json.loads(r.json["response"])
        self.case(47, isinstance(value["name"], str) and isinstance(value["age"], int), r)
        r = self.g(prompt=STORY, logprobs=True, options={"num_predict": 10, "temperature": 0})
        self.case(48, (r.json["eval_count"], len(r.json["logprobs"]), r.json["done_reason"]) == (10, 10, "length"), r)
        r = self.g(prompt=STORY, logprobs=True, top_logprobs=5, options={"num_predict": 4})
        for entry in r.json["logprobs"]:
            ranks = [t["logprob"] for t in entry["top_logprobs"]]
            self.case(49, len(ranks) <= 5 and ranks == sorted(ranks, reverse=True) and
                      bytes(entry["bytes"]).decode(errors="replace") == entry["token"], entry)
        self.case(49, "top_logprobs" not in self.g(prompt="a", logprobs=True, options={"num_predict": 1}).json["logprobs"][0])
        self.case(49, "logprobs" not in self.g(prompt="a", options={"num_predict": 1}).json)
        r = self.post("/api/generate", {"model": "m", "prompt": "Say hello.", "options": {"num_predict": 8}})
        self.case(50, r.headers["Content-Type"] == "application/x-ndjson" and not any(line["done"] or "eval_count" in line for line in r.lines[:-1])
                  and r.lines[-1]["done"] and r.lines[-1]["done_reason"], r)
        ask = {"prompt": STORY, "options": {"num_predict": 20, "temperature": 1, "seed": 5}}
        self.case(51, self.g(**ask).json["response"] == self.g(**ask).json["response"])
        first = self.g(prompt="My name is Ann.", options={"num_predict": 8}).json
        second = self.g(prompt="What is my name?", context=first["context"], options={"num_predict": 8}).json
        self.case(52, second["context"][:len(first["context"])] == first["context"], second)
        r = self.g(prompt="a", images=["@@"])
        self.case(53, (r.status, r.error) == (400, "illegal base64 data at input byte 0"), r)
        r = self.post("/api/generate", {"model": "m", "prompt": "a", "_debug_render_only": True, "stream": True})
        self.case(55, r.json["done"] is False and "rendered_template" in r.json["_debug_info"], r)
        r = self.g(prompt="Repeat: aaa bbb ccc", options={"stop": ["b"], "num_predict": 40})
        self.case(56, "b" not in r.json["response"] and r.json["done_reason"] in ("stop", "length"), r)

    def gone(self, model):
        for _ in range(100):
            if model not in self.ps():
                return True
            time.sleep(0.05)
        return False

    # ---- 8.3 ----

    def chat_cases(self):
        for body in (b"null", b"{}"):
            r = self.post("/api/chat", body)
            self.case(57, (r.status, r.error) == (400, "model is required"), r)
        r = self.c("none")
        self.case(58, (r.status, r.error) == (404, "model 'none' not found"), r)
        for messages in (None, []):
            r = self.c(content=None, **({} if messages is None else {"messages": messages}))
            self.case(59, (r.json["message"], r.json["done_reason"]) == ({"role": "assistant", "content": ""}, "load"), r)
        self.case(60, self.c(messages=[], keep_alive=0).json["done_reason"] == "unload")
        r = self.c("emb")
        self.case(61, (r.status, r.error) == (400, '"emb" does not support chat'), r)
        r = self.c(tools=[WEATHER])
        self.case(62, (r.status, r.error) == (400, "registry.ollama.ai/library/m:latest does not support tools"), r)
        few = {"num_predict": 4}
        self.case(62, self.c(tools=[], options=few).status == 200)
        r = self.c(think=True)
        self.case(63, (r.status, r.error) == (400, '"m" does not support thinking'), r)
        self.case(63, self.c(think=False, options=few).status == 200)
        text = self.rendered(self.c("ms", _debug_render_only=True))
        self.case(64, 0 <= text.find("helpful") < text.find("hi"), text)
        text = self.rendered(self.c("ms", messages=[{"role": "system", "content": "Be odd."}, {"role": "user", "content": "hi"}], _debug_render_only=True))
        self.case(64, "Be odd." in text and "helpful" not in text, text)
        a = self.rendered(self.c(messages=[{"role": "System", "content": "s"}, {"role": "USER", "content": "u"}], _debug_render_only=True))
        b = self.rendered(self.c(messages=[{"role": "system", "content": "s"}, {"role": "user", "content": "u"}], _debug_render_only=True))
        self.case(65, a == b and "s" in a, (a, b))
        self.case(66, self.c(messages=[{"role": "user", "content": ["a"]}]).status == 400)
        r = self.c(options=few)
        self.case(67, list(r.json) == ["model", "created_at", "message", "done", "done_reason", *METRICS], r)
        whole = self.c(content="Say hello.", options={"num_predict": 12}).json["message"]["content"]
        r = self.post("/api/chat", {"model": "m", "messages": [{"role": "user", "content": "Say hello."}], "options": {"num_predict": 12}})
        self.case(68, "".join(line["message"]["content"] for line in r.lines) == whole, (whole, r))
        history = [{"role": "system", "content": "SYS"}] + [{"role": ("user", "assistant")[i % 2], "content": f"turn{i} " + "word " * 20}
                                                            for i in range(20)] + [{"role": "user", "content": "LAST"}]
        text = self.rendered(self.c(messages=history, options={"num_ctx": 128}, _debug_render_only=True))
        self.case(69, "SYS" in text and "LAST" in text and "turn0 " not in text, text)
        long = "word " * 400
        r = self.c(content=long, options={"num_ctx": 128, **few})
        self.case(70, r.status == 200 or (400 <= r.status < 500 and "context" in r.error and re.search("exceed|longer|too long", r.error)), r)
        r = self.c(content=long, truncate=False, options={"num_ctx": 128})
        self.case(71, 400 <= r.status < 500 and "context" in r.error, r)
        r = self.c(content=STORY, options={"num_ctx": 128, "num_predict": 200, "stop": []})
        self.case(72, r.status == 200 and r.json["prompt_eval_count"] + r.json["eval_count"] > 128, r)
        r = self.c(content=STORY, shift=False, options={"num_ctx": 128, "num_predict": 200, "stop": []})
        self.case(72, r.json["done_reason"] == "length" and r.json["prompt_eval_count"] + r.json["eval_count"] <= 129, r)
        r = self.c("tl", content="Say hello.", tools=[WEATHER], options={"num_predict": 6})
        self.case(76, "tool_calls" not in r.json["message"] and r.json["message"]["content"] is not None, r)
        call = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "get_weather", "arguments": {"location": "Ulm"}}}]}
        tool = {"role": "tool", "content": "warm", "tool_name": "get_weather", "tool_call_id": "call_1"}
        self.case(77, self.c("tl", messages=[{"role": "user", "content": "hi"}, call, tool], options=few).status == 200)
        call["tool_calls"][0]["function"]["arguments"] = "{}"
        self.case(77, self.c("tl", messages=[{"role": "user", "content": "hi"}, call, tool]).status == 400)
        self.thinking_cases()
        self.keep_alive_cases()

    def thinking_cases(self):
        big = {"num_predict": 200, "think_budget": 30, "stop": []}
        r = self.c("th", content="Ann is 7.", think=True, format=SCHEMA, options=big)
        message = r.json["message"]
        self.case(83, message.get("thinking") and "<think>" not in message["content"], r)
        self.case(83, r.json["done_reason"] == "length" or isinstance(json.loads(message["content"])["age"], int), r)
        r = self.c("th", content="Ann is 7.", think=False, format=SCHEMA, options={"num_predict": 200, "stop": []})
        self.case(84, "thinking" not in r.json["message"], r)
        self.case(84, r.json["done_reason"] == "length" or isinstance(json.loads(r.json["message"]["content"])["age"], int), r)
        r = self.c("th", content=STORY, options={"num_predict": 8, "stop": []})
        self.case(85, r.json["message"].get("thinking"), r)

    def keep_alive_cases(self):
        few = {"num_predict": 1}
        for value in ("60", "-1"):
            r = self.c(keep_alive=value)
            self.case(86, r.status == 400 and r.error.startswith("time: missing unit in duration"), r)
        self.case(86, self.c(keep_alive="1d").status == 400)
        r = self.c(keep_alive=True)
        self.case(86, r.status == 400 and "Unsupported type: 'bool'" in r.error, r)

        def left():
            text = self.ps()["m:latest"]["expires_at"]
            at = time.mktime(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))
            return at - time.mktime(time.gmtime()) if text[:4] < "2100" else 1e12
        # Models of one file share it, under the name of the one that loaded it.
        self.c("th", messages=[], keep_alive=0)
        self.case(87, self.gone("th:latest") and self.gone("tl:latest"), self.ps())
        self.c(keep_alive=-1, options=few)
        self.c(options=few)
        self.case(87, left() > 100 * 365 * 86400, left())
        self.c(keep_alive=42.5, options=few)
        self.case(87, 35 < left() < 45, left())
        self.c(keep_alive="42m", options=few)
        self.case(87, 41 * 60 < left() <= 42 * 60 + 1, left())
        connection = socket.create_connection(("127.0.0.1", self.server.port))
        body = json.dumps({"model": "m", "prompt": STORY, "options": {"num_predict": 4000, "stop": []}}).encode()
        connection.sendall(b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        connection.recv(100)
        connection.close()
        start = time.monotonic()
        self.case(89, self.g(prompt="a", options=few).status == 200 and time.monotonic() - start < 5, time.monotonic() - start)

    # ---- 8.4 ----

    def embed(self, **fields):
        return self.post("/api/embed", {"model": "emb", **fields})

    def embedding_cases(self):
        sky = "why is the sky blue?"
        r = self.embed(input=sky)
        vector = r.json["embeddings"][0]
        self.case(92, (len(vector), r.json["prompt_eval_count"]) == (384, 8) and abs(sum(x * x for x in vector) - 1) < 1e-5, r)
        r = self.embed(input=[sky, "why"])
        counts = [self.embed(input=t).json["prompt_eval_count"] for t in (sky, "why")]
        self.case(93, r.json["embeddings"][0] == vector and r.json["prompt_eval_count"] == sum(counts), r)
        for fields in ({"input": []}, {"input": ""}, {}):
            r = self.embed(**fields)
            self.case(94, (r.status, r.json) == (200, {"model": "emb", "embeddings": []}), r)
        for model, value in (("emb", 5), ("emb", [1]), ("none", 5)):
            r = self.post("/api/embed", {"model": model, "input": value})
            self.case(95, (r.status, r.error) == (400, "invalid input type"), r)
        r = self.post("/api/embed", {"model": "none", "input": "x"})
        self.case(96, (r.status, r.error) == (404, 'model "none" not found, try pulling it first'), r)
        r = self.post("/api/embed", {"model": "", "input": "x"})
        self.case(96, (r.status, r.error) == (404, "model '' not found"), r)
        for value in ("word " * 60, ["a", "word " * 60]):
            r = self.embed(input=value, truncate=False, options={"num_ctx": 10})
            self.case(97, r.status == 400 and "context length" in r.error, r)
        short = self.embed(input=sky, options={"num_ctx": 3}).json["embeddings"][0]
        why = self.embed(input="why").json["embeddings"][0]
        self.case(98, max(abs(a - b) for a, b in zip(short, why)) < 1e-4)
        r = self.embed(input=sky, options={"num_ctx": 1})
        self.case(99, (r.status, r.error) == (400, "input after truncation exceeds maximum context length"), r)
        cut = self.embed(input=sky, dimensions=128).json["embeddings"][0]
        self.case(100, len(cut) == 128 and abs(sum(x * x for x in cut) - 1) < 1e-5, len(cut))
        self.case(100, len(self.embed(input=sky, dimensions=99999).json["embeddings"][0]) == 384)
        r = self.post("/api/embeddings", {"model": "emb", "prompt": "x"})
        self.case(101, list(r.json) == ["embedding"] and len(r.json["embedding"]) == 384, r)
        self.case(101, self.post("/api/embeddings", {"model": "emb", "prompt": ""}).json == {"embedding": []})
        r = self.post("/api/embeddings", {"prompt": "x"})
        self.case(101, (r.status, r.error) == (400, "model is required"), r)

    # ---- 8.5 ----

    def show(self, model, **more):
        return self.post("/api/show", {"model": model, **more})

    def create(self, model, **more):
        return self.post("/api/create", {"model": model, "stream": False, **more})

    def management_cases(self, tiny):
        digest = self.server.upload(tiny)
        r = self.create("x", files={"a.gguf": digest}, template="{{ .Prompt }}")
        self.case(111, (r.status, r.headers["Content-Type"].split(";")[0], r.json) == (200, "application/json", {"status": "success"}), r)
        entry = next(m for m in self.call("GET", "/api/tags").json["models"] if m["name"] == "x:latest")
        self.case(103, entry["model"] == "x:latest" and re.fullmatch("[0-9a-f]{64}", entry["digest"]) and entry["size"] > 0 and
                  isinstance(entry["details"]["families"], list) and "completion" in entry["capabilities"] and "expires_at" not in entry, entry)
        names = [m["name"] for m in self.call("GET", "/api/tags").json["models"]]
        self.case(104, names[0] == "x:latest" and [m["id"] for m in self.call("GET", "/v1/models").json["data"]] == names, names)
        r = self.post("/api/show", {})
        self.case(105, (r.status, r.error) == (400, "model is required"), r)
        r = self.show("none")
        self.case(105, (r.status, r.error) == (404, "model 'none:latest' not found"), r)
        self.case(105, self.post("/api/show", {"name": "m"}).status == 200)
        info = self.show("m").json["model_info"]
        self.case(106, "general.name" not in info and "tokenizer.chat_template" not in info and info["general.parameter_count"] > 0 and
                  info["tokenizer.ggml.tokens"] is None and self.show("m", verbose=True).json["model_info"]["tokenizer.ggml.tokens"], list(info))
        self.create("p", **{"from": "x"}, parameters={"seed": 42, "top_p": 0.9, "stop": ["foo", "bar"]})
        lines = self.show("p").json["parameters"].splitlines()
        self.case(107, sorted(lines) == sorted(f"{k:<30} {v}" for k, v in (("seed", 42), ("top_p", 0.9), ("stop", '"foo"'), ("stop", '"bar"'))), lines)
        r = self.post("/api/show", {"model": "m"}, User_Agent="GitHubCopilotChat/1")
        self.case(109, r.json["model_info"].get("general.basename") == "m", r.json["model_info"].get("general.basename"))
        self.g("x", prompt="a", options={"num_predict": 1})
        loaded = self.ps().get("x:latest", {})
        self.case(110, loaded and loaded["size"] > 0 and loaded["digest"] and "size_vram" in loaded and loaded["context_length"] > 0, loaded)
        self.g("x", keep_alive=0)
        self.case(110, self.gone("x:latest"))
        r = self.post("/api/create", {"model": "y", "files": {"a.gguf": digest}})
        said = [line.get("status") for line in r.lines]
        self.case(112, "parsing GGUF" in said and "writing manifest" in said and said[-1] == "success", said)
        self.create_refusals(digest)
        self.create_inheritance()
        self.name_cases()
        self.blob_cases(tiny)

    def create_refusals(self, digest):
        for fields, text in (({}, "neither 'from' or 'files' was specified"), ({"files": {"a.gguf": ""}}, "invalid digest format"),
                             ({"files": {"/etc/x": digest}}, "file path must be relative")):
            r = self.create("z", **fields)
            self.case(113, (r.status, r.error) == (400, text), r)
        r = self.create("bad name!", **{"from": "x"})
        self.case(113, (r.status, r.error) == (400, "invalid model name"), r)
        for template in ("{{ .Prompt", "{{ if .Prompt }}", "{{ Prompt }}"):
            self.case(114, self.create("z", **{"from": "x"}, template=template).status == 400, template)
        for key, value in (("model_family", 1), ("context_length", 1.5)):
            r = self.create("z", **{"from": "x"}, info={key: value})
            self.case(115, r.status == 400 and key in r.error, r)

    def create_inheritance(self):
        self.create("base", **{"from": "x"}, parameters={"seed": 1, "top_k": 5, "stop": ["a", "b"]}, license=["One.", "Two."],
                    messages=[{"role": "user", "content": "old"}])
        self.create("over", **{"from": "base"}, parameters={"seed": 2, "stop": ["c"]}, messages=[{"role": "user", "content": "new"}])
        shown = self.show("over").json
        lines = {tuple(line.split()) for line in shown["parameters"].splitlines()}
        self.case(116, lines == {("seed", "2"), ("top_k", "5"), ("stop", '"c"')}, lines)
        self.case(116, "new" in shown["modelfile"] and "old" not in shown["modelfile"] and self.show("base").json["license"] == "One.\nTwo.",
                  shown)
        folder = os.path.join(self.server.models, "blobs")
        self.create("t", **{"from": "x"}, template="first {{ .Prompt }}")
        before = set(os.listdir(folder))
        self.create("t", **{"from": "x"}, template="second {{ .Prompt }}")
        after = set(os.listdir(folder))
        texts = [open(os.path.join(folder, n), "rb").read(40) for n in after if os.path.getsize(os.path.join(folder, n)) < 100]
        self.case(117, b"first {{ .Prompt }}" not in texts and b"second {{ .Prompt }}" in texts and len(before & after) >= 2, texts)

    def name_cases(self):
        r = self.post("/api/copy", {"source": "x", "destination": "c1"})
        self.case(118, (r.status, r.data) == (200, b"") and self.show("c1").status == 200, r)
        r = self.post("/api/copy", {"source": "none", "destination": "c2"})
        self.case(118, (r.status, r.error) == (404, 'model "none" not found'), r)
        r = self.post("/api/copy", {"source": "a//b", "destination": "c2"})
        self.case(118, (r.status, r.error) == (400, 'source "a//b" is invalid'), r)
        r = self.call("DELETE", "/api/delete", {"model": "c1"})
        self.case(119, (r.status, r.data) == (200, b""), r)
        r = self.call("DELETE", "/api/delete", {"model": "c1"})
        self.case(119, (r.status, r.error) == (404, "model 'c1' not found") and self.show("x").status == 200, r)
        self.case(119, not os.path.exists(os.path.join(self.server.models, "manifests/registry.ollama.ai/library/c1")))
        self.create("Foo", **{"from": "x"})
        for spelling in ("foo", "FOO", "fOO"):
            self.case(120, self.show(spelling).status == 200, spelling)
        self.create("fOO", **{"from": "x"}, system="s")
        n = sum(m["name"].lower() == "foo:latest" for m in self.call("GET", "/api/tags").json["models"])
        self.case(120, n == 1 and self.call("DELETE", "/api/delete", {"model": "FoO"}).status == 200, n)

    def blob_cases(self, tiny):
        import hashlib
        data = b"some bytes " + str(time.time()).encode()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        statuses = [self.call("HEAD", f"/api/blobs/{digest}").status, self.post(f"/api/blobs/{digest}", data).status,
                    self.post(f"/api/blobs/{digest}", data).status, self.call("HEAD", f"/api/blobs/{digest}").status]
        self.case(121, statuses == [404, 201, 200, 200], statuses)
        wrong = "sha256:" + "1" * 64
        r = self.post(f"/api/blobs/{wrong}", b"x")
        self.case(121, r.status == 400 and r.error == f'digest mismatch, expected "{wrong}", got "sha256:{hashlib.sha256(b"x").hexdigest()}"', r)
        self.case(121, self.call("HEAD", "/api/blobs/abc").status == 400)
        nowhere = f"localhost:{free_port()}/a/b:c"
        r = self.post("/api/pull", {"model": nowhere, "insecure": True})
        self.case(122, r.status == 200 and r.lines[0]["status"] == "pulling manifest" and r.lines[-1]["error"].startswith("pull model manifest:"), r)
        self.case(122, self.post("/api/pull", {"model": nowhere, "insecure": True, "stream": False}).status == 500)
        r = self.post("/api/push", {})
        self.case(124, (r.status, r.error) == (400, "model is required"), r)

    # ---- 8.6 ----

    def openai_cases(self):
        few = {"max_tokens": 5}
        r = self.post("/v1/chat/completions", b"")
        self.case(125, r.status == 400 and r.json["error"]["type"] == "invalid_request_error", r)
        r = self.v1(messages=[])
        self.case(125, (r.status, r.error) == (400, "[] is too short - 'messages'"), r)
        error = self.v1(model="none").json["error"]
        self.case(126, (error["type"], error["param"], error["code"]) == ("not_found_error", None, None), error)
        r = self.v1(content="Say hello.", max_tokens=400)
        use = r.json["usage"]
        self.case(127, (r.json["object"], r.json["system_fingerprint"], use["total_tokens"]) ==
                  ("chat.completion", "fp_ollama", use["prompt_tokens"] + use["completion_tokens"]) and
                  r.json["choices"][0]["finish_reason"] in ("stop", "length") and r.headers["Content-Type"].startswith("application/json"), r)
        r = self.v1(content=STORY, **few)
        self.case(128, (r.json["choices"][0]["finish_reason"], r.json["usage"]["completion_tokens"]) == ("length", 5), r)
        events = self.v1(content=STORY, stream=True, **few).events
        deltas = [e["choices"][0]["delta"] for e in events[:-1]]
        self.case(129, "role" in deltas[0] and not any("role" in d and d["role"] != "assistant" for d in deltas) and deltas[-1] == {} and
                  events[-1] == "[DONE]" and len({e["created"] for e in events[:-1]}) == 1, events)
        events = self.v1(content=STORY, stream=True, stream_options={"include_usage": True}, **few).events
        self.case(130, events[-2]["choices"] == [] and events[-2]["usage"] and not any(e.get("usage") for e in events[:-2]), events)
        events = self.v1(content=STORY, stream=True, stop=["O", "o", "a", "e", "i", "T", "t", "I", "A"], max_tokens=5).events
        self.case(131, events[0]["choices"][0]["delta"].get("role") == "assistant" and events[-1] == "[DONE]", events)
        for content, kind in ((5, "invalid message content type: float64"), (None, "<nil>")):
            r = self.v1(messages=[{"role": "user", "content": content}])
            self.case(134, r.status == 400 and kind in r.error, r)
        for address, text in (("http://x/y.png", "image URLs are not currently supported, please use base64 encoded data instead"),
                              ("data:image/gif;base64,AAAA", "invalid image input")):
            r = self.v1(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": address}}]}])
            self.case(135, (r.status, r.error) == (400, text), r)
        self.case(136, self.v1(reasoning_effort="extreme").status == 400)
        self.case(136, self.v1(reasoning_effort="none", **few).status == 200)
        r = self.v1(reasoning_effort="low")
        self.case(136, (r.status, r.error) == (400, '"m" does not support thinking'), r)
        for effort in ("minimal", "xhigh"):
            self.case(136, self.v1(model="th", reasoning_effort=effort, **few).status == 200, effort)
        r = self.v1(content="Ann is 7.", response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}, max_tokens=100)
        self.case(137, isinstance(json.loads(r.json["choices"][0]["message"]["content"])["age"], int), r)
        r = self.v1(content="JSON please.", response_format={"type": "json_object"}, max_tokens=200)
        self.case(137, r.json["choices"][0]["finish_reason"] == "length" or json.loads(r.json["choices"][0]["message"]["content"]) is not None, r)
        call = {"role": "assistant", "content": "", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{"}}]}
        r = self.v1(model="tl", messages=[{"role": "user", "content": "x"}, call])
        self.case(138, (r.status, r.error) == (400, "invalid tool call arguments"), r)
        r = self.v1("completions", prompt="a", stop=[1, 2])
        self.case(139, (r.status, r.error) == (400, "invalid type for 'stop' field: float64"), r)
        r = self.v1("completions", prompt="Once", **few)
        self.case(139, r.json["object"] == "text_completion" and "text" in r.json["choices"][0], r)
        events = self.v1("completions", prompt="Once", stream=True, stream_options={"include_usage": True}, **few).events
        self.case(140, events[-1] == "[DONE]" and events[-2]["usage"]["total_tokens"] > 0 and
                  not any((e.get("usage") or {}).get("total_tokens") for e in events[:-2]), events)
        self.openai_rest()

    def openai_rest(self):
        r = self.v1("embeddings", model="emb")
        self.case(141, (r.status, r.error) == (400, "invalid input"), r)
        r = self.v1("embeddings", model="emb", input="x", encoding_format="hex")
        self.case(141, r.status == 400 and "encoding_format" in r.error, r)
        r = self.v1("embeddings", model="emb", input="x", encoding_format="BASE64")
        self.case(141, len(base64.b64decode(r.json["data"][0]["embedding"])) == 4 * 384, r)
        owners = {m["id"]: m["owned_by"] for m in self.call("GET", "/v1/models").json["data"]}
        self.case(142, owners["m:latest"] == "library", owners)
        self.case(142, self.call("GET", "/v1/models/m").json["id"] == "m")
        r = self.call("GET", "/v1/models/none")
        self.case(142, r.status == 404 and r.error, r)
        r = self.v1("responses", input="hi", max_output_tokens=100)
        self.case(143, r.json["status"] in ("completed", "incomplete") and r.json["output"][0]["type"] == "message" and r.json["usage"], r)
        self.case(143, self.v1("responses", input=123).status == 400)
        r = self.v1("responses", input=[{"type": "odd"}])
        self.case(143, r.status == 400 and "input[0]" in r.error, r)
        events = self.v1("responses", input="Say hello.", stream=True, max_output_tokens=40).events
        kinds = [e["type"].removeprefix("response.") for e in events]
        want = ["created", "in_progress", "output_item.added", "content_part.added", "output_text.delta"]
        end = ["output_text.done", "content_part.done", "output_item.done", "completed"]
        self.case(144, kinds[:5] == want and kinds[-4:-1] == end[:3] and kinds[-1] in ("completed", "incomplete") and [e["sequence_number"] for e in events] == list(range(len(events))), kinds)
        # One frame of the format (RFC 8878) with one raw block.
        body = json.dumps({"model": "m", "input": "hi", "max_output_tokens": 2}).encode()
        frame = bytes.fromhex("28b52ffd20") + bytes([len(body)]) + (len(body) << 3 | 1).to_bytes(3, "little") + body
        r = self.post("/v1/responses", frame, Content_Encoding="zstd")
        self.case(146, r.status == 200 and r.json["model"] == "m", r)
        space = [b"\x02\x00\x10 "] * 161  # 128 KiB of spaces each
        bomb = bytes.fromhex("28b52ffd0050") + b"".join(space[:-1]) + b"\x03\x00\x10 "
        r = self.post("/v1/responses", bomb, Content_Encoding="zstd")
        self.case(146, r.status == 400 and "20 MiB" in r.error, r)

    # ---- 8.7 ----

    def messages(self, **fields):
        return self.post("/v1/messages", {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": STORY}], **fields})

    def anthropic_cases(self):
        for without in ("model", "max_tokens", "messages"):
            body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
            del body[without]
            r = self.post("/v1/messages", body)
            self.case(147, r.status == 400 and r.json["type"] == "error" and without in r.error and r.json["request_id"], r)
        r = self.messages(model="none")
        self.case(148, (r.status, r.json["error"]["type"]) == (404, "not_found_error"), r)
        r = self.messages(max_tokens=400, messages=[{"role": "user", "content": "What is the capital of France?"}])
        self.case(149, r.json["type"] == "message" and r.json["content"][0]["text"] and r.json["stop_reason"] == "end_turn" and
                  r.json["usage"]["output_tokens"] > 0, r)
        self.case(149, self.messages(max_tokens=3).json["stop_reason"] == "max_tokens")
        r = self.messages(stream=True)
        kinds = [e["type"] for e in r.events]
        self.case(150, kinds[:2] == ["message_start", "content_block_start"] and kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
                  and r.headers["Content-Type"] == "text/event-stream" and r.headers["Cache-Control"] == "no-cache", kinds)
        self.case(152, self.messages(thinking={"type": "enabled", "budget_tokens": 1024}).status == 200)
        blocks = [{"type": "tool_result", "tool_use_id": "a", "content": "warm"}, {"type": "text", "text": "and?"}]
        use = {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]}
        r = self.messages(model="tl", messages=[{"role": "user", "content": "x"}, use, {"role": "user", "content": blocks}])
        self.case(153, r.status == 200, r)
        r = self.messages(messages=[{"role": "assistant", "content": [{"type": "tool_use", "name": "f", "input": {}}]}])
        self.case(154, r.status == 400 and "tool_use block missing required 'id' field" in r.error, r)
        r = self.messages(messages=[{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "http://x"}}]}])
        self.case(154, r.status == 400, r)
        self.case(155, self.post("/v1/messages/count_tokens", {}).status == 404)


def main():
    oll, shared = sys.argv[1:]
    shared = os.path.join(os.path.abspath(shared), "data", "ollama")
    models = os.environ.get("OLL_TEST_MODELS")
    if not os.path.isdir(shared) or not models or not os.path.exists(os.path.join(models, "SmolLM2-135M-Instruct.Q4_1.gguf")):
        skip("shared data or the real models (OLL_TEST_MODELS) are absent")
    with tempfile.TemporaryDirectory() as folder:
        store = os.path.join(folder, "models")
        os.makedirs(store)
        options = sources(models, folder, shared)
        with Server(oll, store) as server:
            made = subprocess.run([sys.executable, os.path.join(shared, "replay.py"), *options, "--fixtures", "fixtures.json", server.url],
                                  capture_output=True, text=True, cwd=shared, timeout=600, check=False)
            if made.returncode != 0:
                print(made.stdout[-2000:], made.stderr[-2000:])
            cases = Cases(server)
            for part in (cases.server_cases, cases.generate_cases, cases.chat_cases, cases.embedding_cases):
                part()
            with open(os.path.join(folder, "tiny.gguf"), "rb") as f:
                cases.management_cases(f.read())
            cases.openai_cases()
            cases.anthropic_cases()
        cases.other_servers(oll, store)
    missing = [n for n in range(1, 156) if n not in cases.done and n not in ELSEWHERE]
    print(f"{len(cases.done)} cases here, {len(ELSEWHERE)} elsewhere, {sum(not ok for ok in cases.done.values())} not met, missing: {missing}")
    return 1 if cases.n_failed or missing else 0


if __name__ == "__main__":
    sys.exit(main())
