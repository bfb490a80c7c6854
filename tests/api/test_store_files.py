"""The recorded store operations of real Ollama on an empty store: after each request the same files.

    test_store_files.py OLL SHARED

Two things differ on purpose, and the comparison maps them (store-and-registry 10.3): oll keeps the bytes of an imported
GGUF file, where the reference rewrites it beside the uploaded blob; and folders of oll's own lie in oll/.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile

from served import Checks, Server, skip

MODEL = re.compile(r"^(?:sha256[:-])?<model-sha256-\d+>$")
# What made the blobs that appear in "delete-many" without a recorded request.
PARAMS = {"frequency_penalty": -0.5, "num_predict": -1, "presence_penalty": 1e21, "temperature": 1, "top_k": 10,
          "stop": ["\"\\\t\x01<>&\u2029/"]}
UNRECORDED = {**PARAMS, "num_keep": 3, "temperature": 0.25}
UNRECORDED_DIGEST = "1a15c103b9fe3ba8baf305e2856874df004ae42d41ec0991a08c0eb9d4e82405"


def listing(root):
    """Files (path -> size, mode, text of small ones) and folders of a store, but for oll's own."""
    files, folders = {}, []
    for folder, names, entries in os.walk(root):
        here = os.path.relpath(folder, root)
        if here == ".":
            names[:] = [n for n in names if n != "oll"]
        else:
            folders.append(here)
        for name in entries:
            path = os.path.join(folder, name)
            with open(path, "rb") as f:
                data = f.read()
            text = data.decode() if len(data) < 100000 else None
            files[os.path.normpath(os.path.join(here, name))] = {
                "size": len(data), "mode": oct(os.stat(path).st_mode & 0o777)[2:], "text": text}
    return files, sorted(folders)


class Mapping:
    """Digests and sizes of our model blobs -> the recorded stand-ins, learnt from manifests."""

    def __init__(self):
        self.known = {}

    def learn(self, ours, recorded):
        for a, b in zip(json.loads(ours)["layers"], json.loads(recorded)["layers"]):
            if MODEL.match(b["digest"]):
                self.known[a["digest"]] = (b["digest"], a["size"], b["size"])

    def apply(self, text):
        for digest, (stand_in, size, recorded_size) in self.known.items():
            text = text.replace(f'"digest":"{digest}","size":{size}', f'"digest":"{stand_in}","size":{recorded_size}')
        return text

    def blob(self, stand_in):
        """Path of our blob for a recorded one."""
        for digest, (name, _, _) in self.known.items():
            if name.replace(":", "-") == stand_in:
                return "blobs/" + digest.replace(":", "-")
        return None


def compare(checks, what, root, case, mapping, upload):
    files, folders = listing(root)
    recorded = {f["path"]: f for f in case["files"] if UNRECORDED_DIGEST not in f["path"]}
    for path, f in recorded.items():
        if path.startswith("manifests/") and path in files:
            mapping.learn(files[path]["text"], f["text"])
    models = {f"blobs/{d.replace(':', '-')}" for d in mapping.known} | {upload}
    for path, f in recorded.items():
        if MODEL.match(os.path.basename(path)):
            checks.true(mapping.blob(os.path.basename(path)) in files, f"{what}: {path} is present")
        elif path != upload and checks.true(path in files, f"{what}: {path} is present"):
            ours = files[path]
            text = mapping.apply(ours["text"]) if path.startswith("manifests/") else ours["text"]
            checks.equal((text, ours["mode"]), (f["text"], f["mode"]), f"{what}: {path}")
    extra = set(files) - set(recorded) - models
    checks.equal(extra, set(), f"{what}: files that are not recorded")
    live = {mapping.blob(os.path.basename(p)) for p in recorded if MODEL.match(os.path.basename(p))}
    if case["id"] != "store/upload":
        checks.equal(models & set(files), live - {None}, f"{what}: model blobs")
    # The reference makes manifests/ when it starts, oll with the first manifest.
    before = {"manifests"} if case["id"] == "store/upload" else set()
    checks.equal(set(folders) | before, set(case["directories"]), f"{what}: folders")


def check_unrecorded(checks, server):
    """The parameters whose digests are recorded, but not the requests."""
    expected = f"{server.models}/blobs/sha256-{UNRECORDED_DIGEST}"
    server.post("/api/create", {"model": "u", "from": "a2", "parameters": UNRECORDED, "stream": False})
    checks.true(os.path.exists(expected), "parameters have the recorded digest")
    server.call("DELETE", "/api/delete", {"model": "u"})
    checks.true(not os.path.exists(expected), "parameters are gone with their model")
    server.post("/api/create", {"model": "p", "from": "a2", "parameters": PARAMS, "stream": False})


def main():
    oll, shared = os.path.abspath(sys.argv[1]), sys.argv[2]
    data = os.path.join(shared, "data", "ollama")
    if not os.path.exists(os.path.join(data, "store.jsonl")):
        skip("no data/ollama in the shared data")
    checks, mapping = Checks(), Mapping()
    with tempfile.TemporaryDirectory(prefix="oll-store-") as folder, \
            open(os.path.join(data, "store.jsonl"), encoding="utf-8") as f:
        tiny, models = os.path.join(folder, "tiny.gguf"), os.path.join(folder, "models")
        subprocess.run([sys.executable, "-B", os.path.join(data, "make_tiny_gguf.py"), tiny], check=True)
        with open(tiny, "rb") as t:
            content = t.read()
        with Server(oll, models) as server:
            server.upload(content)
            for case in map(json.loads, f):
                if case["id"] == "store/delete-many":
                    check_unrecorded(checks, server)
                status, reply = server.call(case["method"], case["path"], case["request"])
                checks.equal(status, case["status"], f"{case['id']}: status")
                if case["reply"] is not None:
                    checks.equal(json.loads(reply), case["reply"], f"{case['id']}: reply")
                upload = "blobs/sha256-" + hashlib.sha256(content).hexdigest()
                compare(checks, case["id"], models, case, mapping, upload)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
