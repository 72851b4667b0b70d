// Claims, checks and texts agree with Python's, which prints the vectors (tests/typescript/vectors.py).

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import type { Context } from "@restatedev/restate-sdk";
import { z } from "zod";
import { type Budget, counted, limit } from "../shared/budget.ts";
import { CHECKS } from "../shared/checks.ts";
import { InsuranceClaim, mismatchWith } from "../shared/claims.ts";
import { instructionsOf, question, SPECIALTIES } from "../shared/specialists.ts";
import { getWeather } from "../shared/weather.ts";
import { judge } from "./judge.ts";

process.env.OPENAI_API_KEY ||= "none"; // otherwise the offline model starts
const llm = await import("../shared/llm.ts");
const command = ["run", "--quiet", "python", "-m", "tests.typescript.vectors"];
const printed = execFileSync("uv", command, { cwd: `${import.meta.dirname}/../..`, maxBuffer: 2 ** 24 });
const vectors = JSON.parse(printed.toString());

for (const [name, { body, expected }] of Object.entries<{ body: string; expected: unknown }>(vectors.claims)) {
  test(`a claim: ${name}`, async () => assert.deepEqual(await judge(body), expected));
}

test("the checks", () =>
  assert.deepEqual(
    Object.entries(CHECKS).map(([name, { tool, description }]) => [name, tool, description]),
    vectors.checks,
  ));

test("the schema that a model is shown", () => {
  const { properties, required } = z.toJSONSchema(InsuranceClaim);
  const fields = Object.entries(properties ?? {}).map(([name, field]) => {
    const { type, description, maxLength } = field as z.core.JSONSchema.BaseSchema;
    return [name, { type, description: description ?? null, maxLength: maxLength ?? null }];
  });
  assert.deepEqual({ fields, required }, vectors.schema);
});

for (const { submitted, given, message } of vectors.mismatches) {
  test(`a mismatch: ${message}`, () => assert.equal(mismatchWith(submitted, given) ?? null, message));
}

test("the instructions", () =>
  assert.deepEqual([llm.INSTRUCTIONS, llm.THREE_TOOLS_INSTRUCTIONS, llm.APPROVAL_INSTRUCTIONS], vectors.instructions));

test("the specialists", () => {
  const { claim, instructions, questions } = vectors.specialists;
  assert.deepEqual(SPECIALTIES.map(instructionsOf), instructions);
  assert.deepEqual(Object.fromEntries(SPECIALTIES.map((each) => [each, question(each, claim)])), questions);
});

for (const [usage, tokens] of vectors.usages) {
  test(`the tokens of ${JSON.stringify(usage)}`, async () => {
    const ctx = {} as Context;
    const budget: Budget = { calls: 1, tokens: 1, calls_made: 0, tokens_used: 0 };
    limit(ctx, budget);
    await counted(
      ctx,
      async () => usage,
      (said) => said,
    );
    assert.deepEqual(budget, { calls: 1, tokens: 1, calls_made: 1, tokens_used: tokens });
  });
}

for (const [budget, message] of vectors.budgets) {
  test(message, async () => {
    const ctx = {} as Context;
    limit(ctx, budget);
    const made = counted(
      ctx,
      () => assert.fail("the call is made"),
      () => undefined,
    );
    await assert.rejects(made, { message, code: 402 });
  });
}

for (const [city, report] of Object.entries<string>(vectors.weather)) {
  test(`the weather in ${city}`, async () => assert.equal(await getWeather(city), report));
}
