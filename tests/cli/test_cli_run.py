"""`oll run` from outside: what it asks a server, its chat under a pseudo terminal, and its own server.

    test_cli_run.py OLL SHARED
"""

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "api"))

from fake_server import FakeServer  # noqa: E402
from screen import Terminal  # noqa: E402
from served import Checks, skip  # noqa: E402

PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)
HINT = r"\x1b\[38;5;245m%s\x1b\[%dD\x1b\[0m"
LONG_TEXT = '{"type": "string", "minLength": 5000}'  # an answer that does not end by itself soon
PROMPT = r">>> (\x1b\[K)?" + HINT % (r"Send a message \(/\? for help\)", 28) + "$"
BLOCK = r"\.\.\. (\x1b\[K)?" + HINT % ('End with """', 12) + "$"
ADDED = HINT % ("Press Enter to send", 19) + "$"


class Case:
    def __init__(self, oll, folder, checks):
        self.oll, self.folder, self.checks = oll, folder, checks
        self.home = os.path.join(folder, "user")
        self.temporary = os.path.join(folder, "temporary")
        os.mkdir(self.home)
        os.mkdir(self.temporary)

    def env(self, **more):
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("OLLAMA_", "OLL_", "XDG_"))}
        return {**keep, "HOME": self.home, "TMPDIR": self.temporary, "LC_ALL": "C.UTF-8", **more}

    def run(self, *argv, stdin=None, **env):
        return subprocess.run([self.oll, *argv], env=self.env(**env), input=stdin or "", capture_output=True, text=True,
                              timeout=120, cwd=self.folder, check=False)

    def terminal(self, *argv, columns=80, **env):
        return Terminal([self.oll, *argv], self.env(**env), cwd=self.folder, columns=columns)

    def left_over(self):
        return os.listdir(self.temporary)


# ---- what is asked of a server ----

def check_requests(case):
    checks = case.checks
    with FakeServer({"m": ["completion"], "t": ["completion", "thinking"], "v": ["completion", "vision"]}) as server:
        host = {"OLLAMA_HOST": server.address}
        done = case.run("run", "m", "--format", '{"type":"object"}', "--keepalive", "1h30m", "--seed", "7", "--predict", "9",
                        "--temperature", "0.5", "two", "words", stdin="from a pipe", **host)
        checks.equal((done.returncode, done.stdout, done.stderr), (0, "one two three\n\n", ""), "an answer into a pipe")
        checks.equal(server.last("/api/generate"), {
            "model": "m", "prompt": "from a pipe two words", "format": {"type": "object"}, "keep_alive": "1h30m",
            "options": {"seed": 7, "temperature": 0.5, "num_predict": 9}}, "the request of all flags")
        case.run("run", "m", "--format", "json", "--verbose=false", "x", **host)
        checks.equal(server.last("/api/generate"), {"model": "m", "prompt": "x", "format": "json"}, "the format json")
        done = case.run("run", "m", "--format", "{oops", "x", **host)
        checks.true(done.returncode == 1 and done.stderr.startswith("Error: json: error calling MarshalJSON"), done.stderr)
        check_thinking(case, server, host)
        check_images(case, server, host)
        done = case.run("run", "m", "please fail", **host)
        checks.equal((done.returncode, done.stderr), (1, "Error: 500 Internal Server Error: the model broke\n"), "an error")
        done = case.run("--version", **host)
        checks.equal(done.stdout, "oll version is 9.9.9\nWarning: client version is 0.33.0\n", "another version")


def check_thinking(case, server, host):
    checks = case.checks
    for flag, value in (((), True), (("--think=false",), False), (("--think=high",), "high"), (("--think",), True)):
        case.run("run", "t", *flag, "x", **host)
        checks.equal(server.last("/api/generate").get("think"), value, f"think of {flag}")
    case.run("run", "m", "x", **host)
    checks.true("think" not in server.last("/api/generate"), "a model that cannot think is not asked to")
    words, server.answer = server.answer, [{"thinking": "hm "}, {"thinking": "so"}, {"content": "yes"}]
    done = case.run("run", "t", "x", **host)
    checks.equal(done.stdout, "Thinking...\nhm so\n...done thinking.\n\nyes\n\n", "thinking into a pipe")
    done = case.run("run", "t", "--hidethinking", "x", **host)
    checks.equal(done.stdout, "yes\n\n", "thinking that is hidden")
    server.answer = words


