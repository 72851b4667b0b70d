// No agent SDK, without Restate: `tour bench` compares the durable loop with this one.
//
// node typescript/restate_loop/twins/plain_agent.ts

import { generateText, type ModelMessage, streamText, type ToolSet, tool } from "ai";
import { z } from "zod";
import { STREAMS, servePlain } from "../../bench/serving.ts";
import { CHECKS } from "../../shared/checks.ts";
import { InsuranceClaim, mismatchWith } from "../../shared/claims.ts";
import * as llm from "../../shared/llm.ts";

const Metrics: z.ZodType = z.object({ claim: InsuranceClaim });
const tools: ToolSet = {
  calculate_metrics: tool({
    description: "Check a claim: eligibility, cost against standard rates, fraud risk.",
    inputSchema: Metrics,
  }),
};

async function calculateMetrics(claim: InsuranceClaim, submitted: InsuranceClaim): Promise<string[]> {
  const mismatch = mismatchWith(submitted, claim);
  if (mismatch) return [mismatch];
  return await Promise.all(Object.values(CHECKS).map(({ work }) => work(claim)));
}

async function run(submitted: InsuranceClaim): Promise<string> {
  const model = llm.openai.chat(llm.MODEL);
  const messages: ModelMessage[] = [{ role: "user", content: `Claim: ${JSON.stringify(submitted)}` }];
  for (let turn = 0; turn < llm.MAX_TURNS; turn++) {
    const asked = { model, instructions: llm.INSTRUCTIONS, messages, tools, maxRetries: 0 };
    const said = STREAMS ? streamText(asked) : await generateText(asked);
    const toolCalls = await said.toolCalls;
    if (toolCalls.length === 0) return llm.answer(await said.text);
    messages.push(...(await said.response).messages);
    for (const { toolCallId, toolName, input, invalid } of toolCalls) {
      if (invalid) continue; // the SDK has told the model
      const value = await calculateMetrics(input.claim, submitted);
      const output = { type: "json" as const, value };
      messages.push({ role: "tool", content: [{ type: "tool-result", toolCallId, toolName, output }] });
    }
  }
  throw new Error(`the model gave no answer in ${llm.MAX_TURNS} turns`);
}

servePlain(run);
