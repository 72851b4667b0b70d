// No agent SDK, on the loop in agent_loop.ts: one tool that fans out to three durable steps.
//
// node typescript/restate_loop/parallel_tools_agent.ts

import * as restate from "@restatedev/restate-sdk";
import { z } from "zod";
import { checkEligibility, checkFraud, compareToStandardRates } from "../shared/checks.ts";
import { InsuranceClaim, inputOf, mismatchWith } from "../shared/claims.ts";
import * as llm from "../shared/llm.ts";
import { options, serve, serviceName } from "../shared/serving.ts";
import { defineTool, runAgent } from "./agent_loop.ts";

const Metrics = z.object({ claim: InsuranceClaim });

const calculate_metrics = defineTool<InsuranceClaim, typeof Metrics>({
  description: "Check a claim: eligibility, cost against standard rates, fraud risk.",
  input: Metrics,
  run: (ctx, { claim }, submitted) => {
    const mismatch = mismatchWith(submitted, claim);
    if (mismatch) return restate.RestatePromise.resolve([mismatch]);
    return restate.RestatePromise.all([
      ctx.run("eligibility", () => checkEligibility(claim)),
      ctx.run("cost", () => compareToStandardRates(claim)),
      ctx.run("fraud", () => checkFraud(claim)),
    ]);
  },
});

const run = (ctx: restate.Context, claim: InsuranceClaim) =>
  runAgent(ctx, llm.INSTRUCTIONS, `Claim: ${JSON.stringify(claim)}`, { calculate_metrics }, claim);

const claimService = restate.service({
  name: serviceName("ParallelToolClaimAgent"),
  handlers: { run: restate.handlers.handler({ input: inputOf(InsuranceClaim) }, run) },
  options,
});

serve(claimService);
