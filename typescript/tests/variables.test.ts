// The variable that names the wire of the agents on the AI SDK.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";

const wireOf = (OPENAI_WIRE: string) =>
  spawnSync(
    process.execPath,
    ["--eval", 'import("./shared/llm.ts").then((llm) => console.log(llm.languageModel().provider, llm.OPTIONS))'],
    {
      cwd: `${import.meta.dirname}/..`,
      encoding: "utf8",
      env: { ...process.env, OPENAI_API_KEY: "none", OPENAI_WIRE },
    },
  );

for (const [value, said] of Object.entries({
  "": "openai.responses { openai: { store: false } }\n",
  responses: "openai.responses { openai: { store: false } }\n",
  chat: "openai.chat { openai: {} }\n",
})) {
  test(`OPENAI_WIRE=${value}`, () => assert.equal(wireOf(value).stdout, said));
}

test("another wire is told in two lines", () => {
  const { status, stderr } = wireOf("Chat");
  assert.equal(status, 1);
  assert.equal(stderr, "OPENAI_WIRE is 'Chat': it must be responses or chat.\nChange it, or unset it.\n");
});
