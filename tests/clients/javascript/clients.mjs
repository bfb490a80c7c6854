// JavaScript's ollama and openai, unmodified: node clients.mjs URL. Prints what failed; the exit code says whether any did.
import { Ollama } from "ollama";
import OpenAI from "openai";

const url = process.argv[2];
const ask = [{ role: "user", content: "Say hello in five words." }];
const few = { num_predict: 24, temperature: 0 };
let checks = 0, failed = 0;

function ok(condition, what) {
  checks++;
  if (!condition) {
    failed++;
    console.log(`FAILED ${what}`);
  }
}

async function fails(status, what, call) {
  try {
    await call();
    ok(false, `${what}: no error`);
  } catch (e) {
    ok((e.status ?? e.status_code) === status, `${what}: ${e.status ?? e.status_code} ${e.message}`);
  }
}

const tool = {
  type: "function",
  function: {
    name: "book", description: "books seats",
    parameters: {
      type: "object", required: ["zone", "seats"],
      properties: { zone: { type: "string", enum: ["north", "south"] }, seats: { type: "integer", minimum: 1, maximum: 4 } },
    },
  },
};
const schema = { type: "object", required: ["name", "people"], properties: { name: { type: "string" }, people: { type: "integer" } } };

async function checkOllama() {
  const client = new Ollama({ host: url });
  const names = (await client.list()).models.map((m) => m.model);
  ok(names.includes("smollm2:latest") && names.includes("calls:latest"), `list: ${names}`);
  ok((await client.show({ model: "smollm2" })).details.family === "llama", "show");
  const whole = await client.chat({ model: "smollm2", messages: ask, options: few });
  ok(whole.message.content && whole.done, "chat");
  let text = "", pieces = 0;
  for await (const part of await client.chat({ model: "smollm2", messages: ask, options: few, stream: true })) {
    text += part.message.content;
    pieces++;
  }
  ok(text === whole.message.content && pieces > 2, `chat, streamed: ${text}`);
  ok((await client.generate({ model: "smollm2", prompt: "Once", options: few })).response, "generate");
  ok((await client.embed({ model: "smollm2", input: ["a", "b"] })).embeddings.length === 2, "embed");
  const town = JSON.parse((await client.chat({
    model: "smollm2", messages: [{ role: "user", content: "Name a town." }], format: schema, options: { ...few, num_predict: 80 },
  })).message.content);
  ok(typeof town.name === "string" && Number.isInteger(town.people), `format: ${JSON.stringify(town)}`);
  ok((await client.chat({ model: "calls", messages: ask, tools: [tool], options: few })).done, "chat with tools");
  await client.copy({ source: "calls", destination: "second" });
  ok((await client.create({ model: "third", from: "calls", system: "Be brief." })).status === "success", "create");
  ok((await client.delete({ model: "second" })).status === "success", "delete");
  await client.delete({ model: "third" });
  ok((await client.ps()).models.length > 0, "ps");
  await fails(404, "an absent model", () => client.chat({ model: "nope", messages: ask }));
  await fails(500, "a pull from nowhere", () => client.pull({ model: "localhost:1/x/y:z", insecure: true }));
  const stream = await client.generate({ model: "smollm2", prompt: "Tell a long story", options: { num_predict: 2000 }, stream: true });
  try {
    for await (const _ of stream) client.abort();
    ok(false, "a stream goes on when it is aborted");
  } catch (e) {
    ok(e.name === "AbortError", `abort: ${e.name}`);
  }
}

async function checkOpenAI() {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
  const whole = await client.chat.completions.create({ model: "smollm2", messages: ask, max_tokens: 24, temperature: 0 });
  ok(whole.choices[0].message.content && whole.usage.total_tokens > 0, "openai chat");
  let text = "";
  for await (const chunk of await client.chat.completions.create({ model: "smollm2", messages: ask, max_tokens: 24, temperature: 0, stream: true }))
    text += chunk.choices[0]?.delta?.content ?? "";
  ok(text === whole.choices[0].message.content, `openai chat, streamed: ${text}`);
  const called = await client.chat.completions.create({
    model: "calls", messages: ask, tools: [tool], seed: 1, max_tokens: 100, tool_choice: { type: "function", function: { name: "book" } },
  });
  const args = JSON.parse(called.choices[0].message.tool_calls[0].function.arguments);
  ok(["north", "south"].includes(args.zone), "openai tools");
  const typed = await client.chat.completions.create({
    model: "smollm2", messages: [{ role: "user", content: "Name a town." }], max_tokens: 80, temperature: 0,
    response_format: { type: "json_schema", json_schema: { name: "town", schema } },
  });
  ok(Number.isInteger(JSON.parse(typed.choices[0].message.content).people), "openai schema");
  ok((await client.embeddings.create({ model: "smollm2", input: ["a", "b"] })).data.length === 2, "openai embeddings");
  ok((await client.responses.create({ model: "smollm2", input: "Say hello.", max_output_tokens: 24 })).output_text, "openai responses");
  ok((await client.models.list()).data.some((m) => m.id === "smollm2:latest"), "openai models");
  await fails(404, "an absent model", () => client.chat.completions.create({ model: "nope", messages: ask }));
  const stream = await client.chat.completions.create({ model: "smollm2", messages: ask, max_tokens: 2000, stream: true });
  for await (const _ of stream) {
    stream.controller.abort();
    break;
  }
}

await checkOllama();
await checkOpenAI();
console.log(`${checks} checks, ${failed} failed`);
process.exit(failed ? 1 : 0);
