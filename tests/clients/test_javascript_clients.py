#!/usr/bin/env python3
"""JavaScript's ollama and openai, unmodified: test_javascript_clients.py OLL SHARED CACHE."""
import os
import shutil
import subprocess
import sys
import tempfile

from clients_served import install, make_models, model_server, skip


def main():
    oll, shared, cache = sys.argv[1:4]
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "javascript")
    folder = os.path.join(cache, "javascript")
    if not shutil.which("npm") or not shutil.which("node"):
        skip("node and npm are absent")
    with tempfile.TemporaryDirectory() as temporary:
        server = model_server(oll, shared, temporary)
        os.makedirs(folder, exist_ok=True)
        for name in ("package.json", "clients.mjs"):
            shutil.copy(os.path.join(here, name), folder)
        install(os.path.join(folder, "installed"), ["npm", "install", "--no-audit", "--no-fund", "--prefix", folder], "the JavaScript clients")
        with server:
            make_models(server)
            return subprocess.run(["node", os.path.join(folder, "clients.mjs"), server.url], check=False, timeout=300).returncode


if __name__ == "__main__":
    sys.exit(main())
