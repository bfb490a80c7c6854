"""Processes of loaded models: what becomes of requests when they are killed, stopped or starved.

    test_runner_process.py OLL SHARED

Time-outs are shortened by OLL_RUNNER_TIMEOUT: a stop of a fifth of it goes on, a longer one is ended and told.
"""

import contextlib
import functools
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time

from runner_tools import (children, open_files, runners, send, status_value, stat_fields, stop_and_go, wait_for)
from served import Checks, Server, skip

REAL_MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
SILENCE_S = 2
STOPPED = "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error"
ASK = {"model": "tiny", "prompt": "Once", "raw": True, "stream": False, "options": {"num_predict": 8, "seed": 1}}


@functools.lru_cache(maxsize=None)
def is_sanitized(oll):
    """Sanitizers answer signals, and need memory, in ways of their own."""
    with open(oll, "rb") as f:
        data = f.read()
    return b"__asan_init" in data or b"__tsan_init" in data


class Asked:
    """A request on a thread of its own."""

    def __init__(self, server, body=None, path="/api/generate"):
        self.status, self.reply = None, None
        self.thread = threading.Thread(target=self.run, args=(server, body or ASK, path))
        self.thread.start()

    def run(self, server, body, path):
        self.status, data = server.call("POST", path, body)
        lines = [json.loads(line) for line in data.splitlines() if line.strip()]
        self.reply = lines[-1] if lines else {}

    def wait(self):
        self.thread.join(60)
        return self


def only_runner(server):
    found = runners(server.process.pid)
    return found[0] if len(found) == 1 else None


def load(checks, server):
    checks.equal(server.post("/api/generate", ASK)[0], 200, "a model is loaded and answers")
    return only_runner(server)


def check_process(checks, server, oll_sandbox):
    pid = load(checks, server)
    checks.true(pid, "one runner for one model")
    with open(f"/proc/{pid}/oom_score_adj", encoding="utf-8") as f:
        checks.equal(f.read().strip(), "500", "the kernel takes a runner before the server")
    checks.equal(status_value(pid, "Seccomp"), 2 if oll_sandbox else 0, "rights are given up")
    files = open_files(pid)
    checks.true(all(f.startswith(("/dev/null", "pipe:", "socket:")) for f in files), f"open files: {files}")
    checks.equal(len(files), 4, "descriptors of a runner")
    with open(f"/proc/{pid}/cmdline", "rb") as f:
        checks.equal(f.read(), b"oll\0runner\0", "command line of a runner")


def check_kills(checks, server):
    for sig, reason in ((signal.SIGKILL, "killed by SIGKILL"), (signal.SIGSEGV, "killed by SIGSEGV"),
                        (signal.SIGBUS, "killed by SIGBUS")):
        pid = load(checks, server)
        send(pid, signal.SIGSTOP)  # so that the requests are under way when it dies
        asked = [Asked(server) for _ in range(3)]
        time.sleep(0.2)
        send(pid, sig)
        send(pid, signal.SIGCONT)
        begin = time.monotonic()
        for a in asked:
            a.wait()
            # Who was not taken yet is helped by the next runner, the others are told.
            told = a.status == 500 and a.reply["error"].startswith(STOPPED) and (
                reason in a.reply["error"] or is_sanitized(server.oll))
            checks.true(a.status == 200 or told, f"{sig.name}: told or helped: {a.status} {a.reply}")
        checks.true(time.monotonic() - begin < 2, f"{sig.name}: told at once")
        checks.true(wait_for(lambda dead=pid: stat_fields(dead) is None, 10), f"{sig.name}: it is gone")
        checks.equal(server.post("/api/generate", ASK)[0], 200, f"{sig.name}: the next request loads again")
        checks.true(only_runner(server) not in (None, pid), f"{sig.name}: another process")
    checks.true("(process" in server.read_log(), "the log names it")


def check_idle_death(checks, server):
    pid = load(checks, server)
    send(pid, signal.SIGKILL)
    checks.true(wait_for(lambda: json.loads(server.call("GET", "/api/ps")[1])["models"] == [], 5),
                "a dead runner is not listed")
    checks.equal(children(server.process.pid), {}, "no zombie")
    checks.equal(server.post("/api/generate", ASK)[0], 200, "who asks next gets another one")


