// The rules for a streamed answer (shared/answer_streams.ts), with the cases of tests/durable/test_answer_streams.py.

import assert from "node:assert/strict";
import { once } from "node:events";
import * as http from "node:http";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { TerminalError } from "@restatedev/restate-sdk";
import { AnswerStream, BadStream, ErrorEvent, Undecided } from "../shared/answer_streams.ts";
import { BadAnswer } from "../shared/answers.ts";

// biome-ignore lint/suspicious/noExplicitAny: events of two APIs
type Event = any;

const DONE = "data: [DONE]\n\n";
const streamOf = (events: Event[], end = "") =>
  [": keep-alive\n\n", ...events.map((event) => `data: ${JSON.stringify(event)}\n\n`), end].join("");

/** The output of the filter, which gets `size` bytes at a time. */
function filtered(data: string, size = 7): string {
  const [stream, bytes, passed] = [new AnswerStream(), Buffer.from(data), [] as Uint8Array[]];
  for (let at = 0; at < bytes.length; at += size) passed.push(...stream.feed(bytes.subarray(at, at + size)));
  return Buffer.concat([...passed, ...stream.feed()]).toString();
}

const eventsOf = (data: string): Event[] =>
  data
    .split(/\r\n|\n|\r/)
    .filter((line) => line.startsWith("data: {"))
    .map((line) => JSON.parse(line.slice(6)));

const chunk = (delta: object, finish_reason: string | null = null) => ({
  choices: [{ index: 0, delta, finish_reason }],
});
const called = (index: number, id: unknown, args = "") =>
  chunk({ tool_calls: [{ index, ...(id === undefined ? {} : { id }), function: { arguments: args } }] });
const item = (call_id: unknown) => ({ type: "function_call", call_id, name: "f" });
const added = (output_index: number, call_id: unknown) => ({
  type: "response.output_item.added",
  output_index,
  item: item(call_id),
});
const completed = (...output: object[]) => ({ type: "response.completed", response: { status: "completed", output } });
const says = (...content: object[]) => completed({ type: "message", content });

test("an answer without a fault stays as it is", () => {
  const chat = [chunk({ role: "assistant", content: "" }), chunk({ content: "Grüße 🎉" }), chunk({}, "stop")];
  const responses = [
    added(1, "a"),
    { type: "response.output_text.delta", delta: "🎉" },
    completed({ type: "reasoning" }, item("a")),
  ];
  for (const data of [streamOf(chat, DONE), streamOf(responses)]) {
    for (const size of [1, 2, 3, 1_000]) assert.equal(filtered(data, size), data);
    for (const end of ["\r\n", "\r"])
      assert.deepEqual(eventsOf(filtered(data.replaceAll("\n", end), 1)), eventsOf(data));
  }
});

test("each call has a unique id", () => {
  const chat = [called(0, "a"), called(0, undefined, "{"), called(1, "a"), called(1, "a", "}"), chunk({}, "stop")];
  const told = eventsOf(filtered(streamOf(chat)));
  const ids = told.map(({ choices: [{ delta }] }) => delta.tool_calls?.[0].id);
  assert.match(ids[2], /^call_[\da-f]{32}$/);
  assert.deepEqual(ids, ["a", undefined, ids[2], undefined, undefined]);
  assert.equal(told.at(-1).choices[0].finish_reason, "tool_calls");

  const responses = [added(0, "a"), added(1, "a"), added(2, ""), completed(item("a"), item("a"), item(""))];
  const [first, second, third, end] = eventsOf(filtered(streamOf(responses)));
  const own = [first, second, third].map((event) => event.item.call_id);
  assert.equal(new Set(own).size, 3);
  assert.equal(own[0], "a");
  assert.deepEqual(
    end.response.output.map((call: Event) => call.call_id),
    own,
  );
});

