// The three checks as three tools, each with one durable step.

import type { Context } from "@restatedev/restate-sdk";
import { type ToolSet, tool } from "ai";
import { z } from "zod";
import { CHECK_NAMES, CHECKS } from "../shared/checks.ts";
import { InsuranceClaim, mismatchWith } from "../shared/claims.ts";
import type { ToolCalls } from "../shared/tool_calls.ts";

/** The tools of these checks, which take turns in `calls`. */
export function checkTools(ctx: Context, submitted: InsuranceClaim, calls: ToolCalls, names = CHECK_NAMES): ToolSet {
  const tools = names.map((name) => {
    const check = CHECKS[name];
    const checkTool = tool({
      description: check.description,
      inputSchema: z.object({ claim: InsuranceClaim }),
      execute: ({ claim }, { toolCallId }) =>
        calls.turn(toolCallId, async (wait) => {
          const mismatch = mismatchWith(submitted, claim);
          if (mismatch) return mismatch;
          return await wait(ctx.run(name, () => check.work(claim)));
        }),
    });
    return [check.tool, checkTool] as const;
  });
  return Object.fromEntries(tools);
}