def check_images(case, server, host):
    checks = case.checks
    for name, data in (("a b.png", PNG), ("c.jpg", b"\xff\xd8\xff" + bytes(9)), ("no.png", b"text")):
        with open(os.path.join(case.folder, name), "wb") as f:
            f.write(data)
    done = case.run("run", "v", "what is ./a\\ b.png and './c.jpg' or ./none.png?", **host)
    body = server.last("/api/generate")
    checks.equal((done.stderr, body["prompt"], len(body.get("images", []))),
                 ("Added image './a b.png'\nAdded image './c.jpg'\n", "what is  and  or ./none.png?", 2), "images by path")
    done = case.run("run", "v", "see ./no.png", **host)
    checks.true(done.returncode == 1 and "Couldn't process file: \"invalid file type" in done.stderr, done.stderr)
    done = case.run("run", "m", "see ./c.jpg now", **host)
    checks.equal((done.returncode, done.stderr),
                 (1, "Error: \"m\" cannot see images: leave out './c.jpg', or choose a model with vision\n"), "no vision")
    done = case.run("run", "m", stdin="a text about ./c.jpg", **host)
    checks.equal(done.returncode, 0, "a piped text may name a picture")


# ---- the chat ----

EDITOR = """#!/bin/sh
printf '%s' "$(cat "$1")" | tr a-z A-Z >"$1.new" && mv "$1.new" "$1"
"""


def step(t, text, pattern=PROMPT, seconds=20):
    """Types, and returns what came until the pattern."""
    start = len(t.raw)
    t.send(text)
    found = t.wait_for(pattern, seconds, start)
    t.settle(0.1)
    return t.raw[start:] if found is not None else None


def check_chat(case):
    checks = case.checks
    with FakeServer({"m": ["completion"], "other": ["completion"]}) as server:
        editor = os.path.join(case.folder, "editor")
        with open(editor, "w", encoding="utf-8") as f:
            f.write(EDITOR)
        os.chmod(editor, 0o755)
        with case.terminal("run", "m", OLLAMA_HOST=server.address, OLLAMA_EDITOR=editor) as t:
            checks.true(t.wait_for(PROMPT), f"a prompt appears: {t.raw!r}")
            t.settle(0.1)
            step(t, "hello\r")
            checks.equal(server.last("/api/chat")["messages"], [{"role": "user", "content": "hello"}], "the first message")
            step(t, '"""first\r', BLOCK)
            step(t, " second\r", BLOCK)
            step(t, 'third"""\r')
            messages = server.last("/api/chat")["messages"]
            checks.equal([m["role"] for m in messages], ["user", "assistant", "user"], "the history is sent")
            checks.equal(messages[2]["content"], "first\n second\nthird", "a block of lines")
            step(t, '"""lost\r', BLOCK)
            n = len(server.requests)
            step(t, "\x03")
            step(t, "kept\r")
            checks.equal((len(server.requests) - n, server.last("/api/chat")["messages"][-1]["content"]), (1, "kept"),
                         "Ctrl-C leaves a block")
            check_editing(case, t, server)
            check_interrupt(case, t, server)
            check_typed_ahead(case, t, server)
            check_commands(case, t, server)
            t.send("\x04")
            checks.equal(t.finish(), 0, "Ctrl-D leaves")
            checks.true("\x1b[?2004h" in t.raw and t.raw.rstrip().endswith("\x1b[?2004l"), "brackets round pastes, and none after")
        check_history(case, server)
        check_narrow(case, server)
        check_stopped(case, server)
        check_hostile(case, server)
        with case.terminal("run", "m", OLLAMA_HOST=server.address) as t:
            t.wait_for(PROMPT)
            t.settle(0.1)
            step(t, "\x1b[A\x1b[A", r"/clear|kept|fail")
            t.send("\x15please fail\r")
            checks.equal(t.finish(), 1, "a request that fails ends the talk")
            checks.true("Error: 500 Internal Server Error: the model broke" in t.raw, f"its text: {t.raw[-200:]!r}")


