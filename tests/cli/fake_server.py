"""A server that speaks as much of the API as the command line needs, and keeps what it was asked."""

import contextlib
import http.server
import json
import threading
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, status, body, kind="application/json"):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_HEAD(self):
        self.reply(200, b"")

    def do_GET(self):
        self.reply(200, {"models": self.server.listed, "version": "9.9.9"})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        self.server.requests.append((self.path, body))
        if self.path == "/api/show":
            self.show(body)
        elif self.path in ("/api/generate", "/api/chat"):
            self.stream(body)
        elif self.path == "/api/pull":
            self.pull()
        else:
            self.reply(200, {"status": "success"})

    def show(self, body):
        capabilities = self.server.models.get(body["model"])
        if capabilities is None:
            self.reply(404, {"error": f"model '{body['model']}' not found"})
        else:
            self.reply(200, {"capabilities": capabilities, "details": {"parent_model": ""}, "model_info": {}})

    def begin_lines(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def pull(self):
        """Lines of progress, after each of which the server waits for a moment."""
        self.begin_lines()
        with contextlib.suppress(OSError):
            for line in [*self.server.pulled, {"status": "success"}]:
                self.wfile.write(json.dumps(line).encode() + b"\n")
                self.wfile.flush()
                time.sleep(self.server.pause)

    def stream(self, body):
        """Words of the server's answer, one a line; "slow" ones with a pause between."""
        if self.path == "/api/generate" and not body.get("prompt"):
            self.reply(200, {"model": body["model"], "done": True, "done_reason": "load"})
            return
        text = body.get("prompt") or body["messages"][-1]["content"]
        if "fail" in text:
            self.reply(500, {"error": self.server.broken})
            return
        self.begin_lines()
        pause = 0.1 if "slow" in text else 0
        with contextlib.suppress(OSError):
            for word in self.server.answer:
                piece = {"response": word} if self.path == "/api/generate" else {"message": {"role": "assistant", **word}
                                                                                 if isinstance(word, dict) else
                                                                                 {"role": "assistant", "content": word}}
                if self.path == "/api/generate" and isinstance(word, dict):
                    piece = {"response": word.get("content", ""), "thinking": word.get("thinking", "")}
                self.wfile.write(json.dumps({**piece, "done": False}).encode() + b"\n")
                self.wfile.flush()
                time.sleep(pause)
            self.wfile.write(json.dumps({"done": True, "eval_count": 3, "eval_duration": 1500000000}).encode() + b"\n")
            self.server.finished += 1


class FakeServer(http.server.ThreadingHTTPServer):
    """Use as a context. `models`: name to capabilities; `answer`: pieces, texts or {"thinking": ...}; `pulled`: lines of
    a pull, with a `pause` in seconds behind each."""

    daemon_threads = True

    def __init__(self, models):
        super().__init__(("127.0.0.1", 0), Handler)
        self.models, self.answer, self.requests, self.finished = models, ["one ", "two ", "three"], [], 0
        self.broken = "the model broke"
        self.listed, self.pulled, self.pause = [], [], 0
        self.address = f"127.0.0.1:{self.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.shutdown()
        self.server_close()

    def last(self, path):
        """Body of the last request of a path."""
        return next((body for p, body in reversed(self.requests) if p == path), None)
