"""`oll create` and `oll show` against the recorded transcripts of the real ones, with and without a server.

    test_cli_models.py OLL SHARED

Standard output and exit codes are compared to the byte (digests and the store's path are left open); of standard error
the last line, since the reference draws its progress with escape codes even into a pipe.
"""

import json
import os
import re
import subprocess
import sys
import tempfile

from served import Checks, Server, skip

# Recorded ids that are made here.
WANTED = re.compile(r"^cli/(create(-gguf|-quant|-badname|-bad-\w+)?|show(-\w+)?)$")
SKIPPED_IDS = {"cli/show-tty", "cli/create-tty"}


def volatile(text, models):
    text = text.replace(models, "<models>")
    return re.sub(r"sha256([:-])[0-9a-f]{64}", r"sha256\1<sha256>", text)


def without_rewriting(text):
    """The reference adds a key and reorders the tensors of a GGUF file that it imports."""
    lines = [line for line in text.split("\n") if "general.quantization_version" not in line]
    split = next((i for i, line in enumerate(lines) if line.strip() == "Tensors"), len(lines))
    return lines[:split], sorted(lines[split:])


def last_line(text):
    return ([""] + [line for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).split("\n") if line])[-1]


def check_recorded(checks, server, folder, cases):
    for case in cases:
        if not WANTED.match(case["id"]) or case["id"] in SKIPPED_IDS or case.get("tty"):
            continue
        done = server.run(*case["args"], cwd=folder)
        what = f"{case['id']} {case['args']}"
        checks.equal(done.returncode, case["exit"], f"{what}: exit code ({done.stderr.strip()[-300:]!r})")
        got, expected = volatile(done.stdout, os.path.realpath(server.models)), case["stdout"]
        if case["id"] == "cli/show-v":
            got, expected = without_rewriting(got), without_rewriting(expected)
        checks.equal(got, expected, f"{what}: stdout")
        if case["exit"] != 0:
            checks.equal(last_line(done.stderr), last_line(case["stderr"]), f"{what}: stderr")
        elif case["args"][0] == "create":
            checks.equal(last_line(done.stderr), "success", f"{what}: stderr")


def check_files(checks, server, folder, tiny):
    """Files come in without a copy where they can, and a folder by its files."""
    name = os.path.join(folder, "own.gguf")
    with open(name, "wb") as f:
        f.write(tiny + bytes(32))  # bytes behind the last tensor: another digest than tiny.gguf
    with open(os.path.join(folder, "Own"), "w", encoding="utf-8") as f:
        f.write("FROM own.gguf\n")
    done = server.run("create", "own", "-f", "Own", cwd=folder)
    checks.equal(done.returncode, 0, f"create from a file of one's own: {done.stderr!r}")
    shared = any(os.path.samefile(os.path.join(server.models, "blobs", b), name)
                 for b in os.listdir(os.path.join(server.models, "blobs")))
    cloned = "linked" not in done.stderr
    checks.true(shared or cloned, "the file is linked or cloned, not copied")
    if shared:
        checks.equal(len(os.listdir(os.path.join(server.models, "oll", "origin"))), 1, "the link is noted")
        reply = server.post("/api/generate", {"model": "own", "prompt": "a", "stream": False, "options": {"num_predict": 1}})
        checks.equal(reply[0], 200, f"a linked model runs: {reply[1]}")
        with open(name, "r+b") as f:
            f.seek(-40, 2)
            f.write(b"changed!")
        os.utime(name, ns=(1, 1))
        status, reply = server.post("/api/show", {"model": "own"})
        checks.true(status == 500 and "was changed after it was linked" in reply["error"], f"a changed file is noticed: {reply}")
    server.call("DELETE", "/api/delete", {"model": "own"})
    empty = os.path.join(folder, "empty")
    os.mkdir(empty)
    done = server.run("create", "x", cwd=empty)
    checks.equal(last_line(done.stderr), "Error: no Modelfile or safetensors files found", "an empty folder")
    done = server.run("create", "x", "-f", "none", cwd=empty)
    checks.equal(last_line(done.stderr), "Error: specified Modelfile wasn't found", "a Modelfile that is not there")
    os.symlink(name, os.path.join(empty, "model.gguf"))
    done = server.run("create", "x", cwd=empty)
    checks.equal(last_line(done.stderr), "Error: insecure path: model.gguf", "a link that leads out of the folder")


