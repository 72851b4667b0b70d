// No agent SDK, on the loop in agent_loop.ts: the caller sees the claim as it happens, through a crash.
//
// node typescript/restate_loop/streaming_agent.ts

import * as restate from "@restatedev/restate-sdk";
import { z } from "zod";
import { eachCheck } from "../shared/checks.ts";
import { InsuranceClaim, inputOf, mismatchWith } from "../shared/claims.ts";
import * as llm from "../shared/llm.ts";
import { options, serve, serviceName } from "../shared/serving.ts";
import { streamed } from "../shared/streaming.ts";
import { defineTool, runAgent } from "./agent_loop.ts";

const Metrics = z.object({ claim: InsuranceClaim });

const calculate_metrics = defineTool<InsuranceClaim, typeof Metrics>({
  description: "Check a claim: eligibility, cost against standard rates, fraud risk.",
  input: Metrics,
  run: (ctx, { claim }, submitted) => {
    const mismatch = mismatchWith(submitted, claim);
    if (mismatch) return restate.RestatePromise.resolve([mismatch]);
    const steps = eachCheck((name, { work }) => ctx.run(name, () => work(claim)));
    return restate.RestatePromise.all(Object.values(steps));
  },
});

const run = (ctx: restate.Context, claim: InsuranceClaim) =>
  runAgent(ctx, llm.INSTRUCTIONS, `Claim: ${JSON.stringify(claim)}`, { calculate_metrics }, claim);

const claimService = restate.service({
  name: serviceName("StreamingClaimAgent"),
  handlers: { run: restate.handlers.handler({ input: inputOf(InsuranceClaim) }, streamed(run)) },
  options,
});

serve(claimService);
