#!/usr/bin/env python3
"""What commands that take a file make of their inputs: test_inputs.py OLL SHARED.

The golden models serve with other context lengths; nothing here is compared with recorded numbers.
"""
import json
import os
import subprocess
import sys
import tempfile

import gguf_file as gguf
import golden_run

SKIP = 77


class Case:
    def __init__(self, oll, folder, work):
        self.oll, self.folder, self.work = oll, folder, work

    def model(self, name, **keys):
        """A golden model with other keys."""
        metadata, tensors = gguf.read(os.path.join(self.folder, name + ".gguf"))
        arch = metadata["general.architecture"][1]
        for key, value in keys.items():
            metadata["%s.%s" % (arch, key)] = (gguf.U32, value)
        path = os.path.join(self.work, name + ".gguf")
        gguf.write(path, metadata, tensors)
        return path

    def text_vector(self, model, text):
        return json.loads(golden_run.command([self.oll, "embed", model, "--json", text]))["embeddings"][0]

    def ids(self, model, text):
        return json.loads(golden_run.command([self.oll, "tokenize", model, text]))

    def refused(self, *arguments):
        """The one line of an error."""
        done = subprocess.run([self.oll, *arguments], capture_output=True, text=True, timeout=60,
                              env=dict(os.environ, OLLAMA_HOST="127.0.0.1:1"), stdin=subprocess.DEVNULL)
        assert done.returncode == 1 and done.stdout == "", (done.returncode, done.stdout)
        assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1, done.stderr
        return done.stderr


def whole_of_a_long_text(c):
    """A model of a long context sees all of a text, also beyond what a chat gets by default."""
    model = c.model("qwen3-embedding", context_length=8192)
    text = "a" * 4990 + "b" * 10
    ids = c.ids(model, text)
    assert 4096 < len(ids) < 8192
    whole = golden_run.embedding(c.oll, model, ids, "cpu")
    assert golden_run.max_diff(c.text_vector(model, text), whole) < 1e-5
    assert golden_run.max_diff(c.text_vector(model, "a" * 5000), whole) > 1e-3


def text_beyond_the_context_is_cut(c):
    model = c.model("qwen3-embedding", context_length=64)
    ids = c.ids(model, "a" * 100)
    kept = ids[:63] + ids[-1:] if ids[-1] == 2 else ids[:64]
    assert golden_run.max_diff(c.text_vector(model, "a" * 100), golden_run.embedding(c.oll, model, kept, "cpu")) < 1e-5


def positions_bound_the_context(c):
    """The file promises more than its table of positions has."""
    model = c.model("bert", context_length=4000)
    assert len(c.text_vector(model, "a " * 1000)) > 0
    assert "learned positions" in c.refused("embed", model, "--tokens", ",".join(["5"] * 200))


def perplexity_needs_two_tokens(c):
    text = os.path.join(c.work, "text")
    with open(text, "w", encoding="utf-8") as f:
        f.write("some text")
    model = c.model("llama")
    assert "--ctx 1" in c.refused("perplexity", model, text, "--ctx", "1")
    assert json.loads(golden_run.command([c.oll, "perplexity", model, text, "--ctx", "2"]))["scored"] > 0


def an_encoder_predicts_nothing(c):
    assert "encoder" in c.refused("perplexity", c.model("bert"), os.path.join(c.folder, "real-text.txt"))
    assert "encoder" in c.refused("logits", c.model("bert"), "--tokens", "1,2", "--out", os.path.join(c.work, "l.npy"))


def run_says_once_what_is_wrong(c):
    """Files that are cut short, and those of an unknown kind; `oll run` has a server of its own for them."""
    path = c.model("llama")
    with open(path, "rb") as f:
        data = f.read()
    with open(path, "wb") as f:
        f.write(data[:3000])
    assert "tokenizer.ggml.tokens" in c.refused("run", path, "hi")
    with open(path, "wb") as f:
        f.write(data.replace(b"llama", b"lammo"))
    assert '"lammo" is not supported' in c.refused("run", path, "hi")


def output_that_is_lost_is_an_error(c):
    """A full disk; but not a reader that has seen enough."""
    for arguments in (["run", c.model("llama"), "hi"], ["--help"], ["tokenize", c.model("llama"), "hi"]):
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([c.oll, *arguments], stdout=full, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                                  timeout=60, env=dict(os.environ, OLLAMA_HOST="127.0.0.1:1"))
        assert done.returncode == 1 and done.stderr.startswith(b"Error: "), (arguments, done)
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([c.oll, "--help"], stdout=writer, stderr=subprocess.PIPE, timeout=60)
    os.close(writer)
    assert done.returncode == 0 and done.stderr == b"", done


CASES = [output_that_is_lost_is_an_error, run_says_once_what_is_wrong, whole_of_a_long_text, text_beyond_the_context_is_cut, positions_bound_the_context,
         perplexity_needs_two_tokens, an_encoder_predicts_nothing]


def main():
    oll, shared = sys.argv[1:3]
    folder = os.path.join(shared, "data", "golden")
    if not os.path.exists(os.path.join(folder, "llama.gguf")):
        print("SKIPPED: the golden models are absent (%s)" % folder)
        return SKIP
    n_failed = 0
    with tempfile.TemporaryDirectory() as work:
        for case in CASES:
            try:
                case(Case(oll, folder, work))
            except (RuntimeError, AssertionError) as e:
                n_failed += 1
                print("FAIL %s: %s" % (case.__name__, e))
    print("%d cases, %d failures" % (len(CASES), n_failed))
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
