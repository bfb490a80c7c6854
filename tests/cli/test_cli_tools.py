"""`oll completion`, `oll man` and `oll doctor`: read by the shells and by man themselves where those are there.

    test_cli_tools.py OLL
"""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "api"))

from fake_server import FakeServer  # noqa: E402
from screen import Terminal  # noqa: E402
from served import Checks  # noqa: E402

BASH = """
source <("$OLL" completion bash)
complete_line() {
  COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
  read -ra COMP_WORDS <<<"$1"
  [[ $1 == *' ' ]] && COMP_WORDS+=("")
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  _oll
  echo "${COMPREPLY[*]}"
}
"""


def environment(oll, folder, **more):
    """A machine of our own: a home, a temporary folder, and a command `oll` that is first of all."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("OLLAMA_", "OLL_", "XDG_")) and "proxy" not in k.lower()}
    path = os.path.join(folder, "bin")
    os.makedirs(path, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.symlink(oll, os.path.join(path, "oll"))
    return {**keep, "OLL": oll, "HOME": folder, "TMPDIR": folder, "LC_ALL": "C.UTF-8", "PATH": path + ":" + os.environ["PATH"],
            **more}


def run(argv, env, stdin=""):
    return subprocess.run(argv, env=env, input=stdin, capture_output=True, text=True, timeout=60, check=False)


def shell(name):
    if not shutil.which(name):
        print(f"left out: {name} is absent")
        return False
    return True


# ---- completion ----

def check_bash(checks, env, commands):
    def complete(line):
        done = run(["bash", "--norc", "-c", BASH + f"complete_line '{line}'"], env)
        checks.equal(done.stderr, "", f"bash: {line}")
        return set(done.stdout.split())

    checks.true(set(commands) <= complete("oll "), "bash: all commands")
    checks.equal(complete("oll sho"), {"show"}, "bash: the start of a command")
    checks.equal(complete("oll run --nowo"), {"--nowordwrap"}, "bash: a flag")
    checks.equal(complete("oll run --verbose m --think"), {"--think"}, "bash: a flag behind others")
    checks.true({"op", "server"} <= complete("oll bench "), "bash: commands of a command")
    checks.equal(complete("oll bench op --dev"), {"--device"}, "bash: flags of a command's command")
    checks.equal(complete("oll show my-m"), {"my-model:latest", "my-model:8b"}, "bash: names of models")
    checks.equal(complete("oll show my-model:8"), {"8b"}, "bash: behind a colon")


def check_zsh(checks, env, folder):
    if not shell("zsh"):
        return
    with open(os.path.join(folder, ".zshrc"), "w", encoding="utf-8") as f:
        f.write('PROMPT="%% "\nautoload -U compinit\ncompinit -u\nsource <($OLL completion zsh)\n')
    for keys, expected in (("oll sho\t", "oll show "), ("oll run --nowo\t", "oll run --nowordwrap "),
                           ("oll bench op --dev\t", "oll bench op --device "), ("oll show my-model\\:8\t", "8b ")):
        with Terminal([shutil.which("zsh"), "-i"], {**env, "ZDOTDIR": folder}, columns=200) as t:
            t.wait_for(r"% ", 20)
            t.settle(0.3)
            t.send(keys)
            t.settle(0.8)
            line = t.lines()[-1]
            checks.true(line.endswith(expected.rstrip()), f"zsh: {keys!r}: {line!r}")


def check_fish(checks, env):
    if not shell("fish"):
        return
    for line, expected in (("oll sho", "show"), ("oll run --nowo", "--nowordwrap"), ("oll bench op --dev", "--device"),
                           ("oll show my-model:8", "my-model:8b")):
        done = run(["fish", "--no-config", "-c", "oll completion fish | source; complete -C " + repr(line)], env)
        checks.equal((done.stdout.split("\t")[0].split("\n")[0], done.stderr), (expected, ""), f"fish: {line}")


# ---- the manual page ----

def check_man(checks, env, commands):
    page = run([env["OLL"], "man"], env).stdout
    checks.true(page.startswith(".TH OLL 1 "), "the page has a title")
    if shutil.which("groff"):
        done = run(["groff", "-man", "-ww", "-b", "-Tutf8", "-rLL=200n", "-P-c"], env, page)
        checks.equal(done.stderr, "", "groff has nothing to say of the page")
        text = re.sub(r".\x08", "", done.stdout)
    else:
        print("left out: groff is absent")
        text = re.sub(r"\\-", "-", page)
    for command in commands:
        checks.true(re.search(rf"\boll {command}\b", text), f"the page tells of {command}")
        for flag in re.findall(r"^ +(?:-\w, )?(--[\w-]+)", run([env["OLL"], command, "--help"], env).stdout, re.MULTILINE):
            checks.true(flag == "--help" or flag in text, f"the page tells of {command} {flag}")
    checks.true("OLLAMA_CONTEXT_LENGTH" in text, "the page tells of the environment")


# ---- the doctor ----

def check_doctor(checks, oll, folder):
    def doctor(**more):
        done = run([oll, "doctor"], environment(oll, folder, **more))
        return done.returncode, re.sub(r" +", " ", done.stdout)

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        free = silent.getsockname()[1]
    code, text = doctor(OLLAMA_HOST=f"127.0.0.1:{free}")
    checks.true(code == 1 and f"WRONG server none answers at OLLAMA_HOST (127.0.0.1 port {free})" in text and "oll serve" in text, f"no server: {text}")
    with FakeServer({}) as server:
        code, text = doctor(OLLAMA_HOST=server.address)
        checks.true(code == 0 and "ok server answers at http://" + server.address + ", version 9.9.9" in text, f"a server: {text}")
        for word in ("ok system", "processor", "memory", "ok devices cpu", "ok store", "disk", "ok identity"):
            checks.true(word in text, f"the report tells of {word}: {text}")
        host = server.address
        code, text = doctor(OLLAMA_HOST=host, https_proxy=f"http://user:secret@127.0.0.1:{free}")
        checks.true(code == 1 and f"https_proxy: nothing answers at 127.0.0.1, port {free}" in text, f"a dead proxy: {text}")
        checks.true("secret" not in text, "passwords of proxies are not shown")
        code, text = doctor(OLLAMA_HOST=host, https_proxy=f"http://{host}", no_proxy="here.example")
        checks.true(code == 0 and "ok proxy https_proxy: 127.0.0.1" in text and "not for here.example" in text, f"a proxy: {text}")
        code, text = doctor(OLLAMA_HOST=host, OLLAMA_KEEPALIVE="1m")
        checks.true(code == 0 and "note environment OLLAMA_KEEPALIVE is no variable" in text, f"a mistyped variable: {text}")
        stores(checks, doctor, folder, host)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        silent.settimeout(0.01)
        port = silent.getsockname()[1]
        closer = subprocess.Popen([sys.executable, "-c", CLOSER, str(silent.fileno())], pass_fds=[silent.fileno()])
        code, text = doctor(OLLAMA_HOST=f"127.0.0.1:{port}")
        closer.kill()
        closer.wait()
        checks.true(code == 1 and f"port {port} of 127.0.0.1 is taken" in text, f"a port that is taken: {text}")


# Accepts connections and closes them.
CLOSER = "import socket, sys\ns = socket.socket(fileno=int(sys.argv[1]))\ns.settimeout(None)\nwhile True: s.accept()[0].close()"


def stores(checks, doctor, folder, host):
    path = os.path.join(folder, "a-file")
    with open(path, "w", encoding="utf-8") as f:
        f.write("x")
    code, text = doctor(OLLAMA_HOST=host, OLLAMA_MODELS=path)
    checks.true(code == 1 and "is no folder" in text, f"a store that is a file: {text}")
    keys = os.path.join(folder, ".ollama")
    os.makedirs(keys, exist_ok=True)
    key = os.path.join(keys, "id_ed25519")
    with open(key, "w", encoding="utf-8") as f:
        f.write("x")
    os.chmod(key, 0o644)
    code, text = doctor(OLLAMA_HOST=host)
    checks.true(code == 1 and "can be read by others (mode 644)" in text and "chmod 600" in text, f"an open key: {text}")
    os.chmod(key, 0o600)
    if os.geteuid() == 0:
        print("left out: a store without permissions, which root has all of")
        return
    closed = os.path.join(folder, "closed")
    os.mkdir(closed, 0)
    code, text = doctor(OLLAMA_HOST=host, OLLAMA_MODELS=closed)
    checks.true(code == 1 and "cannot be read by this user" in text, f"a store of others: {text}")


# ---- variables ----

# For tests and profilers of oll itself, or not oll's own.
INNER = {"OLL_FAULT_ALLOC", "OLL_FAULT_DISK", "OLL_CPU_PROFILE", "OLL_TEST_RESOLVE", "HOME", "TERM", "TMPDIR", "XDG_RUNTIME_DIR"}


def check_variables(checks, env, commands):
    """What the code reads is told by --help, and what --help tells is read, or said to have no effect."""
    top = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    read, told = set(), {}
    for folder in ("server", "engine", "registry", "kernels", "gguf", "tokenizer", "sampler"):
        for path, _, names in os.walk(os.path.join(top, folder)):
            for name in names:
                if name.endswith(".c"):
                    with open(os.path.join(path, name), encoding="utf-8") as f:
                        read.update(re.findall(r'\w\("(OLL(?:AMA)?_[A-Z_]+|HOME|TMPDIR|TERM)"', f.read()))
    for command in commands:
        text = run([env["OLL"], command, "--help"], env).stdout
        told.update(re.findall(r"^ {6}(OLL[A-Z_]+) +(\S.*)$", text, re.MULTILINE))
    checks.true(len(told) > 20, f"variables are told: {sorted(told)}")
    checks.equal(sorted(read - INNER - set(told)), [], "read, but not told")
    silent = sorted(name for name in set(told) - read if not told[name].startswith("Nothing to "))
    checks.equal([name for name in silent if name != "OLLAMA_EDITOR"], [], "told, but not read")


def main():
    oll = os.path.abspath(sys.argv[1])
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="oll-tools-") as folder, FakeServer({}) as server:
        server.listed = [{"name": name, "digest": "0" * 64, "size": 1} for name in ("my-model:latest", "my-model:8b", "other:latest")]
        env = environment(oll, folder, OLLAMA_HOST=server.address)
        help_text = run([oll, "--help"], env).stdout
        commands = re.findall(r"^  ([a-z]\w+) {2,}\S", help_text, re.MULTILINE)
        checks.true(len(commands) > 15, "the help text names commands")
        check_bash(checks, env, commands)
        check_zsh(checks, env, folder)
        check_fish(checks, env)
        done = run([oll, "completion", "tcsh"], env)
        checks.true(done.returncode == 1 and "bash, zsh and fish" in done.stderr, "another shell")
        check_man(checks, env, commands)
        check_variables(checks, env, commands)
        check_doctor(checks, oll, folder)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