def check_stops(checks, server):
    pid = load(checks, server)
    going = threading.Thread(target=stop_and_go, args=(pid, SILENCE_S / 5))
    going.start()
    asked = Asked(server).wait()
    going.join()
    checks.equal(asked.status, 200, "a short stop goes on")
    checks.equal(only_runner(server), pid, "in the same process")
    send(pid, signal.SIGSTOP)
    begin = time.monotonic()
    asked = Asked(server).wait()
    checks.true(asked.status == 200 or f"made no progress for {SILENCE_S} s" in asked.reply.get("error", ""),
                f"a long stop is ended and told: {asked.status} {asked.reply}")
    checks.true(SILENCE_S - 0.5 < time.monotonic() - begin < SILENCE_S + 3, "after the time-out")
    checks.equal(stat_fields(pid), None, "the stopped process is gone")
    checks.equal(server.post("/api/generate", ASK)[0], 200, "the next request loads again")


def check_loop(checks, server):
    """A model that dies again and again without an answer."""
    replies = []
    for _ in range(8):
        status, reply = server.post("/api/generate", {"model": "tiny", "stream": False})
        replies.append((status, (reply or {}).get("error", "")))
        if status != 200:
            break
        send(only_runner(server), signal.SIGKILL)
        wait_for(lambda: not children(server.process.pid), 5)
    checks.true(len(replies) == 3 and replies[-1][0] == 503 and "died 2 times in a row" in replies[-1][1],
                f"a pause after two deaths: {replies}")
    time.sleep(1.1)
    checks.equal(server.post("/api/generate", ASK)[0], 200, "and then another try")


def catch_planner(server, number, sig):
    """Sends a signal to the first process that a request for a new window starts: it plans, or is quicker than this test
    and another one loads. The request, and the process."""
    asked = Asked(server, {**ASK, "options": {"num_predict": 1, "num_ctx": number}})
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and not asked.status:
        for pid in runners(server.process.pid):
            send(pid, sig)
            return asked, pid
    return asked, None


def check_planners(checks, server):
    """The process that reads a new model first dies, or hangs: the server and other models go on."""
    server.post("/api/generate", {"model": "tiny", "keep_alive": 0, "stream": False})
    wait_for(lambda: not children(server.process.pid), 5)
    asked, pid = catch_planner(server, 100, signal.SIGKILL)
    asked.wait()
    told = asked.status == 500 and asked.reply["error"].startswith(STOPPED) and "SIGKILL" in asked.reply["error"]
    checks.true(pid and (asked.status == 200 or told), f"a planner that died is told: {asked.status} {asked.reply}")
    server.post("/api/generate", {"model": "tiny", "keep_alive": 0, "stream": False})
    wait_for(lambda: not children(server.process.pid), 5)
    asked, pid = catch_planner(server, 101, signal.SIGSTOP)
    begin = time.monotonic()
    checks.equal(server.call("GET", "/api/version")[0], 200, "a planner that hangs holds nobody up")
    checks.true(time.monotonic() - begin < 1, "and it is answered at once")
    asked.wait()
    told = asked.status == 500 and ("timed out waiting for tiny" in asked.reply["error"] or
                                    asked.reply["error"].startswith(STOPPED))
    checks.true(pid and told, f"a planner that hangs is ended and told: {asked.status} {asked.reply}")
    checks.equal(stat_fields(pid), None, "and gone")
    time.sleep(1.1)  # the pause behind two deaths
    checks.equal(server.post("/api/generate", ASK)[0], 200, "the next request loads")


def check_nothing_left(checks, server):
    load(checks, server)
    before = len(open_files(server.process.pid))
    for _ in range(10):
        pid = load(checks, server)
        send(pid, signal.SIGKILL)
        wait_for(lambda: not runners(server.process.pid), 5)
    load(checks, server)
    wait_for(lambda: len(open_files(server.process.pid)) <= before, 15)
    checks.true(len(open_files(server.process.pid)) <= before, "descriptors return")
    checks.true("Z" not in children(server.process.pid).values(), "no zombies")


def check_orphans(checks, server):
    pid = load(checks, server)
    server.process.kill()
    server.process.wait()
    checks.true(wait_for(lambda: stat_fields(pid) is None, 5), "a runner ends with its server")


def check_starved(checks, oll, folder, model):
    """Limits of memory that leave room for the server, and less and less for the model."""
    n_refused = 0
    for mib in range(64, 12, -4):
        limit = mib << 20
        server = Server(oll, folder, "--model", f"tiny={model}", OLLAMA_NUM_PARALLEL="250")
        server.start_options = {"preexec_fn": lambda n=limit: resource.setrlimit(resource.RLIMIT_DATA, (n, n))}
        with server:
            status, reply = server.post("/api/generate", ASK)
            text = (reply or {}).get("error", "")
            stated = status == 500 and any(word in text for word in ("memory", "thread", STOPPED))
            checks.true(status == 200 or stated, f"{mib} MiB: {status} {text}")
            checks.equal(server.call("GET", "/api/version")[0], 200, f"{mib} MiB: the server lives")
            n_refused += status != 200
    checks.true(n_refused > 3, f"{n_refused} limits were too small")


