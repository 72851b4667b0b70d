// The claims, checks and texts agree with Python's: `vectors.json` is written by it (tests/typescript/vectors.py).

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { z } from "zod";
import { InsuranceClaim, mismatchWith } from "../shared/claims.ts";
import { getWeather } from "../shared/weather.ts";
import { judge } from "./judge.ts";

process.env.OPENAI_API_KEY ||= "none"; // or the offline model would be started
const llm = await import("../shared/llm.ts");
const vectors = JSON.parse(readFileSync(new URL("../vectors.json", import.meta.url), "utf8"));

for (const [name, { body, expected }] of Object.entries<{ body: string; expected: unknown }>(vectors.claims)) {
  test(`a claim: ${name}`, async () => assert.deepEqual(await judge(body), expected));
}

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

for (const [city, report] of Object.entries<string>(vectors.weather)) {
  test(`the weather in ${city}`, async () => assert.equal(await getWeather(city), report));
}
