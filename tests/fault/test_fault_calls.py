"""Fails one call to the system after another while a server loads a model, answers and unloads it.

    test_fault_calls.py OLL FAIL-CALL-LIBRARY SHARED

For each kind of call (fail_call_linux.c) of the server and of its runners n grows from 1 until no run meets a fault any more.
The request of each run must end in an answer or a stated error; only where the server's own write to the client failed
may the connection just end. Behind a fault of the server the next request must be answered; nothing may be left,
and the server must end well. A server that cannot start must say why.
"""

import http.client
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "api"))
from runner_tools import children, wait_for  # noqa: E402
from served import Checks, Server, skip  # noqa: E402

KINDS = (("serve", "spawn"), ("serve", "pair"), ("serve", "thread"), ("serve", "map"), ("serve", "open"), ("serve", "write"),
         ("runner", "write"), ("runner", "thread"), ("runner", "map"), ("runner", "open"))
ASK = {"model": "tiny", "prompt": "Once", "raw": True, "stream": False, "options": {"num_predict": 4}}
MET = "fault: a call failed on purpose"
QUIET = 2  # runs in a row without a fault end the search
MOST = 60


def ask(checks, server, kind, what, body):
    """The status of a reply that is an answer or a stated error; None when the connection just ended."""
    try:
        status, reply = server.post("/api/generate", body)
    except (OSError, http.client.HTTPException, ValueError) as e:
        checks.equal(kind, ("serve", "write"), f"{what}: {type(e).__name__} {e}")
        return None
    error = (reply or {}).get("error")
    checks.true(status == 200 and (reply or {}).get("done") or status in (500, 503) and error and isinstance(error, str),
                f"{what}: {status} {reply}")
    return status


def use(checks, server, kind, what):
    """A request under the fault, one after it, an unloading."""
    try:
        with server:
            ask(checks, server, kind, what, ASK)
            ask(checks, server, kind, what, ASK)
            if kind[0] == "serve":  # a new runner begins to count anew
                checks.true(wait_for(lambda: ask(checks, server, kind, what, ASK) == 200, 5), f"{what}: the next is answered")
            checks.true(wait_for(lambda: ask(checks, server, kind, what, {"model": "tiny", "keep_alive": 0, "stream": False})
                                 == 200, 5), f"{what}: it is unloaded")
            checks.true(wait_for(lambda: not children(server.process.pid), 10), f"{what}: no process is left")
    except RuntimeError as e:  # it did not come up, or ended badly
        checks.true("did not start" in str(e) and "Error: " in str(e), f"{what}: {e}")


def search(checks, oll, library, folder, model, kind):
    n, n_met, n_quiet = 1, 0, 0
    while n <= MOST and n_quiet < QUIET:
        fault = f"{kind[0]}:{kind[1]}:{n}"
        server = Server(oll, folder, "--model", f"tiny={model}", LD_PRELOAD=library, OLL_FAIL_CALL=fault)
        server.may_crash = True
        use(checks, server, kind, fault)
        met = MET in server.read_log(-1)
        n_met += met
        n_quiet = 0 if met else n_quiet + 1
        n += 1
    print(f"{kind[0]}: {kind[1]}: {n_met} calls failed, one at a time")
    return n_met


def main():
    oll, library, shared = sys.argv[1:4]
    model = os.path.join(shared, "data", "golden", "llama.gguf")
    if not os.path.exists(model):
        skip(f"{model} is absent")
    if b"__asan_init" in open(oll, "rb").read() or not os.path.exists("/proc/self/cmdline"):
        skip("sanitizers come before what is loaded here")
    if subprocess.run([oll, "--version"], env={"LD_PRELOAD": library}, capture_output=True, check=False).returncode != 0:
        skip("this system loads nothing before a program")
    checks = Checks()
    with tempfile.TemporaryDirectory() as root:
        folder = os.path.join(root, "models")
        os.mkdir(folder)
        met = sum(search(checks, oll, library, folder, model, kind) for kind in KINDS)
    checks.true(met > 40, f"{met} faults were met")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
