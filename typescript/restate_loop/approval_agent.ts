// No agent SDK, on the loop in agent_loop.ts: a person decides on a high or risky claim, as one step.
//
// node typescript/restate_loop/approval_agent.ts

import * as restate from "@restatedev/restate-sdk";
import { z } from "zod";
import { approval, askAPerson, whyAPerson, withdrawnWithTheClaim } from "../shared/approval.ts";
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
  run: (ctx, { claim }, submitted) => ({
    inTurn: async (wait) => {
      const mismatch = mismatchWith(submitted, claim);
      if (mismatch) return [mismatch];
      const steps = eachCheck((name, { work }) => ctx.run(name, () => work(claim)));
      const checks = restate.RestatePromise.all(Object.values(steps));
      await wait(restate.RestatePromise.race([steps.fraud, checks])); // a step runs only while it is awaited
      const why = whyAPerson(claim, await wait(steps.fraud));
      if (!why) return await wait(checks);
      return await wait(restate.RestatePromise.all([...Object.values(steps), askAPerson(ctx, claim, why)]));
    },
  }),
});

const run = (ctx: restate.Context, claim: InsuranceClaim) =>
  runAgent(ctx, llm.APPROVAL_INSTRUCTIONS, `Claim: ${JSON.stringify(claim)}`, { calculate_metrics }, claim);

const claimService = restate.service({
  name: serviceName("ApprovalClaimAgent"),
  handlers: { run: restate.handlers.handler({ input: inputOf(InsuranceClaim) }, streamed(withdrawnWithTheClaim(run))) },
  options,
});

serve(claimService, approval);
