// The claim that every agent of the tour decides on: shared/claims.py for Node. tests/vectors.test.ts compares both.

import { type Serde, serde, TerminalError } from "@restatedev/restate-sdk";
import { z } from "zod";

/** A text of 1 to `most` characters. An emoji is one; Zod's `max` counts it as two. */
export const bounded = (text: z.ZodString, most: number) =>
  text
    .min(1)
    .refine((given) => given.length <= 2 * most && [...given].length <= most, `at most ${most} characters`)
    .meta({ maxLength: most });

// Pydantic strips these characters; JavaScript's `trim` strips others.
const SPACES = /^\p{White_Space}+|(?<!\p{White_Space})\p{White_Space}+$/gu;
/** A text without white space at its ends. */
export const stripped = () => z.string().overwrite((text) => text.replace(SPACES, ""));

export const InsuranceClaim = z.strictObject({
  date: z.iso
    .date("must be a calendar date as YYYY-MM-DD")
    .refine((day) => day >= "0001", "must be a calendar date as YYYY-MM-DD")
    .describe("day of the treatment"),
  category: bounded(stripped(), 100),
  reason: bounded(stripped(), 2_000),
  amount: z.number().positive().max(10_000_000).describe("amount claimed in US dollars"),
  placeOfService: bounded(stripped(), 100),
});
/** An insurance claim. All fields are required, and others are refused. */
export type InsuranceClaim = z.infer<typeof InsuranceClaim>;

/** The message for a model that calls a tool with a claim other than the submitted one; else undefined. */
export function mismatchWith(submitted: InsuranceClaim, given: InsuranceClaim): string | undefined {
  const fields = Object.keys(submitted) as (keyof InsuranceClaim)[];
  const changed = fields.filter((field) => submitted[field] !== given[field]);
  if (changed.length === 0) return undefined;
  return `error: this is not the claim that was submitted (${changed.join(", ")}). Call with that one, unchanged.`;
}

/** A handler's input as JSON. Throws: TerminalError with each bad field's name and problem; the SDK answers 400. */
export function inputOf<T>(schema: z.ZodType<T>, kind = "claim"): Serde<T> {
  const json = serde.schema(schema);
  const deserialize = (data: Uint8Array): T => {
    const result = schema.safeParse(jsonOf(data, kind));
    if (result.success) return result.data;
    throw new TerminalError(`invalid ${kind}: ${result.error.issues.flatMap(problems).join("; ")}`);
  };
  return { ...json, serialize: (value) => json.serialize(value), deserialize };
}

/** The escapes of a JSON text. The group matches half a surrogate pair without its other half. */
const ESCAPES = /\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)/g;

function jsonOf(data: Uint8Array, kind: string): unknown {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
    for (const [, half] of text.matchAll(ESCAPES)) {
      if (half) throw new Error("half a surrogate pair is no character");
    }
    return JSON.parse(text);
  } catch (error) {
    throw new TerminalError(`invalid ${kind}: body: Invalid JSON: ${(error as Error).message}`);
  }
}

function problems(issue: z.core.$ZodIssue): string[] {
  const at = (path: PropertyKey[]) => `${path.join(".") || "body"}: ${issue.message}`;
  if (issue.code === "unrecognized_keys") return issue.keys.map((key) => at([...issue.path, key]));
  return [at(issue.path)];
}
