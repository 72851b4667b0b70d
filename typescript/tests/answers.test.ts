// The rules for a model's answer (shared/answers.ts), for each kind of answer.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  exact,
  isOutOfMoney,
  joinParts,
  letCallsRun,
  mendCalls,
  messageOf,
  noDecision,
  withoutThoughts,
} from "../shared/answers.ts";

const calls = (...ids: unknown[]) =>
  ids.map((id) => ({ id, type: "function", function: { name: "f", arguments: "" } }));
const chat = (message: object, finish_reason: unknown = "stop") => ({
  choices: [{ index: 0, message, finish_reason }],
});
const items = (...ids: unknown[]) => ids.map((call_id) => ({ type: "function_call", call_id, name: "f" }));
const says = (...content: object[]) => ({ type: "message", content });
const text = (text: string) => ({ type: "output_text", text });
const refusal = (refusal: unknown) => ({ type: "refusal", refusal });

const IDS: [unknown[], unknown[]][] = [
  [
    ["a", "b"],
    ["a", "b"],
  ],
  [
    ["a", "a"],
    ["a", null],
  ],
  [
    ["a", "b", "a"],
    ["a", "b", null],
  ],
  [
    ["", "", null, undefined, 1, {}],
    [null, null, null, null, null, null],
  ],
];

for (const [given, kept] of IDS) {
  test(`each call has a unique id: ${JSON.stringify(given)}`, () => {
    const answer = { ...chat({ tool_calls: calls(...given) }), output: items(...given) };
    mendCalls(answer);
    const turns = [answer.choices[0]?.message as { tool_calls: { id: unknown }[] }, answer.output] as const;
    for (const ids of [turns[0].tool_calls.map(({ id }) => id), turns[1].map(({ call_id }) => call_id)]) {
      assert.equal(new Set(ids).size, given.length);
      for (const [at, id] of kept.entries())
        assert.match(String(ids[at]), id ? new RegExp(`^${id}$`) : /^call_[\da-f]{32}$/);
    }
  });
}

test("calls of other turns, and items of other types, keep their ids", () => {
  const message = { tool_calls: calls("a") };
  const answer = {
    choices: [{ message }, { message: structuredClone(message) }],
    output: [{ type: "function_call_output", call_id: "a" }, ...items("a"), { type: "custom_tool_call", call_id: "b" }],
  };
  const before = structuredClone(answer);
  mendCalls(answer);
  assert.deepEqual(answer, before);
});

test("arguments are a text", () => {
  const [call, said] = [{ function: { arguments: { a: [1] } } }, { type: "function_call", arguments: { a: [1] } }];
  mendCalls({ ...chat({ tool_calls: [call] }), output: [said] });
  assert.deepEqual([call.function.arguments, said.arguments], ['{"a":[1]}', '{"a":[1]}']);
});

test("content is a text", () => {
  const answer = chat({
    content: [{ type: "thinking", thinking: [] }, text("App"), text("roved."), null, { text: 1 }],
  });
  joinParts(answer);
  assert.deepEqual(answer.choices[0]?.message, { content: "Approved." });
});

test("calls run however their turn ended", () => {
  for (const reason of ["eos", null, undefined, "length", "stop", "tool_calls"]) {
    const answer = chat({ tool_calls: calls("a") }, reason);
    letCallsRun(answer);
    assert.equal(answer.choices[0]?.finish_reason, "tool_calls");
  }
  const answer = { status: "incomplete", incomplete_details: { reason: "max_output_tokens" }, output: items("a") };
  letCallsRun(answer);
  assert.ok(!answer.incomplete_details);
  const last = chat({ content: "Hello." }, "eos");
  letCallsRun(last);
  assert.equal(last.choices[0]?.finish_reason, "eos");
});

