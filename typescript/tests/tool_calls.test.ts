// Tool calls of a turn, without a server, in cases that no agent here has.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { type Context, RestatePromise } from "@restatedev/restate-sdk";
import { branches } from "../shared/branches.ts";
import { alone, ToolCalls } from "../shared/tool_calls.ts";

const answered = (id: string) => async () => id;

test("a call that the SDK does not run is not waited for", async () => {
  const calls = new ToolCalls();
  calls.expect(["needs an approval", "a", "needs another", "b", "needs a third"]);
  const run = (id: string) => calls.turn(id, (wait) => wait(RestatePromise.resolve(id)));
  assert.deepEqual(await Promise.all(["a", "b"].map(run)), ["a", "b"]);
});

test("a call begins after those before it, though the SDK starts them a little later", async () => {
  const calls = new ToolCalls();
  const begun: string[] = [];
  const begin = (id: string) => calls.turn(id, async () => void begun.push(id));
  calls.expect(["a", "b"]);
  const late = begin("b");
  await setImmediate();
  await Promise.all([begin("a"), late]);
  assert.deepEqual(begun, ["a", "b"]);
});

test("the ids of a turn may be those of the turn before", async () => {
  const calls = new ToolCalls();
  for (let turn = 0; turn < 3; turn++) {
    calls.expect(["a", "b"]);
    assert.equal(await calls.turn("a", answered("a")), "a");
    assert.equal(await calls.turn("b", answered("b")), "b"); // one at a time, as with `toolCallConcurrency: 1`
  }
});

test("branches share their results if they have the same key", async () => {
  const ctx = {} as Context;
  let run = 0;
  const ask = (key?: string) => branches(ctx, alone, ["cost", "fraud"], async (name) => `${name} ${++run}`, key);
  assert.deepEqual(await ask("a claim"), ["cost 1", "fraud 2"]);
  assert.deepEqual(await ask("another"), ["cost 3", "fraud 4"]);
  assert.deepEqual(await ask("a claim"), ["cost 1", "fraud 2"]);
  assert.deepEqual(await ask(), ["cost 5", "fraud 6"]);
  assert.deepEqual(await ask(), ["cost 7", "fraud 8"]);
});