test("half an emoji waits for its other half", () => {
  const pieces = ["a\ud83c", "", "\udf89b\ud83c", "c", "\ud83c"];
  const where = { item_id: "m", output_index: 0 };
  const text = { type: "output_text", text: pieces.join("") };
  const chat = [...pieces.map((content) => chunk({ content })), chunk({}, "stop")];
  const responses = [
    ...pieces.map((delta) => ({ type: "response.output_text.delta", ...where, delta })),
    { type: "response.output_text.done", ...where, text: text.text },
    says(text),
  ];
  const deltas = eventsOf(filtered(streamOf(chat))).map(({ choices: [{ delta }] }) => delta.content ?? "");
  assert.equal(deltas.join(""), "a🎉b\ufffdc\ufffd");
  assert.ok(deltas.every((delta) => delta.isWellFormed()));
  const told = eventsOf(filtered(streamOf(responses)));
  assert.equal(told.map(({ delta }) => delta ?? "").join(""), "a🎉b\ufffdc\ufffd");
  assert.equal(told.at(-1).response.output[0].content[0].text, "a🎉b\ufffdc\ufffd");
});

test("a stream that is no answer, or not a whole one", () => {
  for (const data of [
    "",
    DONE,
    "data: <html>\n\n",
    streamOf([chunk({ content: "a" })], DONE),
    streamOf([added(0, "a")]),
  ])
    assert.throws(() => filtered(data), BadStream);
  assert.throws(() => filtered(streamOf([{ type: "response.completed", response: {} }])), BadStream);
});

const incomplete = { type: "response.incomplete", response: { status: "incomplete", output: [] } };
const UNDECIDED: [Event[], string][] = [
  [[chunk({ content: "a" }), chunk({}, "length")], "the model's answer is cut off: length"],
  [[chunk({ refusal: "No" }), chunk({ refusal: "." }), chunk({}, "stop")], "the model refuses: No."],
  [[incomplete], "the model's answer is cut off: incomplete"],
  [[says({ type: "refusal", refusal: "No." })], "the model refuses: No."],
];
for (const [events, message] of UNDECIDED)
  test(message, () => assert.throws(() => filtered(streamOf(events)), new Undecided(message)));

const ERRORS: [object, number][] = [
  [{ error: { code: 503 } }, 503],
  [{ error: { type: "server_error", code: null } }, 500],
  [{ error: { code: "invalid_api_key" } }, 400],
  [{ error: { type: "insufficient_quota" } }, 429],
  [{ error: "overloaded" }, 500],
  [{ type: "error", code: "rate_limit_exceeded" }, 429],
  [{ type: "response.failed", response: { error: { code: "invalid_prompt" } } }, 400],
  [{ type: "response.failed" }, 500],
];
for (const [event, status] of ERRORS)
  test(`an error event: ${JSON.stringify(event)}`, () =>
    assert.throws(
      () => filtered(streamOf([event])),
      (error) => error instanceof ErrorEvent && error.status === status,
    ));

let body = "";
const server = http.createServer((_, response) => {
  response.writeHead(200, { "content-type": "text/event-stream" }).end(body);
});
await once(server.listen(0, "127.0.0.1"), "listening");
after(() => server.close());
process.env.OPENAI_API_KEY = "none";
process.env.OPENAI_BASE_URL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
const { openai } = await import("../shared/llm.ts");
const { modelCalls } = await import("../shared/model_calls.ts");
const { whole } = await import("../shared/streamed_calls.ts");

test("a model call fails with what ended its stream", async () => {
  const call = async (...events: Event[]) => {
    body = streamOf(events);
    const prompt = [{ role: "user" as const, content: [{ type: "text" as const, text: "Hello" }] }];
    let said: object | undefined;
    const request = { id: crypto.randomUUID(), attemptCompletedSignal: new AbortController().signal };
    // biome-ignore lint/suspicious/noExplicitAny: the part of a request that is read
    await modelCalls({ request } as any).interceptor?.run?.("calling openai", async () => {
      const { stream } = await openai.chat("m").doStream({ prompt });
      said = (await whole(stream)).content;
    });
    return said;
  };
  const said = chunk({ content: "Approved." });
  assert.deepEqual(await call(said, chunk({}, "stop")), [{ type: "text", text: "Approved." }]);
  await assert.rejects(
    call(said, chunk({}, "length")),
    (error) => error instanceof TerminalError && error.message === "the model's answer is cut off: length",
  );
  await assert.rejects(
    call(said, { error: { message: "No.", code: 401 } }),
    (error) => error instanceof TerminalError && error.code === 401 && error.message.endsWith("the call: 401: No."),
  );
  for (const events of [[said], [said, { error: { code: 500 } }]]) await assert.rejects(call(...events), BadAnswer);
});
