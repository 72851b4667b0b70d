// The reports of an agent, as a server in place of Restate's ingress gets them.

import assert from "node:assert/strict";
import { once } from "node:events";
import * as http from "node:http";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { type Context, RestatePromise, TerminalError } from "@restatedev/restate-sdk";
import { BadAnswer } from "../shared/answers.ts";

type Report = Record<string, unknown>;

const taken = new Map<string, Report[]>();
const statuses: number[] = []; // of the next answers; then 202
const SLOW = 0; // no status: the connection breaks off after a while

const ingress = http.createServer(async (request, response) => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const status = statuses.shift() ?? 202;
  if (status === SLOW) {
    await setTimeout(2_200); // longer than an absent ingress is waited for
    request.socket.destroy();
    return;
  }
  const invocation = request.url?.split("/")[4] as string;
  const { reports } = JSON.parse(Buffer.concat(chunks).toString());
  if (status === 202) taken.set(invocation, [...(taken.get(invocation) ?? []), ...reports]);
  assert.equal(request.url, `/restate/send/AgentEvents/${invocation}/record`);
  assert.equal(request.headers.authorization, "Bearer secret");
  response.writeHead(status).end("{}");
});
await once(ingress.listen(0, "127.0.0.1"), "listening");
after(() => ingress.close());

Object.assign(process.env, {
  RESTATE_INGRESS_URL: `http://127.0.0.1:${(ingress.address() as AddressInfo).port}/`,
  RESTATE_AUTH_TOKEN: "secret",
  OPENAI_API_KEY: "none",
});
const { modelCall, report, streamed } = await import("../shared/streaming.ts");
const { whole } = await import("../shared/streamed_calls.ts");

const LIVE = new Map([["x-agent-events", "live"]]);

/** An attempt of an invocation, whose steps have these results. */
const attempt = (id: string, results: Record<string, RestatePromise<string>> = {}) =>
  ({ request: () => ({ id, headers: LIVE }), run: (name: string) => results[name] }) as unknown as Context;

const nothing = async () => "";

test("an ingress that is slow from the beginning gets all reports", async () => {
  const run = streamed(async (ctx: Context, _: string) => await ctx.run("cost", nothing));
  statuses.push(SLOW);
  assert.equal(await run(attempt("s", { cost: RestatePromise.resolve("reasonable") }), ""), "reasonable");
  assert.equal(taken.get("s")?.length, 2);
});

test("steps, tokens and turns are reported in their order, and not again in the next attempt", async () => {
  const said = "App😀é";
  const run = streamed(async (ctx: Context, decision: string) => {
    const call = modelCall(ctx);
    await ctx.run("call LLM", nothing);
    call?.inJournal("", [{ id: "1", name: "check", arguments: "{}" }]);
    const checks = await RestatePromise.all([ctx.run("cost", nothing), ctx.run("fraud", nothing)]);
    assert.deepEqual(checks, ["reasonable", "low risk"]);
    report(ctx, "wait", "waits", { for: "a person" });
    const last = modelCall(ctx);
    const heard = last?.attempt();
    for (const unit of said.split("")) heard?.(unit); // half an emoji at a time
    while (taken.get("a")?.at(-1)?.kind !== "tokens") await setTimeout(10);
    heard?.("\ud83d");
    heard?.(".");
    last?.inJournal(decision, []);
    if (!over) throw new Error("the attempt is over");
    return decision;
  });
  let over = false;
  const results = () => ({
    "call LLM": RestatePromise.resolve(""),
    cost: RestatePromise.resolve("reasonable"),
    fraud: RestatePromise.resolve("low risk"),
  });
  await assert.rejects(run(attempt("a", results()), `${said}\ud83d.`), /the attempt is over/);
  const first = taken.get("a")?.splice(0) ?? [];
  const step = (step: number, name: string, ended: boolean) => ({ kind: "step", step, name, ended });
  const tokens = (at: number, text: string) => ({ kind: "tokens", message: 2, at, text });
  assert.deepEqual(
    first.map(({ attempt: _, ...report }) => report),
    [
      { kind: "turn", message: 1, text: "", calls: [{ id: "1", name: "check", arguments: "{}" }] },
      step(1, "cost", false),
      step(2, "fraud", false),
      step(1, "cost", true),
      step(2, "fraud", true),
      { kind: "note", key: "wait", name: "waits", value: { for: "a person" } },
      tokens(0, "App😀é"),
      tokens(5, "\ufffd."), // an emoji is one character
      { kind: "turn", message: 2, text: "App😀é\ufffd.", calls: [] },
    ],
  );
  over = true;
  assert.equal(await run(attempt("a", results()), "Approved."), "Approved.");
  const again = taken.get("a") ?? [];
  assert.deepEqual(new Set(again.map(({ kind }) => kind)), new Set(["tokens"]));
  assert.notEqual(again[0]?.attempt, first[6]?.attempt);
});

