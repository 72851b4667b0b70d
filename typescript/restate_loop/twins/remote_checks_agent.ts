// No agent SDK: one tool that calls the checks in another service, in Python or in TypeScript.
//
// Restate retries each call as a separate invocation.
//
// node typescript/restate_loop/twins/remote_checks_agent.ts

import * as restate from "@restatedev/restate-sdk";
import { z } from "zod";
import type { ClaimChecks } from "../../deploy/check_services.ts";
import { CHECK_NAMES } from "../../shared/checks.ts";
import { InsuranceClaim, inputOf, mismatchWith } from "../../shared/claims.ts";
import * as llm from "../../shared/llm.ts";
import { options, serve, serviceName } from "../../shared/serving.ts";
import { defineTool, runAgent } from "../agent_loop.ts";

const Metrics = z.object({ claim: InsuranceClaim });

const calculate_metrics = defineTool<InsuranceClaim, typeof Metrics>({
  description: "Check a claim: eligibility, cost against standard rates, fraud risk.",
  input: Metrics,
  run: (ctx, { claim }, submitted) => {
    const mismatch = mismatchWith(submitted, claim);
    if (mismatch) return restate.RestatePromise.resolve([mismatch]);
    const checks = ctx.serviceClient<ClaimChecks>({ name: "ClaimChecks" });
    return restate.RestatePromise.all(CHECK_NAMES.map((name) => checks[name](claim)));
  },
});

const run = (ctx: restate.Context, claim: InsuranceClaim) =>
  runAgent(ctx, llm.INSTRUCTIONS, `Claim: ${JSON.stringify(claim)}`, { calculate_metrics }, claim);

const claimService = restate.service({
  name: serviceName("RemoteChecksClaimAgent"),
  handlers: { run: restate.handlers.handler({ input: inputOf(InsuranceClaim) }, run) },
  options,
});

serve(claimService);
