#!/usr/bin/env python3
"""Go's github.com/ollama/ollama/api, unmodified: test_go_client.py OLL SHARED CACHE."""
import os
import shutil
import subprocess
import sys
import tempfile

from clients_served import install, make_models, model_server, skip


def main():
    oll, shared, cache = sys.argv[1:4]
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "go")
    folder = os.path.join(cache, "go")
    if not shutil.which("go"):
        skip("go is absent")
    with tempfile.TemporaryDirectory() as temporary:
        server = model_server(oll, shared, temporary)
        program = os.path.join(folder, "clients")
        os.makedirs(folder, exist_ok=True)
        install(os.path.join(folder, "installed"), ["go", "build", "-C", here, "-o", program, "."], "the Go client")
        with server:
            make_models(server)
            return subprocess.run([program, server.url], check=False, timeout=300).returncode


if __name__ == "__main__":
    sys.exit(main())