@contextlib.contextmanager
def memory_group(limit):
    """A cgroup with a limit of memory (version 1), or None where there is none to be had."""
    path = f"/sys/fs/cgroup/memory/oll-test-{os.getpid()}"
    try:
        os.mkdir(path)
    except OSError:
        yield None
        return
    try:
        with open(os.path.join(path, "memory.limit_in_bytes"), "w", encoding="utf-8") as f:
            f.write(str(limit))
        yield path
    finally:
        wait_for(lambda: not open(os.path.join(path, "tasks"), encoding="utf-8").read(), 10)
        os.rmdir(path)


def check_out_of_memory(checks, oll, folder):
    """The kernel ends a runner for want of memory: it is the runner, it is told, and the server lives."""
    model = os.path.join(os.environ.get("OLL_TEST_MODELS", ""), REAL_MODEL)
    with memory_group(500 << 20) as group:
        if not group or not os.path.exists(model):
            print("not tried: a runner that the kernel ends for want of memory "
                  "(needs OLL_TEST_MODELS and a cgroup that can be made)")
            return

        def join():
            with open(os.path.join(group, "tasks"), "w", encoding="utf-8") as f:
                f.write(str(os.getpid()))

        server = Server(oll, folder, "--model", f"tiny={model}")
        server.start_options = {"preexec_fn": join}
        with server:
            # What does not fit is refused before it is loaded; so the limit falls behind the load, and a long prompt
            # then touches cache that was planned for.
            window = {"num_ctx": 8192, "num_predict": 1}
            checks.equal(server.post("/api/generate", {"model": "tiny", "options": window})[0], 200, "out of memory: loads")
            with open(os.path.join(group, "memory.limit_in_bytes"), "w", encoding="utf-8") as f:
                f.write(str(180 << 20))
            status, reply = server.post("/api/generate", {**ASK, "prompt": "word " * 7000, "options": window})
            checks.true(status == 500 and "memory ran out" in (reply or {}).get("error", ""),
                        f"out of memory: {status} {reply}")
            status, reply = server.post("/api/generate", {**ASK, "options": window})
            checks.true(status == 500 and "requires more system memory" in (reply or {}).get("error", ""),
                        f"out of memory: and is not tried again: {status} {reply}")
            checks.equal(server.call("GET", "/api/version")[0], 200, "out of memory: the server lives")


def check_commands(checks, oll):
    run = subprocess.run([oll, "runner"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    checks.equal((run.returncode, run.stderr),
                 (1, "Error: this command is started by the server, with a socket\n"), "oll runner by hand")
    run = subprocess.run([oll, "--help"], capture_output=True, text=True, check=False)
    checks.true("runner " not in run.stdout.replace("model runner", ""), "it is not among the commands")


def main():
    oll, shared = sys.argv[1:3]
    model = os.path.join(shared, "data", "golden", "llama.gguf")
    if not os.path.exists(model):
        skip(f"{model} is absent")
    checks = Checks()
    check_commands(checks, oll)
    with tempfile.TemporaryDirectory() as root:
        folder = os.path.join(root, "models")
        os.mkdir(folder)
        offer = ("--model", f"tiny={model}")
        for sandbox in ("0",) if is_sanitized(oll) else ("1", "0"):
            with Server(oll, folder, *offer, OLL_SANDBOX=sandbox) as server:
                check_process(checks, server, sandbox == "1")
        with Server(oll, folder, *offer, OLL_RUNNER_TIMEOUT=f"{SILENCE_S}s", OLLAMA_LOAD_TIMEOUT=f"{SILENCE_S}s") as server:
            server.may_crash = True
            check_kills(checks, server)
            check_idle_death(checks, server)
            check_stops(checks, server)
            check_planners(checks, server)
            check_nothing_left(checks, server)
        with Server(oll, folder, *offer) as server:
            check_loop(checks, server)
        if not is_sanitized(oll):
            check_starved(checks, oll, folder, model)
            check_out_of_memory(checks, oll, folder)
        with Server(oll, folder, *offer, OLL_PREFIX_CACHE_DIR=os.path.join(root, "prefixes")) as server:
            checks.true(load(checks, server), "with a folder that stays in reach")
        with Server(oll, folder, *offer, OLL_RUNNERS="0") as server:
            checks.equal(server.post("/api/generate", ASK)[0], 200, "without runners")
            checks.equal(children(server.process.pid), {}, "there are none")
        server = Server(oll, folder, *offer)
        server.__enter__()
        check_orphans(checks, server)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
