"""`oll plan` and what the server says of the same model: sums, placement, and refusals before anything is loaded.

    test_cli_plan.py OLL SHARED
"""

import json
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "api"))

from served import Checks, Server  # noqa: E402

ERROR = re.compile(r"model requires more system memory \([\d.]+ GiB\) than is available \([\d.]+ GiB\)")


def plan(oll, *arguments, **environment):
    return subprocess.run([oll, "plan", *arguments], capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, **environment})


def check_sums(checks, oll, model):
    done = plan(oll, model, "--ctx", "256", "--parallel", "2", "--json")
    checks.equal(done.returncode, 0, "exit")
    p = json.loads(done.stdout)
    checks.true(p["fits"], "fits")
    checks.equal(p["weights"] + p["kv"] + p["activations"] + p["scratch"] + p["host"], p["total"], "total")
    checks.equal([(d["name"], d["layers"]) for d in p["devices"]], [("cpu", p["layers"])], "devices")
    checks.equal((p["ctx"], p["parallel"]), (256, 2), "asked for")
    twice = json.loads(plan(oll, model, "--ctx", "512", "--parallel", "2", "--json").stdout)
    checks.true(1.9 < twice["kv"] / p["kv"] < 2.1, "the cache grows with the window")
    same = json.loads(plan(oll, model, "--ctx", "256", "--json", OLLAMA_NUM_PARALLEL="2").stdout)
    checks.true(abs(same["total"] - p["total"]) < 4096, "OLLAMA_NUM_PARALLEL")
    table = plan(oll, model, "--ctx", "256").stdout
    checks.true(table.startswith("DEVICE") and " MiB in all, " in table, "table")


def check_places(checks, oll, model):
    n = json.loads(plan(oll, model, "--ctx", "256", "--json").stdout)["layers"]
    whole = json.loads(plan(oll, model, "--ctx", "256", "--devices", "ref=1G,cpu", "--json").stdout)
    checks.equal(whole["placement"], f"cpu:input,ref:0-{n - 1},ref:output", "all of it")
    half = json.loads(plan(oll, model, "--ctx", "256", "--devices", "ref=1G", "--num-gpu", "1", "--json").stdout)
    checks.equal({d["name"]: d["layers"] for d in half["devices"]}, {"cpu": n - 1, "ref": 1}, "one layer")
    checks.true(half["placement"].endswith(",cpu:output"), "the head stays")
    none = json.loads(plan(oll, model, "--ctx", "256", "--devices", "ref=1G", "--num-gpu", "0", "--json").stdout)
    checks.equal([d["name"] for d in none["devices"]], ["cpu"], "no layer")
    least = json.loads(plan(oll, model, "--ctx", "256", "--devices", "ref=1", "--json").stdout)
    checks.equal([d["name"] for d in least["devices"]], ["cpu"], "no room")
    done = plan(oll, model, "--devices", "ref=lots")
    checks.equal((done.returncode, done.stderr.startswith('Error: devices: "ref=lots" is not')), (1, True), "a bad list")


def check_refusals(checks, oll, model):
    done = plan(oll, model, "--ctx", "50000000", "--parallel", "20")
    checks.equal(done.returncode, 1, "too large")
    checks.true(ERROR.search(done.stderr), "with both sizes")
    done = plan(oll, "nothing.gguf")
    checks.equal((done.returncode, done.stderr.startswith("Error: ")), (1, True), "no such file")


def loaded(server):
    return json.loads(server.call("GET", "/api/ps")[1])["models"][0]


def check_server(checks, oll, model):
    with tempfile.TemporaryDirectory() as folder, \
            Server(oll, os.path.join(folder, "models"), "--model", f"m={model}", OLL_DEVICES="ref=1G,cpu") as server:
        status, reply = server.post("/api/generate", {"model": "m", "options": {"num_gpu": 1, "num_ctx": 64}})
        checks.equal((status, reply["done_reason"]), (200, "load"), "loads")
        entry = loaded(server)
        checks.true(0 < entry["size_vram"] < entry["size"], "a part in each memory")
        checks.equal(entry["context_length"], 64, "window")
        server.post("/api/generate", {"model": "m", "options": {"num_ctx": 64}})
        checks.equal(loaded(server)["size"], entry["size"], "no reload without num_gpu")
        server.post("/api/generate", {"model": "m", "options": {"num_ctx": 64, "num_gpu": 999}})
        entry = loaded(server)
        checks.equal(entry["size_vram"], entry["size"], "all of it")
        server.post("/api/generate", {"model": "m", "options": {"num_ctx": 64, "num_gpu": 0}})
        checks.equal(loaded(server)["size_vram"], 0, "none of it")


def main():
    oll, shared = sys.argv[1:3]
    model = os.path.join(shared, "data", "golden", "llama-f16.gguf")
    if not os.path.exists(model):
        print("SKIPPED: ../shared is absent")
        return 77
    checks = Checks()
    check_sums(checks, oll, model)
    check_places(checks, oll, model)
    check_refusals(checks, oll, model)
    check_server(checks, oll, model)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