def check_run_file(checks, server, folder, tiny):
    """`oll run FILE` links the file under its stem, once, and never in place of another model."""
    def run(path, **more):
        return server.run("run", path, "--predict", "2", "hi", cwd=folder, more=more)

    def names():
        return sorted(m["name"] for m in json.loads(server.call("GET", "/api/tags")[1])["models"])

    path = os.path.join(folder, "My Runs.gguf")
    with open(path, "wb") as f:
        f.write(tiny + bytes(64))
    before = names()
    done = run("./My Runs.gguf")
    checks.equal(done.returncode, 0, f"run of a file: {done.stderr!r}")
    checks.equal(sorted(set(names()) - set(before)), ["My-Runs:latest"], "the file is a model by its stem")
    linked = [b for b in os.listdir(os.path.join(server.models, "blobs"))
              if os.path.samefile(os.path.join(server.models, "blobs", b), path)]
    checks.equal(done.stderr, "linked ./My Runs.gguf as the model 'My-Runs': they share their bytes, do not change the file\n"
                 if linked else "", "one line says that it is linked, where it is no clone")
    done = run("./My Runs.gguf")
    checks.equal((done.returncode, done.stderr), (0, ""), "the second run has nothing to say")
    done = run("my-runs")
    checks.equal(done.returncode, 0, f"run by the name: {done.stderr!r}")

    before = server.call("GET", "/api/tags")[1]
    os.mkdir(os.path.join(folder, "other"))
    with open(os.path.join(folder, "other", "My Runs.gguf"), "wb") as f:
        f.write(tiny + bytes(96))
    done = run("other/My Runs.gguf")
    checks.equal((done.returncode, done.stderr), (0, ""), "a file whose name is taken is run all the same")
    with open(os.path.join(folder, "elsewhere.gguf"), "wb") as f:
        f.write(tiny + bytes(128))
    done = run("elsewhere.gguf", OLLAMA_MODELS=os.path.join(folder, "another"))
    checks.equal((done.returncode, done.stderr), (0, ""), "a file is run where the server has another store")
    done = run("elsewhere.gguf", OLLAMA_HOST="127.0.0.1:1")
    checks.equal((done.returncode, done.stderr), (0, ""), "a file is run where no server answers")
    checks.equal(server.call("GET", "/api/tags")[1], before, "nothing became a model by these")
    done = run("absent.gguf")
    checks.equal((done.returncode, done.stderr), (1, "Error: absent.gguf: No such file or directory\n"), "an absent file")
    server.call("DELETE", "/api/delete", {"model": "My-Runs"})
    checks.true(os.path.exists(path), "the file outlives its model")


def check_first_link(checks, oll, root, folder, tiny):
    """A store whose folder is not there yet: the first file is linked, too."""
    models = os.path.join(root, "fresh")
    path = os.path.join(folder, "first.gguf")
    with open(path, "wb") as f:
        f.write(tiny + bytes(160))
    with Server(oll, models) as server:
        done = server.run("link", "first.gguf", cwd=folder)
        checks.true(done.returncode == 0 and "copying" not in done.stderr, f"the first link is no copy: {done.stderr!r}")


def check_round_trip(checks, server, folder):
    """What `show --modelfile` prints makes the same model."""
    text = server.run("show", "cli1", "--modelfile").stdout
    with open(os.path.join(folder, "Again"), "w", encoding="utf-8") as f:
        f.write(text)
    done = server.run("create", "again", "-f", "Again", cwd=folder)
    checks.equal(done.returncode, 0, f"a shown Modelfile creates: {done.stderr!r}")
    again = server.run("show", "again", "--modelfile").stdout
    checks.equal(again.replace("again:latest", "cli1:latest"), text, "the same Modelfile is shown")


def check_alone(checks, oll, folder):
    """Without a server the store is worked on directly."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("OLLAMA_", "OLL_"))}
    env["OLLAMA_MODELS"] = os.path.join(folder, "alone")

    def run(command, *argv):
        return subprocess.run([oll, command, "--local", *argv], env=env, capture_output=True, text=True, timeout=120,
                              cwd=folder, check=False)

    done = run("create", "t", "-f", "Gguf", "-q", "q8_0")
    checks.equal((done.returncode, last_line(done.stderr)), (0, "success"), "create without a server")
    checks.true("quantization        Q8_0" in run("show", "t").stdout, "show without a server")
    checks.equal(last_line(run("show", "none").stderr), "Error: model 'none:latest' not found", "an absent model")


def main():
    oll, shared = os.path.abspath(sys.argv[1]), sys.argv[2]
    data = os.path.join(shared, "data", "ollama")
    if not os.path.exists(os.path.join(data, "cli.jsonl")):
        skip("no data/ollama in the shared data")
    with open(os.path.join(data, "cli.jsonl"), encoding="utf-8") as f:
        first, *cases = map(json.loads, f)
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="oll-cli-") as root:
        folder = os.path.join(root, "work")
        os.mkdir(folder)
        subprocess.run([sys.executable, "-B", os.path.join(data, "make_tiny_gguf.py"), os.path.join(folder, "tiny.gguf")],
                       check=True)
        with open(os.path.join(folder, "tiny.gguf"), "rb") as f:
            tiny = f.read()
        for name, text in first["files"].items():
            with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                f.write(text)
        with Server(oll, os.path.join(root, "models")) as server:
            digest = server.upload(tiny)
            server.post("/api/create", {"model": "tiny", "files": {"tiny.gguf": digest}, "stream": False})
            check_recorded(checks, server, folder, cases)
            check_round_trip(checks, server, folder)
            check_files(checks, server, folder, tiny)
            check_run_file(checks, server, folder, tiny)
        check_first_link(checks, oll, root, folder, tiny)
        check_alone(checks, oll, folder)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
