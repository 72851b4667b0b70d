// No agent SDK: the model asks for three tools in one turn, and they run in parallel.
//
// node typescript/restate_loop/parallel_tool_calls_agent.ts

import * as restate from "@restatedev/restate-sdk";
import { InsuranceClaim, inputOf } from "../shared/claims.ts";
import * as llm from "../shared/llm.ts";
import { options, serve, serviceName } from "../shared/serving.ts";
import { runAgent } from "./agent_loop.ts";
import { checkTools } from "./check_tools.ts";

const run = (ctx: restate.Context, claim: InsuranceClaim) =>
  runAgent(ctx, llm.THREE_TOOLS_INSTRUCTIONS, `Claim: ${JSON.stringify(claim)}`, checkTools(), claim);

const claimService = restate.service({
  name: serviceName("ParallelToolCallsClaimAgent"),
  handlers: { run: restate.handlers.handler({ input: inputOf(InsuranceClaim) }, run) },
  options,
});

serve(claimService);
