// Vercel AI SDK: one tool that calls the checks in another service, in Python or in TypeScript.
//
// Restate retries each call as a separate invocation.
//
// node typescript/vercel_ai/twins/remote_checks_agent.ts

import * as restate from "@restatedev/restate-sdk";
import { tool } from "ai";
import { z } from "zod";
import type { ClaimChecks } from "../../deploy/check_services.ts";
import { CHECK_NAMES } from "../../shared/checks.ts";
import { InsuranceClaim, inputOf, mismatchWith } from "../../shared/claims.ts";
import * as llm from "../../shared/llm.ts";
import { options, serve, serviceName } from "../../shared/serving.ts";
import { runAgent } from "../sdk.ts";

const calculateMetrics = (ctx: restate.Context, submitted: InsuranceClaim) =>
  tool({
    description: "Check a claim: eligibility, cost against standard rates, fraud risk.",
    inputSchema: z.object({ claim: InsuranceClaim }),
    execute: async ({ claim }) => {
      const mismatch = mismatchWith(submitted, claim);
      if (mismatch) return [mismatch];
      const checks = ctx.serviceClient<ClaimChecks>({ name: "ClaimChecks" });
      return await restate.RestatePromise.all(CHECK_NAMES.map((name) => checks[name](claim)));
    },
  });

function run(ctx: restate.Context, claim: InsuranceClaim): Promise<string> {
  const agent = { instructions: llm.INSTRUCTIONS, tools: { calculate_metrics: calculateMetrics(ctx, claim) } };
  return runAgent(ctx, agent, `Claim: ${JSON.stringify(claim)}`);
}

const claimService = restate.service({
  name: serviceName("RemoteChecksClaimAgent"),
  handlers: { run: restate.handlers.handler({ input: inputOf(InsuranceClaim) }, run) },
  options,
});

serve(claimService);
