#!/usr/bin/env python3
"""Python's ollama, openai, anthropic and langchain-ollama, unmodified: test_python_clients.py OLL SHARED CACHE.

CACHE is a folder for the packages, which are installed once.
"""
import json
import os
import subprocess
import sys
import tempfile
import venv

from clients_served import TOOL, Checks, install, make_models, model_server, skip

ASK = [{"role": "user", "content": "Say hello in five words."}]
FEW = {"num_predict": 24, "temperature": 0}


def fails(checks, what, kind, status, call):
    try:
        call()
        checks.true(False, f"{what}: no error")
    except kind as e:
        checks.equal(getattr(e, "status_code", None), status, f"{what}: {e}")


def check_ollama(checks, url):
    import ollama
    from pydantic import BaseModel

    class Town(BaseModel):
        name: str
        people: int

    client = ollama.Client(host=url)
    names = [m.model for m in client.list().models]
    checks.true({"smollm2:latest", "calls:latest"} <= set(names), f"ollama list: {names}")
    shown = client.show("smollm2")
    checks.true(shown.details.family == "llama" and "completion" in shown.capabilities, f"show: {shown.details}")
    whole = client.chat("smollm2", ASK, options=FEW)
    checks.true(whole.message.content and whole.done and whole.eval_count > 0, f"chat: {whole}")
    pieces = list(client.chat("smollm2", ASK, options=FEW, stream=True))
    checks.equal("".join(p.message.content for p in pieces), whole.message.content, "chat, streamed")
    checks.true(pieces[-1].done and len(pieces) > 2, "its last piece")
    text = client.generate("smollm2", "Once", options=FEW)
    streamed = "".join(p.response for p in client.generate("smollm2", "Once", options=FEW, stream=True))
    checks.equal(streamed, text.response, "generate, streamed")
    vectors = client.embed("smollm2", ["a", "b"]).embeddings
    checks.true(len(vectors) == 2 and abs(sum(x * x for x in vectors[0]) - 1) < 1e-3, "embed")
    town = client.chat("smollm2", [{"role": "user", "content": "Name a town."}], format=Town.model_json_schema(), options={**FEW, "num_predict": 80})
    checks.true(Town.model_validate_json(town.message.content), f"format: {town.message.content}")
    checks.true(client.chat("calls", ASK, tools=[TOOL], options=FEW).done, "chat with tools")
    client.copy("calls", "second")
    checks.equal(client.create("third", from_="calls", system="Be brief.").status, "success", "create")
    checks.equal(client.show("third").modelfile.count("Be brief."), 1, "what was created")
    checks.equal([client.delete(n).status for n in ("second", "third")], ["success"] * 2, "delete")
    checks.true(any(m.model == "smollm2:latest" for m in client.ps().models), "ps")
    fails(checks, "an absent model", ollama.ResponseError, 404, lambda: client.chat("nope", ASK))
    fails(checks, "tools of a model without", ollama.ResponseError, 400, lambda: client.chat("smollm2", ASK, tools=[TOOL]))
    fails(checks, "a pull from nowhere", ollama.ResponseError, 500, lambda: client.pull("localhost:1/x/y:z", insecure=True))
    stream = client.generate("smollm2", "Tell a long story", options={"num_predict": 2000}, stream=True)
    next(stream)
    stream.close()
    checks.true(client.generate("smollm2", "Once", options=FEW).response, "after a stream that was left")