def check_editing(case, t, server):
    checks = case.checks

    def sent(keys):
        step(t, keys)
        return server.last("/api/chat")["messages"][-1]["content"]

    checks.equal(sent("word one two\x17three\r"), "word one three", "Ctrl-W deletes a word")
    checks.equal(sent("abc\x01X\x05Y\r"), "XabcY", "Ctrl-A and Ctrl-E")
    checks.equal(sent("lose this\x15keep\r"), "keep", "Ctrl-U deletes to the start")
    checks.equal(sent("abc\x02\x02\x04\r"), "ac", "Ctrl-D deletes forward in a line")
    checks.equal(sent("a\tb\r"), "a        b", "Tab is eight blanks")
    checks.equal(sent("grün 東京 \U0001f600\x7f!\r"), "grün 東京 !", "wide characters")
    checks.equal(sent("\x1b[200~two\rlines\x1b[201~ more\r"), "two\nlines more", "a paste keeps its lines")
    checks.equal(sent("\x1b[200~two\nlines\r\nand\n\none\x1b[201~\r"), "two\nlines\nand\n\none", "whatever ends them")
    check_added_lines(case, t, server, sent)
    step(t, "edit grün\x07", "EDIT GR", 5)
    checks.equal(sent(" more\r"), "EDIT GRüN more", "Ctrl-G goes through the editor")
    sent("\x1b[200~two\rlines\x1b[201~ more\r")
    checks.equal(sent("\x1b[A\x01see: \r"), "see: two\nlines more", "the arrow recalls all of it")


def check_added_lines(case, t, server, sent):
    checks = case.checks
    n = len(server.requests)
    checks.true(step(t, "one\n", ADDED), "Ctrl-J opens a line, which says how to send")
    start = len(t.raw)
    step(t, "two\n", ADDED)
    step(t, "x\x7f", r"x.*" + ADDED)
    checks.equal(len(server.requests), n, "nothing is sent before Enter")
    checks.equal(t.lines()[-3:], [">>> one", "two", "Press Enter to send"], f"what is seen: {t.raw[start:]!r}")
    checks.equal(sent("three\r"), "one\ntwo\nthree", "Enter sends added lines")
    checks.equal(sent("one\n\x7f and\r"), "one and", "backspace at its start takes a line away")
    checks.equal(sent("one\x01\nzero \r"), "\nzero one", "Ctrl-J within a line parts it")
    step(t, "a\x7f", r"a.*" + PROMPT[:-1])
    checks.equal(t.lines()[-1], ">>> Send a message (/? for help)", "the hint is back when all is deleted")
    step(t, "b", "b$")
    checks.equal(t.lines()[-1], ">>> b", "and leaves with the first character")
    start = len(t.raw)
    step(t, "\x03")
    checks.equal(t.lines()[-2:], ["Use Ctrl + d or /bye to exit.", ">>> Send a message (/? for help)"], "Ctrl-C on a line")


def check_typed_ahead(case, t, server):
    """What is typed while an answer comes is the next message: there the terminal itself makes newlines of Enter."""
    words, server.answer = server.answer, ["word "] * 8
    start = len(t.raw)
    t.send("be slow\r")
    t.wait_for("word word", start=start)
    t.send("typed ahead\r")
    found = t.wait_for("typed ahead(.|\\s)*" + PROMPT + "(.|\\s)*", start=start) and t.settle(0.5)
    t.wait_for(PROMPT, 20, start)
    server.answer = words
    case.checks.equal((found, server.last("/api/chat")["messages"][-1]["content"]), (None, "typed ahead"), "typed ahead")


def check_narrow(case, server):
    """The hint stays on its line."""
    for columns in (1, 4, 5, 6, 20):
        with case.terminal("run", "m", columns=columns, OLLAMA_HOST=server.address) as t:
            t.wait_for(">>> ")
            t.settle(0.3)
            hint = "Send a message (/? for help)"[:max(columns - 5, 0)].rstrip()
            case.checks.equal("".join(t.lines()), (">>> " + hint).rstrip() if columns > 4 else ">>>", f"{columns} columns")
            step(t, "hey\r", ">>> ")
            case.checks.equal(server.last("/api/chat")["messages"][-1]["content"], "hey", f"{columns} columns: a message")
            t.send("\x04")
            case.checks.equal(t.finish(), 0, f"{columns} columns: the end")


HOSTILE = "\x1b]52;c;aGk=\x07bad\x1b[2J\u009b5mword\r\n"