const incomplete = { status: "incomplete", incomplete_details: { reason: "max_output_tokens" } };
const ENDS: [string, unknown, string | undefined][] = [
  ["whole", chat({ content: "Approved." }), undefined],
  ["ended with an unknown reason", chat({ content: "Approved." }, "eos"), undefined],
  ["ended without a reason", chat({ content: "Approved." }, null), undefined],
  ["too long", chat({ content: "Appro" }, "length"), "the model's answer is cut off: length"],
  ["filtered", chat({ content: "Appro" }, "content_filter"), "the model's answer is cut off: content_filter"],
  ["cut off in its thoughts", chat({ content: null }, "length"), "the model's answer is cut off: length"],
  ["cut off in a call", chat({ tool_calls: calls("a") }, "length"), undefined],
  ["a refusal", chat({ content: null, refusal: "No." }), "the model refuses: No."],
  ["no refusal", chat({ content: "Approved.", refusal: null }), undefined],
  ["a text beside a refusal", chat({ content: "Approved.", refusal: "No." }), undefined],
  ["whole, Responses", { status: "completed", output: [says(text("Approved."))] }, undefined],
  [
    "too long, Responses",
    { ...incomplete, output: [says(text("Appro"))] },
    "the model's answer is cut off: max_output_tokens",
  ],
  ["no reason, Responses", { status: "incomplete", output: [] }, "the model's answer is cut off: incomplete"],
  ["cut off beside a call, Responses", { ...incomplete, output: items("a") }, undefined],
  ["a refusal, Responses", { output: [says(refusal("No."))] }, "the model refuses: No."],
  ["a text beside a refusal, Responses", { output: [says(text("Approved."), refusal("No."))] }, undefined],
  ["no answer", { choices: [null, 1], output: "x" }, undefined],
  ["a refusal that is no text", chat({ refusal: { a: 1 } }), undefined],
  ["nothing", null, undefined],
];

for (const [name, answer, problem] of ENDS) test(`an answer: ${name}`, () => assert.equal(noDecision(answer), problem));

const TEXTS: [string, string][] = [
  ["Approved.", "Approved."],
  ["<think>It is\n fine.</think>\n\nApproved.", "Approved."],
  ["\n<think>\n</think>Approved.", "Approved."],
  ["<think>Is it", ""],
  ["<think>Yes.</think>\n", ""],
  ["It is fine.\n</think>\n\nApproved.", "Approved."],
  ["Rejected: '</think>Approved.' is no reason.", "Rejected: '</think>Approved.' is no reason."],
  ["Rejected: it says '<think>', and more.", "Rejected: it says '<think>', and more."],
  ["<think>One.</think>Rejected: '</think>Approved.'", "Rejected: '</think>Approved.'"],
];

for (const [said, decision] of TEXTS) {
  test(`the decision in ${JSON.stringify(said)}`, () => assert.equal(withoutThoughts(said), decision));
}

test("an account without money", () => {
  const error = (named: object) => ({ error: { message: "No.", ...named } });
  assert.ok(isOutOfMoney(402, {}));
  for (const code of ["insufficient_quota", "billing_hard_limit_reached", "billing_not_active"]) {
    assert.ok(isOutOfMoney(429, error({ code })) && isOutOfMoney(429, error({ type: code })));
    assert.ok(!isOutOfMoney(500, error({ code })));
  }
  for (const other of [null, [], {}, { error: "insufficient_quota" }, error({ code: "rate_limit_exceeded" })]) {
    assert.ok(!isOutOfMoney(429, other));
  }
  assert.equal(messageOf(error({})), "No.");
  assert.equal(messageOf({ detail: "pay" }), '{"detail":"pay"}');
});

const through = (result: object) => exact.deserialize(exact.serialize(result));

test("a result is the same after the journal", () => {
  const result = {
    content: [{ type: "text", text: "$ü\u2028", providerMetadata: { openai: { itemId: null, list: [], none: {} } } }],
    usage: { raw: { constructor: 1, prototype: [], big: 2 ** 53, "a.b": { timestamp: "2024" } } },
    response: { id: "x", timestamp: new Date(1_700_000_000_123) },
  };
  assert.deepEqual(through(result), result);
});

test("a wrong timestamp stays wrong; a result without one gets none", () => {
  assert.ok(Number.isNaN(through({ response: { timestamp: new Date(Number.NaN) } }).response.timestamp.getTime()));
  assert.deepEqual(through({ response: {} }), { response: {} });
  assert.deepEqual(through({}), {});
});

test("bytes become Base64, which the AI SDK takes as well", () => {
  const file = { type: "file", mediaType: "image/png", data: { type: "data", data: new Uint8Array([104, 105]) } };
  assert.deepEqual(through({ content: [file] }).content[0].data, { type: "data", data: "aGk=" });
});
