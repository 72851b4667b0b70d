// The three checks as three tools, each with one durable step.

import { RestatePromise } from "@restatedev/restate-sdk";
import { z } from "zod";
import { CHECK_NAMES, CHECKS } from "../shared/checks.ts";
import { InsuranceClaim, mismatchWith } from "../shared/claims.ts";
import { defineTool, type Tool } from "./agent_loop.ts";

const Arguments = z.object({ claim: InsuranceClaim });

/** The tools of these checks. */
export function checkTools(names = CHECK_NAMES): Record<string, Tool<InsuranceClaim>> {
  const tools = names.map((name) => {
    const check = CHECKS[name];
    const checkTool = defineTool<InsuranceClaim, typeof Arguments>({
      description: check.description,
      input: Arguments,
      run: (ctx, { claim }, submitted) => {
        const mismatch = mismatchWith(submitted, claim);
        if (mismatch) return RestatePromise.resolve(mismatch);
        return ctx.run(name, () => check.work(claim));
      },
    });
    return [check.tool, checkTool] as const;
  });
  return Object.fromEntries(tools);
}
