// What comes out of the journal is what went in (shared/answers.ts).

import assert from "node:assert/strict";
import { test } from "node:test";
import { exact } from "../shared/answers.ts";

const through = (result: object) => exact.deserialize(exact.serialize(result));

test("a result is the same after the journal", () => {
  const result = {
    content: [{ type: "text", text: "$ü\u2028", providerMetadata: { openai: { itemId: null, list: [], none: {} } } }],
    usage: { raw: { constructor: 1, prototype: [], big: 2 ** 53, "a.b": { timestamp: "2024" } } },
    response: { id: "x", timestamp: new Date(1_700_000_000_123) },
  };
  assert.deepEqual(through(result), result);
});

test("a timestamp that is none stays one; what has none gets none", () => {
  assert.ok(Number.isNaN(through({ response: { timestamp: new Date(Number.NaN) } }).response.timestamp.getTime()));
  assert.deepEqual(through({ response: {} }), { response: {} });
  assert.deepEqual(through({}), {});
});

test("bytes are Base64, which the AI SDK takes as well", () => {
  const file = { type: "file", mediaType: "image/png", data: { type: "data", data: new Uint8Array([104, 105]) } };
  assert.deepEqual(through({ content: [file] }).content[0].data, { type: "data", data: "aGk=" });
});
