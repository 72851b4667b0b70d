// Vercel AI SDK, without Restate: `tour bench` compares the durable agent with this one.
//
// node typescript/vercel_ai/twins/plain_agent.ts

import { generateText, isStepCount, streamText, tool } from "ai";
import { z } from "zod";
import { STREAMS, servePlain } from "../../bench/serving.ts";
import { CHECKS } from "../../shared/checks.ts";
import { InsuranceClaim, mismatchWith } from "../../shared/claims.ts";
import * as llm from "../../shared/llm.ts";

const calculateMetrics = (submitted: InsuranceClaim) =>
  tool({
    description: "Check a claim: eligibility, cost against standard rates, fraud risk.",
    inputSchema: z.object({ claim: InsuranceClaim }),
    execute: async ({ claim }) => {
      const mismatch = mismatchWith(submitted, claim);
      if (mismatch) return [mismatch];
      return await Promise.all(Object.values(CHECKS).map(({ work }) => work(claim)));
    },
  });

async function run(claim: InsuranceClaim): Promise<string> {
  const { text } = await (STREAMS ? streamText : generateText)({
    model: llm.languageModel(),
    instructions: llm.INSTRUCTIONS,
    prompt: `Claim: ${JSON.stringify(claim)}`,
    tools: { calculate_metrics: calculateMetrics(claim) },
    stopWhen: isStepCount(llm.MAX_TURNS),
    providerOptions: llm.OPTIONS,
  });
  return llm.answer(await text);
}

servePlain(run);
