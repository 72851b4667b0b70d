// Vercel AI SDK: the model asks for three tools in one turn, and they run in parallel.
//
// node typescript/vercel_ai/parallel_tool_calls_agent.ts

import * as restate from "@restatedev/restate-sdk";
import { InsuranceClaim, inputOf } from "../shared/claims.ts";
import * as llm from "../shared/llm.ts";
import { options, serve, serviceName } from "../shared/serving.ts";
import { ToolCalls } from "../shared/tool_calls.ts";
import { checkTools } from "./check_tools.ts";
import { runAgent } from "./sdk.ts";

function run(ctx: restate.Context, claim: InsuranceClaim): Promise<string> {
  const calls = new ToolCalls();
  const agent = { instructions: llm.THREE_TOOLS_INSTRUCTIONS, tools: checkTools(ctx, claim, calls) };
  return runAgent(ctx, agent, `Claim: ${JSON.stringify(claim)}`, calls);
}

const claimService = restate.service({
  name: serviceName("ParallelToolCallsClaimAgent"),
  handlers: { run: restate.handlers.handler({ input: inputOf(InsuranceClaim) }, run) },
  options,
});

serve(claimService);