def check_openai(checks, url):
    import openai
    from pydantic import BaseModel

    class Town(BaseModel):
        name: str
        people: int

    client = openai.OpenAI(base_url=url + "/v1", api_key="none")
    checks.true("smollm2:latest" in [m.id for m in client.models.list()], "openai models")
    checks.equal(client.models.retrieve("smollm2").object, "model", "a model")
    whole = client.chat.completions.create(model="smollm2", messages=ASK, max_tokens=24, temperature=0)
    checks.true(whole.choices[0].message.content and whole.usage.total_tokens > 0, f"chat: {whole}")
    chunks = list(client.chat.completions.create(model="smollm2", messages=ASK, max_tokens=24, temperature=0, stream=True,
                                                 stream_options={"include_usage": True}))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    checks.equal((text, chunks[-1].usage.completion_tokens), (whole.choices[0].message.content, whole.usage.completion_tokens), "chat, streamed")
    parsed = client.chat.completions.parse(model="smollm2", messages=[{"role": "user", "content": "Name a town."}],
                                           response_format=Town, max_tokens=80, temperature=0)
    checks.true(isinstance(parsed.choices[0].message.parsed, Town), f"parse: {parsed.choices[0].message.content}")
    called = client.chat.completions.create(model="calls", messages=ASK, tools=[TOOL], seed=1, max_tokens=100,
                                            tool_choice={"type": "function", "function": {"name": "book"}})
    call = called.choices[0].message.tool_calls[0]
    checks.true(call.function.name == "book" and json.loads(call.function.arguments)["zone"] in ("north", "south"), f"tools: {call}")
    text = client.completions.create(model="smollm2", prompt="Once", max_tokens=8, temperature=0, n=2)
    checks.equal(len(text.choices), 2, "completions")
    vectors = client.embeddings.create(model="smollm2", input=["a", "b"])
    checks.true(len(vectors.data) == 2 and isinstance(vectors.data[0].embedding[0], float), "embeddings (base64 underneath)")
    answer = client.responses.create(model="smollm2", input="Say hello.", max_output_tokens=24)
    checks.true(answer.output_text, f"responses: {answer}")
    kinds = [e.type for e in client.responses.create(model="smollm2", input="Say hello.", max_output_tokens=24, stream=True)]
    checks.true(kinds[0] == "response.created" and kinds[-1] in ("response.completed", "response.incomplete"), f"responses, streamed: {kinds}")
    fails(checks, "an absent model", openai.NotFoundError, 404, lambda: client.chat.completions.create(model="nope", messages=ASK))
    fails(checks, "a bad schema", openai.BadRequestError, 400, lambda: client.chat.completions.create(
        model="smollm2", messages=ASK, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "y"}}}))
    stream = client.chat.completions.create(model="smollm2", messages=ASK, stream=True, max_tokens=2000)
    next(iter(stream))
    stream.close()


def check_anthropic(checks, url):
    import anthropic

    client = anthropic.Anthropic(base_url=url, api_key="none", max_retries=0)
    whole = client.messages.create(model="smollm2", max_tokens=24, messages=ASK, system="Be brief.", extra_body={"temperature": 0})
    checks.true(whole.content[0].text and whole.usage.output_tokens > 0, f"anthropic: {whole}")
    with client.messages.stream(model="smollm2", max_tokens=24, messages=ASK, system="Be brief.", extra_body={"temperature": 0}) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    checks.equal((text, final.stop_reason), (whole.content[0].text, whole.stop_reason), "messages, streamed")
    tool = {"name": "book", "description": "d", "input_schema": TOOL["function"]["parameters"]}
    checks.true(client.messages.create(model="calls", max_tokens=8, messages=ASK, tools=[tool]).id, "messages with tools")
    fails(checks, "an absent model", anthropic.NotFoundError, 404,
          lambda: client.messages.create(model="nope", max_tokens=8, messages=ASK))
    fails(checks, "no tokens", anthropic.BadRequestError, 400,
          lambda: client.messages.create(model="smollm2", max_tokens=0, messages=ASK))


def check_langchain(checks, url):
    from langchain_ollama import ChatOllama, OllamaEmbeddings
    from pydantic import BaseModel

    class Town(BaseModel):
        name: str
        people: int

    model = ChatOllama(model="smollm2", base_url=url, temperature=0, num_predict=24)
    whole = model.invoke("Say hello.")
    checks.true(whole.content and whole.usage_metadata["output_tokens"] > 0, f"langchain: {whole}")
    checks.equal("".join(c.content for c in model.stream("Say hello.")), whole.content, "langchain, streamed")
    typed = ChatOllama(model="smollm2", base_url=url, temperature=0, num_predict=80).with_structured_output(Town, method="json_schema")
    checks.true(isinstance(typed.invoke("Name a town."), Town), "langchain, structured")
    checks.equal(len(OllamaEmbeddings(model="smollm2", base_url=url).embed_documents(["a", "b"])), 2, "langchain, embeddings")
    checks.true(ChatOllama(model="calls", base_url=url, num_predict=8).bind_tools([TOOL]).invoke("x").id, "langchain, tools")


def check_all(url):
    checks = Checks()
    for check in (check_ollama, check_openai, check_anthropic, check_langchain):
        check(checks, url)
    return checks.finish()


def main():
    if sys.argv[1] == "--inside":
        return check_all(sys.argv[2])
    oll, shared, cache = sys.argv[1:4]
    here = os.path.dirname(os.path.abspath(__file__))
    folder = os.path.join(cache, "python")
    python = os.path.join(folder, "bin", "python")
    with tempfile.TemporaryDirectory() as temporary:
        server = model_server(oll, shared, temporary)
        if not os.path.exists(python):
            try:
                venv.create(folder, with_pip=True)
            except subprocess.CalledProcessError as e:
                skip(f"no virtual environment can be made (python3-venv): {e}")
        install(os.path.join(folder, "installed"), [python, "-m", "pip", "install", "--quiet", "-r", os.path.join(here, "requirements.txt")],
                "the Python clients")
        with server:
            make_models(server)
            return subprocess.run([python, os.path.abspath(__file__), "--inside", server.url], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