def check_hostile(case, server):
    """What others wrote cannot command the terminal, unless --raw; pipes get it as it is."""
    checks = case.checks
    words, server.answer = server.answer, [{"thinking": HOSTILE}, {"content": HOSTILE}]
    server.listed = [{"name": "m" + HOSTILE.strip(), "digest": "0" * 64, "size": 1}]

    def shown(*argv):
        with case.terminal(*argv, OLLAMA_HOST=server.address) as t:
            t.finish()
            return t.raw

    def harmless(text):
        return "\x1b]52" not in text and "\x1b[2J" not in text and "\u009b" not in text and "\x07" not in text

    for argv in (("run", "m", "x"), ("run", "m", "--nowordwrap", "x"), ("list",)):
        raw = shown(*argv)
        checks.true(harmless(raw) and "␛]52;c;aGk=␇bad␛[2J\ufffd5mword" in raw, f"{argv}: {raw!r}")
    checks.true(raw.count("\n") == 2, f"a name stays in its row: {raw!r}")
    checks.true(HOSTILE.rstrip() in shown("run", "m", "--raw", "x"), "--raw lets it through")
    checks.true(HOSTILE.encode() in subprocess.run(
        [case.oll, "run", "m", "x"], env=case.env(OLLAMA_HOST=server.address), stdin=subprocess.DEVNULL, capture_output=True,
        check=False).stdout, "a pipe gets what the model wrote")
    server.broken = "no " + HOSTILE
    checks.true(harmless(shown("run", "m", "please fail")), "an error of the server's")
    server.answer, server.broken = words, "the model broke"


def check_stopped(case, server):
    """Ctrl-Z gives the terminal back to the shell as it was; `fg` goes on with the line."""
    checks = case.checks
    env = case.env(OLLAMA_HOST=server.address, PS1="shell> ")
    with Terminal(["/bin/bash", "--norc", "--noprofile", "-i"], env, cwd=case.folder) as t:
        t.wait_for("shell> ")
        t.send(f"{case.oll} run m\r")
        t.wait_for("Send a message")
        t.settle(0.1)
        step(t, "half", "half$")
        step(t, "\x1a", r"Stopped(.|\s)*shell> ")
        checks.true(step(t, "stty -a | tr ' ' ,\r", ",icanon(.|\\s)*,echo(.|\\s)*shell> "), "the shell has its terminal back")
        checks.true(step(t, "fg\r", ">>> half$"), f"fg shows the line again: {t.raw[-100:]!r}")
        step(t, " done\r")
        checks.equal(server.last("/api/chat")["messages"][-1]["content"], "half done", "and goes on with it")
        step(t, "\x1a", r"Stopped(.|\s)*shell> ")
        checks.true(step(t, "fg\r"), "an empty line comes back with its hint")
        step(t, "\x04", "shell> ")
        t.send("exit\r")
        t.finish()


def check_interrupt(case, t, server):
    checks = case.checks
    words, server.answer = server.answer, ["word "] * 100
    start = len(t.raw)
    t.send("be slow\r")
    t.wait_for("word word", start=start)
    finished = server.finished
    before = time.monotonic()
    checks.true(step(t, "\x03") is not None and time.monotonic() - before < 3, "Ctrl-C stops the answer and brings the prompt")
    checks.equal(server.finished, finished, "the answer did not run to its end")
    server.answer = words
    step(t, "next\r")
    checks.equal([m["role"] for m in server.last("/api/chat")["messages"][-3:]], ["user", "assistant", "user"],
                 "what came before Ctrl-C stays in the history")


def check_commands(case, t, server):
    checks = case.checks
    step(t, "/set system Be nice.\r")
    step(t, "/set parameter stop a b\r")
    step(t, "/set parameter temperature 0.5\r")
    step(t, "/set format json\r")
    step(t, "/clear\r")
    step(t, "now\r")
    checks.equal(server.last("/api/chat"), {
        "model": "m", "messages": [{"role": "system", "content": "Be nice."}, {"role": "user", "content": "now"}],
        "format": "json", "options": {"stop": ["a", "b"], "temperature": 0.5}}, "settings, and a cleared history")
    step(t, "/save new\r")
    body = server.last("/api/create")
    checks.equal((body["model"], body["from"], body["system"], body["parameters"], [m["role"] for m in body["messages"]]),
                 ("new", "m", "Be nice.", {"stop": ["a", "b"], "temperature": 0.5}, ["user", "assistant"]), "/save")
    checks.true("invalid" in step(t, "/save a..b/../c\r"), "/save of a bad name")
    checks.true("Invalid think level 'much'" in step(t, "/set think much\r"), "a level that is none")
    checks.true("Couldn't find model 'absent'" in step(t, "/load absent\r"), "/load of what is not there")
    step(t, "/load other\r")
    step(t, "hi\r")
    checks.equal((server.last("/api/chat")["model"], server.last("/api/chat")["messages"]),
                 ("other", [{"role": "user", "content": "hi"}]), "/load begins anew")
    step(t, "/set wordwrap\r")
    words, server.answer = server.answer, ["lorem ipsum "] * 12
    step(t, "wrap\r")
    server.answer = words
    lines = [line for line in t.lines() if "lorem" in line]
    checks.true(len(lines) >= 2 and all(len(line) <= 76 and line.split()[-1] in ("lorem", "ipsum") for line in lines[-2:]),
                f"lines break between words: {lines[-3:]}")


