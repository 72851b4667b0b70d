// The three checks as a Restate service: deploy/check_services.py on Node, for agents in any language.
//
// node typescript/deploy/check_services.ts

import * as restate from "@restatedev/restate-sdk";
import { eachCheck } from "../shared/checks.ts";
import { InsuranceClaim, inputOf } from "../shared/claims.ts";
import { options, serve } from "../shared/serving.ts";

const handlers = eachCheck((name, { work }) =>
  restate.handlers.handler({ input: inputOf(InsuranceClaim) }, (ctx: restate.Context, claim: InsuranceClaim) =>
    ctx.run(name, () => work(claim)),
  ),
);

// All agents share this service, so its name has no prefix.
const claimChecks = restate.service({ name: "ClaimChecks", handlers, options });

/** The type of the service, for agents that call it. Python's service has the same handlers. */
export type ClaimChecks = typeof claimChecks;

serve(claimChecks);
