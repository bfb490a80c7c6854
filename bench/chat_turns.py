#!/usr/bin/env python3
"""First token of a chat's second turn, and gaps of a reply beside a long prompt, over the OpenAI API of a server.

  bench/chat_turns.py --oll build/oll --model FILE [--peer LLAMA_SERVER] [--words 3100] [--rounds 3] [--gaps] [--restart]

Starts `oll serve`, and with --peer llama.cpp's server, by turns on the same file with 2 threads, and asks each for
a chat with a long first message (new in every round) and then for the next turn. --gaps: a reply of 200 tokens alone, and
beside such a prompt of another client. --restart: the next turn after a restart of oll, from OLL_PREFIX_CACHE_DIR."""
import argparse
import contextlib
import http.client
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time

ENDS = {"0": -100, "1": -100, "2": -100, "106": -100}  # tokens that end replies of SmolLM2 and Gemma 3
WORDS = "time year people way day man thing woman life child world school state family student group country problem".split()


def free_port():
    with contextlib.closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Served:
    """A server that answers /v1/chat/completions."""

    def __init__(self, argv, env, port):
        self.argv, self.env, self.port = argv, {**os.environ, **env}, port

    def __enter__(self):
        self.process = subprocess.Popen(self.argv, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(1200):
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return self
            time.sleep(0.05)
        raise RuntimeError("the server does not start")

    def __exit__(self, kind, value, traceback):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)

    def tokens(self, messages, n):
        """Times of the pieces of a reply, in seconds behind the request."""
        body = {"model": "m", "messages": messages, "max_tokens": n, "stream": True, "temperature": 0.8, "seed": 1, "logit_bias": ENDS,
                "cache_prompt": True}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        begin, times = time.perf_counter(), []
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        for line in connection.getresponse():
            if line.startswith(b"data: {"):
                choice = (json.loads(line[6:]).get("choices") or [{}])[0]
                if choice.get("delta", {}).get("content") or choice.get("finish_reason") and not times:
                    times.append(time.perf_counter() - begin)
        connection.close()
        return times


def oll(args, folder, **env):
    port = free_port()
    return Served([args.oll, "serve", "--model", f"m={args.model}"],
                  {"OLLAMA_HOST": f"127.0.0.1:{port}", "OLLAMA_MODELS": folder, "OLLAMA_CONTEXT_LENGTH": "6144",
                   "OLLAMA_NUM_PARALLEL": "2", **env}, port)


def peer(args):
    port = free_port()
    return Served([args.peer, "-m", args.model, "-c", "12288", "-np", "2", "-t", "2", "-tb", "2", "--port", str(port)], {}, port)


def history(args, seed):
    return [{"role": "user", "content": " ".join(random.Random(seed).choices(WORDS, k=args.words)) + " Tell me a story."}]


def next_turn(messages):
    return messages + [{"role": "assistant", "content": "Once upon a time."}, {"role": "user", "content": "Go on."}]


def turns(server, args, seed):
    first = history(args, seed)
    return server.tokens(first, 4)[0], server.tokens(next_turn(first), 4)[0]


def gaps(server, args, seed):
    def p95(times):
        steps = sorted(b - a for a, b in zip(times, times[1:]))
        return steps[int(0.95 * (len(steps) - 1))]

    short = [{"role": "user", "content": f"{seed}: count from one to five hundred, one number per line."}]
    alone = server.tokens(short, 100)
    started, done = time.perf_counter(), []
    beside = threading.Thread(target=lambda: done.append(server.tokens(history(args, seed), 1)[0]))
    reply = []
    reader = threading.Thread(target=lambda: reply.extend(server.tokens(short, 500)))
    reader.start()
    time.sleep(0.3)
    offset = time.perf_counter() - started
    beside.start()
    beside.join()
    reader.join()
    return p95(alone), p95([t for t in reply if offset <= t <= offset + done[0]]), done[0]


def show(what, values):
    print(f"{what}: median {statistics.median(values) * 1e3:.1f} ms ({min(values) * 1e3:.1f} to {max(values) * 1e3:.1f})", flush=True)


def main():
    parser = argparse.ArgumentParser()
    for name in ("--oll", "--model", "--peer"):
        parser.add_argument(name)
    parser.add_argument("--words", type=int, default=3100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gaps", action="store_true")
    parser.add_argument("--restart", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        kept = {"OLL_PREFIX_CACHE_DIR": os.path.join(folder, "prefixes")} if args.restart else {}
        servers = {"oll": stack.enter_context(oll(args, folder, **kept))}
        if args.peer:
            servers["peer"] = stack.enter_context(peer(args))
        for server in servers.values():
            server.tokens([{"role": "user", "content": "Hello"}], 4)
        results = {name: [] for name in servers}
        for i in range(args.rounds):
            for name, server in servers.items():
                results[name].append((gaps if args.gaps else turns)(server, args, f"{i}"))
                if args.restart:
                    time.sleep(2)  # people pause: pages of sliding windows are kept in idle moments alone
        names = ("gap alone, p95", "gap beside a prompt, p95", "that prompt") if args.gaps else ("first turn", "second turn")
        for name, rows in results.items():
            for k, what in enumerate(names):
                show(f"{name}: {what}", [row[k] for row in rows])
        if args.restart:
            stack.close()
            again = []
            for i in range(args.rounds):
                with oll(args, folder, **kept) as server:
                    server.tokens([{"role": "user", "content": "Hello"}], 4)
                    again.append(server.tokens(next_turn(history(args, f"{i}")), 4)[0])
            show("oll: second turn after a restart", again)


if __name__ == "__main__":
    main()
