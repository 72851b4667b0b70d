// No agent SDK: the model asks for three tools in one turn, and they run in parallel.
//
// node typescript/restate_loop/parallel_tool_calls_agent.ts

import * as restate from "@restatedev/restate-sdk";
import { z } from "zod";
import { checkEligibility, checkFraud, compareToStandardRates } from "../shared/checks.ts";
import { InsuranceClaim, inputOf, mismatchWith } from "../shared/claims.ts";
import * as llm from "../shared/llm.ts";
import { options, serve, serviceName } from "../shared/serving.ts";
import { defineTool, runAgent } from "./agent_loop.ts";

const Arguments = z.object({ claim: InsuranceClaim });

const check = (description: string, step: string, work: (claim: InsuranceClaim) => Promise<string>) =>
  defineTool<InsuranceClaim, typeof Arguments>({
    description,
    input: Arguments,
    run: (ctx, { claim }, submitted) => {
      const mismatch = mismatchWith(submitted, claim);
      if (mismatch) return restate.RestatePromise.resolve(mismatch);
      return ctx.run(step, () => work(claim));
    },
  });

const tools = {
  check_eligibility: check("Is the treatment covered, at this place, on this day?", "eligibility", checkEligibility),
  compare_to_standard_rates: check("Is the amount reasonable?", "cost", compareToStandardRates),
  check_fraud: check("How high is the risk of fraud?", "fraud", checkFraud),
};

const run = (ctx: restate.Context, claim: InsuranceClaim) =>
  runAgent(ctx, llm.THREE_TOOLS_INSTRUCTIONS, `Claim: ${JSON.stringify(claim)}`, tools, claim);

const claimService = restate.service({
  name: serviceName("ParallelToolCallsClaimAgent"),
  handlers: { run: restate.handlers.handler({ input: inputOf(InsuranceClaim) }, run) },
  options,
});

serve(claimService);