test("the answer is given once its reports are accepted", async () => {
  const run = streamed(async (ctx: Context, _: string) => await ctx.run("cost", nothing));
  statuses.push(503, 500);
  assert.equal(await run(attempt("b", { cost: RestatePromise.resolve("reasonable") }), ""), "reasonable");
  assert.equal(taken.get("b")?.length, 2);
});

test("a step that has failed has ended, and its error stays", async () => {
  const run = streamed(async (ctx: Context, _: string) => await ctx.run("cost", nothing));
  const failed = new TerminalError("no rates", { errorCode: 418 });
  await assert.rejects(run(attempt("d", { cost: RestatePromise.reject(failed) }), ""), failed);
  assert.deepEqual(
    taken.get("d")?.map(({ ended }) => ended),
    [false, true],
  );
});

test("without `streamed`, nothing is reported", () => assert.equal(modelCall(attempt("e")), undefined));

type Stream = Parameters<typeof whole>[0];
const stream = (...parts: object[]) => ReadableStream.from(parts) as unknown as Stream;
const end = { finishReason: { unified: "stop", raw: "stop" }, usage: { raw: { total_tokens: 3 } } };
const itemId = (itemId: string) => ({ providerMetadata: { openai: { itemId } } });

test("the answer of a stream is that of a call without a stream", async () => {
  const heard: string[] = [];
  const call = { type: "tool-call", toolCallId: "1", toolName: "check", input: '{"a": 1}', ...itemId("fc") };
  const answer = await whole(
    stream(
      { type: "stream-start", warnings: [] },
      { type: "response-metadata", id: "r", modelId: "m" },
      { type: "reasoning-start", id: "a", ...itemId("r") },
      { type: "text-start", id: "a", ...itemId("m") },
      { type: "text-delta", id: "a", delta: "App" },
      { type: "reasoning-delta", id: "a", delta: "Hm." },
      { type: "text-delta", id: "a", delta: "roved." },
      { type: "text-end", id: "a" },
      { type: "tool-input-start", id: "1", toolName: "check" },
      { type: "tool-input-delta", id: "1", delta: '{"a": 1}' },
      call,
      { type: "reasoning-end", id: "a", ...itemId("later") },
      { type: "finish", ...end, providerMetadata: { openai: { responseId: "r" } } },
    ),
    (piece) => heard.push(piece),
  );
  assert.deepEqual(heard, ["App", "roved."]);
  assert.deepEqual(answer, {
    content: [
      { type: "reasoning", text: "Hm.", ...itemId("later") },
      { type: "text", text: "Approved.", ...itemId("m") },
      call,
    ],
    ...end,
    providerMetadata: { openai: { responseId: "r" } },
    warnings: [],
    response: { id: "r", modelId: "m" },
  });
});

for (const [name, ...last] of [
  ["without its end"],
  ["interrupted", { type: "finish", ...end, finishReason: { unified: "interrupted" } }],
  ["with an error", { type: "error", error: { message: "overloaded" } }, { type: "finish", ...end }],
] as [string, ...object[]][]) {
  test(`a stream that breaks off: ${name}`, async () => {
    const parts = [{ type: "text-start", id: "0" }, { type: "text-delta", id: "0", delta: "App" }, ...last];
    await assert.rejects(whole(stream(...parts)), BadAnswer);
  });
}

test("without an event log, the answer is given without reports", async () => {
  const run = streamed(async (ctx: Context, _: string) => await ctx.run("cost", nothing));
  statuses.push(404);
  for (const id of ["c", "f"]) {
    assert.equal(await run(attempt(id, { cost: RestatePromise.resolve("reasonable") }), ""), "reasonable");
    assert.equal(taken.get(id), undefined);
  }
});