def check_history(case, server):
    checks = case.checks
    path = os.path.join(case.home, ".ollama", "history")
    checks.equal(stat.S_IMODE(os.stat(path).st_mode), 0o600, "mode of the history")
    with open(path, encoding="utf-8") as f:
        lines = f.read().split("\n")
    checks.true(lines[0] == "hello" and len(lines) <= 200, f"the history holds what was typed: {lines[:3]}")
    before = os.stat(path).st_mtime_ns
    with case.terminal("run", "m", OLLAMA_HOST=server.address, OLLAMA_NOHISTORY="1") as t:
        t.wait_for(PROMPT)
        step(t, "secret\r")
        step(t, "/bye\r", r"\?2004l")
        checks.equal(t.finish(), 0, "/bye leaves")
    checks.equal(os.stat(path).st_mtime_ns, before, "OLLAMA_NOHISTORY keeps nothing")


# ---- without a server ----

def default_port_taken():
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", 11434)) == 0


def start_long(case, tiny):
    """A command in the middle of an answer, with its own server."""
    process = subprocess.Popen([case.oll, "run", tiny, "--predict", "100000", "--format", LONG_TEXT, "a"], env=case.env(),
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(1)
    return process


def check_killed(case, tiny):
    """What a command that was killed leaves, the next one removes; what one that runs needs, it leaves alone."""
    checks = case.checks
    killed = start_long(case, tiny)
    killed.kill()
    killed.communicate(timeout=30)
    left = case.left_over()
    checks.equal(len(left), 1, f"a killed command leaves its folder: {left}")
    for name in ("oll-run-abcdef", "oll-run-longer-than-that", "oll-abcdef"):
        os.mkdir(os.path.join(case.temporary, name), 0o700)
    with open(os.path.join(case.temporary, "oll-run-abcdef", "something"), "w", encoding="utf-8"):
        pass
    running = start_long(case, tiny)
    os.kill(running.pid, signal.SIGSTOP)
    own = [name for name in case.left_over() if os.path.exists(os.path.join(case.temporary, name, "socket"))]
    checks.true(len(own) == 1 and own != left, f"the next one has removed it and made its own: {case.left_over()}")
    checks.equal(case.run("run", tiny, "--predict", "3", "a").returncode, 0, "a third one beside it")
    checks.equal(sorted(case.left_over()), sorted([*own, "oll-run-abcdef", "oll-run-longer-than-that", "oll-abcdef"]),
                 "and what is not from a killed one, or is in use, stays")
    os.kill(running.pid, signal.SIGCONT)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=30)
    checks.equal(running.returncode, -signal.SIGINT, "the one that was stopped goes on to its end")
    os.unlink(os.path.join(case.temporary, "oll-run-abcdef", "something"))
    case.run("run", tiny, "--predict", "1", "a")
    checks.equal(sorted(case.left_over()), ["oll-abcdef", "oll-run-longer-than-that"], "an empty one goes, too")
    for name in case.left_over():
        os.rmdir(os.path.join(case.temporary, name))


