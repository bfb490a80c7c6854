#!/usr/bin/env python3
"""The recorded prompts and replies through `oll template`: test_template.py OLL SHARED.

Every line of render-*.jsonl and parse-*.jsonl goes through the command, in one run of it per file. Where the recorded
server has a defect (SHARED/data/ollama/README.md) the answer stated there is asked for.
"""
import json
import os
import subprocess
import sys

# Texts whose uncut recording is a defect: all of it is content (spec 5.3).
ALL_CONTENT = ["laguna/unicode/", "poolside-v1/unicode/", "tag-brace/plain/", "tag-brace/barr/", "tag-brace/text-before/"]


class Data:
    def __init__(self, folder):
        self.folder = folder
        self.conversations = self.load("conversations.json")
        self.go = self.load("templates.json")
        self.jinja = self.load("jinja-templates.json")
        self.setup = self.load("parse-setup.json")

    def load(self, name):
        with open(os.path.join(self.folder, name), encoding="utf-8") as f:
            return json.load(f)

    def lines(self, name):
        with open(os.path.join(self.folder, name), encoding="utf-8") as f:
            return [json.loads(line) for line in f]


def run(oll, command, questions):
    text = "".join(json.dumps(q) + "\n" for q in questions)
    done = subprocess.run([oll, "template", command], input=text, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr}")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if len(answers) != len(questions):
        raise RuntimeError(f"{len(answers)} answers to {len(questions)} lines")
    return answers


# ---- prompts ----


def conversation(data, case):
    if "conversation" not in case:
        return {"prompt": case["prompt"], "suffix": case["suffix"]}
    c = data.conversations[case["conversation"]]
    return {k: c[k] for k in ("messages", "tools", "think") if k in c}


def question(data, name, case):
    q = conversation(data, case)
    if name == "render-renderers.jsonl":
        q.update(renderer=case["renderer"], date="2026-11-23")
    elif name == "render-named.jsonl":
        q["name"] = case["template"]
    elif name == "render-own.jsonl":
        q["template"] = case.get("template_text") or data.go[case["template"]]["text"]
    else:
        q.update(jinja=data.jinja[case["template"]], bos_token="<s>", eos_token="</s>")
    return q


def own_basic(data, case):
    """The template `basic` was taken for ChatML: its prompts with its own markers."""
    messages = data.conversations[case["conversation"]]["messages"]
    prefill = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
    turns = messages[:-1] if messages[-1]["role"] == "assistant" else messages
    return "".join(f"<|turn|>{m['role']}\n{m['content']}<|end|>\n" for m in turns) + "<|turn|>assistant\n" + prefill


def expected_prompt(data, case):
    text = case["expected"]
    if case["id"].startswith("jinja/basic/"):
        return own_basic(data, case)
    if case["id"].startswith("jinja/slices/"):
        return text.replace("|012|", "|[0, 1, 2]|").replace("|x1True", "|x1TrueNone")
    if case["id"] == "jinja/think/think-history":
        return text.replace("user:What is 7*6?42user", "user:What is 7*6?<think>seven times six</think>42user")
    return text


def same_error(found, recorded):
    """Names of Go's types are free; a native refusal is the text of the template's exception."""
    if "Jinja Exception: " in recorded:
        recorded = recorded.partition("Jinja Exception: ")[2].partition('"')[0]
    for mark in (" in type ", "comparison: "):
        recorded = recorded.partition(mark)[0]
    return found.startswith(recorded)


def judge_prompt(data, case, answer):
    if "expected" in case:
        want = {"prompt": expected_prompt(data, case)}
        return answer == want or f"got  {answer}\n     want {want}"
    if case.get("status") == 500:  # refusing is allowed, and so is doing better
        return True
    return same_error(answer.get("error", ""), case["error"]) or f"got  {answer}\n     want {case['error']}"


# ---- replies ----


def plain(answer, sort_keys):
    """What counts of an answer."""
    kept = {k: answer[k] for k in ("content", "thinking", "tool_calls", "error") if answer.get(k)}
    return json.dumps(kept, sort_keys=sort_keys)


def reply_question(data, case):
    q = {k: case[k] for k in ("chunks", "parser", "tag", "open", "close", "think", "last_message") if k in case}
    if "tools" in case:
        q["tools"] = data.setup[case["tools"]] if isinstance(case["tools"], str) else case["tools"]
    return q


def judge_replies(data, cases, answers):
    """By the recording of the uncut text, whatever the cut."""
    whole = {c["id"].rpartition("/")[0]: c["expected"] for c in cases if c["id"].endswith("/whole")}
    for case, answer in zip(cases, answers):
        text = case["id"].rpartition("/")[0]
        want = whole.get(text, case["expected"])
        if any(part in text + "/" for part in ALL_CONTENT):
            want = {"content": "".join(case["chunks"])}
        sort_keys = "tag" in case
        ok = plain(answer, sort_keys) == plain(want, sort_keys)
        yield case, ok or f"got  {plain(answer, sort_keys)}\n     want {plain(want, sort_keys)}"


# ---- all ----


def check(name, verdicts, n_expected):
    failed = n = 0
    for case, verdict in verdicts:
        n += 1
        if verdict is not True:
            failed += 1
            print(f"FAIL {case['id']}: {verdict}")
    print(f"{name}: {n} cases, {failed} failed")
    return failed + (n < n_expected)


def check_model(oll, data, models):
    """A model by its file: the prompt of its own template."""
    path = os.path.join(models or "", "SmolLM2-135M-Instruct.Q4_1.gguf")
    if not models or not os.path.exists(path):
        print("SKIP: SmolLM2 is absent (OLL_TEST_MODELS)")
        return 0
    messages = data.conversations["multi"]["messages"]
    want = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages) + "<|im_start|>assistant\n"
    answers = run(oll, "render", [{"model": path, "messages": messages}, {"model": "/nowhere.gguf", "messages": messages}])
    failed = answers[0] != {"prompt": want} or "/nowhere.gguf" not in answers[1].get("error", "")
    reply = run(oll, "parse", [{"model": path, "chunks": ["a", "b"]}])[0]
    failed = failed or (reply["content"], reply["tool_calls"]) != ("ab", [])
    shown = subprocess.run([oll, "template", "show", path], capture_output=True, text=True).stdout
    failed = failed or "chat template of the model's file" not in shown or "add_generation_prompt" not in shown
    print(f"a model by its file: {'FAILED ' + repr((answers, reply, shown)) if failed else 'ok'}")
    return int(failed)


def main():
    oll, shared = sys.argv[1:]
    folder = os.path.join(shared, "data", "ollama")
    if not os.path.isdir(folder):
        print(f"SKIP: {folder} is absent")
        return 77
    data = Data(folder)
    failed = 0
    for name, n in (("render-renderers.jsonl", 519), ("render-named.jsonl", 420), ("render-own.jsonl", 341),
                    ("render-jinja.jsonl", 147)):
        cases = [c for c in data.lines(name) if not c.get("unstable")]
        answers = run(oll, "render", [question(data, name, c) for c in cases])
        failed += check(name, ((c, judge_prompt(data, c, a)) for c, a in zip(cases, answers)), n)
    for name, n in (("parse-model.jsonl", 1510), ("parse-generic-tools.jsonl", 201), ("parse-thinking.jsonl", 78)):
        cases = data.lines(name)
        answers = run(oll, "parse", [reply_question(data, c) for c in cases])
        failed += check(name, judge_replies(data, cases, answers), n)
    failed += check_model(oll, data, os.environ.get("OLL_TEST_MODELS"))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
