#!/usr/bin/env python3
"""docs/openapi.yaml against the sources: every route and every field that is read stands in it, and nothing else.
test_openapi.py TOP."""
import os
import re
import sys

from served import Checks, skip

try:
    import yaml
except ImportError:
    skip("PyYAML (python3-yaml) is absent")

# Operations and the tables of fields that their bodies are read by: file, and the table's name where it has several.
TABLES = {
    "generate": [("ollama_call.h", None), ("ollama_generate.c", None)], "chat": [("ollama_call.h", None), ("ollama_chat.c", None)],
    "embed": [("ollama_embed.c", None)], "embeddings": [("ollama_embeddings.c", None)], "show": [("ollama_show.c", None)],
    "create": [("ollama_create.c", None)], "pull": [("ollama_transfer.c", None)], "push": [("ollama_transfer.c", None)],
    "copy": [("ollama_store.c", "copy_table")], "delete": [("ollama_store.c", "delete_table")],
    "tokenize": [("ollama_tokens.c", None)], "detokenize": [("ollama_tokens.c", None)],
    "chatCompletions": [("openai_chat.c", None)], "completions": [("openai_completions.c", None)],
    "openaiEmbeddings": [("openai_embeddings.c", None)], "rerank": [("openai_rerank.c", None)],
    "reranking": [("openai_rerank.c", None)], "rerankPlain": [("openai_rerank.c", None)],
    "responses": [("openai_responses.c", None)], "messages": [("anthropic.c", None)],
}
# One table serves both ways.
NOT_READ = {"tokenize": {"tokens"}, "detokenize": {"text", "add_special", "parse_special"}}


def read(top, *path):
    with open(os.path.join(top, *path), encoding="utf-8") as f:
        return f.read()


def routes_of_source(top):
    found = set()
    for methods, pattern in re.findall(r'\{((?:HEAD|GET|POST|DELETE)[A-Z| ]*), "([^"]+)", \w+', read(top, "server", "routes.c")):
        path = re.sub(r":(\w+)", r"{\1}", pattern)
        found |= {(m.strip(), path) for m in methods.split("|")}
    return found


def routes_of_document(document):
    return {(method.upper(), path) for path, item in document["paths"].items() for method in item if method != "parameters"}


def fields_of_source(top, file, table):
    text = read(top, "server", file)
    if table:
        text = text[text.index(table + "["):]
        text = text[:text.index("};")]
    found = set(re.findall(r'\{[\s\\]*"(\w+)", DECODE_', text))
    return found | ({"priority"} if "ollama_priority(root" in text else set())


def properties(document, schema):
    """Names of a schema's members, references and parts included."""
    if "$ref" in schema:
        return properties(document, document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]])
    found = set(schema.get("properties", {}))
    for part in schema.get("allOf", []):
        found |= properties(document, part)
    return found


def references(value):
    if isinstance(value, dict):
        for k, v in value.items():
            yield from [v] if k == "$ref" else references(v)
    elif isinstance(value, list):
        for v in value:
            yield from references(v)


def options_of_source(top):
    return set(re.findall(r'\{"(\w+)", KIND_', read(top, "server", "options.c"))) | {"stop"}


def check_references(checks, document):
    used = set(references(document))
    for r in sorted(used):
        kind, name = r.split("/")[2:]
        checks.true(name in document["components"][kind], f"{r} is there")
    for kind in ("schemas", "responses", "headers"):
        for name in document["components"][kind]:
            checks.true(f"#/components/{kind}/{name}" in used, f"{kind}/{name} is used")


def main():
    top = sys.argv[1]
    checks = Checks()
    document = yaml.safe_load(read(top, "docs", "openapi.yaml"))
    source, told = routes_of_source(top), routes_of_document(document)
    checks.true(len(source) > 30, f"routes were found: {len(source)}")
    checks.equal(sorted(source - told), [], "routes that the document lacks")
    checks.equal(sorted(told - source), [], "routes that there are not")
    operations = {o["operationId"]: o for item in document["paths"].values() for m, o in item.items() if m != "parameters"}
    checks.equal(len(operations), len(told), "each operation has a name of its own")
    with_body = {name for name, o in operations.items() if "application/json" in o.get("requestBody", {}).get("content", {})}
    checks.equal(with_body, set(TABLES), "bodies that have a table of fields")
    for name, tables in TABLES.items():
        schema = operations[name]["requestBody"]["content"]["application/json"]["schema"]
        expected = set().union(*(fields_of_source(top, *t) for t in tables)) - NOT_READ.get(name, set())
        checks.true(expected, f"{name}: fields were found")
        checks.equal(sorted(properties(document, schema)), sorted(expected), f"{name}: fields")
    checks.equal(sorted(document["components"]["schemas"]["Options"]["properties"]), sorted(options_of_source(top)), "options")
    check_references(checks, document)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
