// The three checks as a Restate service: deploy/check_services.py on Node, for agents in any language.
//
// node typescript/deploy/check_services.ts

import * as restate from "@restatedev/restate-sdk";
import * as checks from "../shared/checks.ts";
import { InsuranceClaim, inputOf } from "../shared/claims.ts";
import { options, serve } from "../shared/serving.ts";

const check = (step: string, work: (claim: InsuranceClaim) => Promise<string>) =>
  restate.handlers.handler({ input: inputOf(InsuranceClaim) }, (ctx: restate.Context, claim: InsuranceClaim) =>
    ctx.run(step, () => work(claim)),
  );

// All agents share it, so its name has no prefix.
const claimChecks = restate.service({
  name: "ClaimChecks",
  handlers: {
    eligibility: check("eligibility", checks.checkEligibility),
    cost: check("cost", checks.compareToStandardRates),
    fraud: check("fraud", checks.checkFraud),
  },
  options,
});

/** What an agent needs to call them: the Python service has the same handlers. */
export type ClaimChecks = typeof claimChecks;

serve(claimChecks);