def check_alone(case, tiny):
    checks = case.checks
    done = case.run("run", tiny, "--predict", "3", "--seed", "1", "a")
    checks.true(done.returncode == 0 and done.stdout.endswith("\n\n") and done.stderr.count("\n") <= 1, f"a file is run: {done}")
    checks.equal(case.left_over(), [], "nothing of its server is left")
    done = case.run("run", os.path.join(case.folder, "none.gguf"), "a")
    checks.true(done.returncode == 1 and done.stderr.startswith("Error: ") and "none.gguf" in done.stderr, done.stderr)
    checks.equal(case.left_over(), [], "nothing is left after a failure")
    process = start_long(case, tiny)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    checks.equal((process.returncode, case.left_over()), (-signal.SIGINT, []), "Ctrl-C ends an answer, and the server with it")
    check_killed(case, tiny)
    if default_port_taken():
        print("left out: OLLAMA_HOST unset, since a server runs on the default port")
        return
    models = {"OLLAMA_MODELS": os.path.join(case.folder, "models")}
    with open(os.path.join(case.folder, "Modelfile"), "w", encoding="utf-8") as f:
        f.write(f"FROM {tiny}\nPARAMETER num_predict 3\n")
    checks.equal(case.run("create", "tiny", **models).returncode, 0, "create without a server")
    done = case.run("run", "tiny", "a", **models)
    checks.true(done.returncode == 0 and done.stdout.endswith("\n\n") and done.stderr == "", f"a name is run: {done}")
    checks.true("tiny:latest" in case.run("list", **models).stdout, "list without a server")
    checks.true("llama" in case.run("show", "tiny", **models).stdout, "show without a server")
    checks.equal(case.run("ps", **models).stdout.split(), ["NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL"], "ps")
    checks.equal(case.run("stop", "tiny", **models).returncode, 0, "stop without a server")
    checks.equal(case.run("stop", "none", **models).stderr, "Error: couldn't find model \"none\" to stop\n", "stop of nothing")
    checks.equal(case.run("cp", "tiny", "two", **models).stdout, "copied 'tiny' to 'two'\n", "cp without a server")
    checks.equal(case.run("rm", "two", **models).stdout, "deleted 'two'\n", "rm without a server")
    checks.equal(case.left_over(), [], "nothing of any server is left")
    for argv in (("run", "tiny", "a"), ("ps",), ("stop", "tiny"), ("list",)):
        done = case.run(*argv, OLLAMA_HOST="127.0.0.1:1", **models)
        checks.equal((done.returncode, done.stderr),
                     (1, "Error: could not connect to ollama server, run 'oll serve' to start it\n"), f"{argv}: a host that is down")
    done = case.run("list", OLLAMA_HOST="nohost.invalid", **models)
    checks.true(done.returncode == 1 and done.stderr.startswith("Error: OLLAMA_HOST: nohost.invalid: "), f"no such host: {done.stderr}")
    done = case.run("list", OLLAMA_MODELS=tiny)
    checks.equal((done.returncode, done.stdout, done.stderr), (1, "", f"Error: {tiny} of the model store is no folder\n"), "a file as store")
    done = case.run("run", "a", "hi", OLLAMA_MODELS=tiny)
    checks.equal((done.returncode, done.stderr), (1, f"Error: {tiny} of the model store is no folder\n"), "a file as store of an own server")
    done = case.run("run", tiny, "hi", "--predict", "1", OLLAMA_MODELS=tiny)
    checks.equal(done.returncode, 0, f"a file needs no store: {done.stderr}")
    check_closed_store(case, models["OLLAMA_MODELS"])
    checks.equal(case.run("list", OLLAMA_MODELS=os.path.join(case.folder, "none")).returncode, 0, "a store that is not there yet")


def check_closed_store(case, models):
    """A part of the store that this user cannot read is a failure, not an empty list."""
    if os.geteuid() == 0:
        print("left out: a store without permissions, which root has all of")
        return
    for part in (models, os.path.join(models, "manifests"), os.path.join(models, "blobs")):
        mode = stat.S_IMODE(os.stat(part).st_mode)
        os.chmod(part, 0)
        for argv in (("list",), ("show", "tiny"), ("ps",)):
            done = case.run(*argv, OLLAMA_MODELS=models)
            case.checks.equal((done.returncode, done.stdout, done.stderr),
                              (1, "", f"Error: {part} of the model store cannot be read: Permission denied\n"), f"{argv}: {part}")
        os.chmod(part, mode)


def main():
    oll, shared = os.path.abspath(sys.argv[1]), sys.argv[2]
    maker = os.path.join(shared, "data", "ollama", "make_tiny_gguf.py")
    if not os.path.exists(maker):
        skip("no data/ollama in the shared data")
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="oll-run-test-") as folder:
        tiny = os.path.join(folder, "tiny.gguf")
        subprocess.run([sys.executable, "-B", maker, tiny], check=True, stdout=subprocess.DEVNULL)
        case = Case(oll, folder, checks)
        check_requests(case)
        check_chat(case)
        check_alone(case, tiny)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
