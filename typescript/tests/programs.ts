// Tools that are programs: tests/durable/programs.py for the agents in `*/twins/programs.ts`.

import * as restate from "@restatedev/restate-sdk";
import { z } from "zod";
import { inputOf } from "../shared/claims.ts";
import { options, serve, serviceName } from "../shared/serving.ts";
import type { Wait } from "../shared/tool_calls.ts";

type Command =
  | ["step", string]
  | ["gather", string[]]
  | ["select", string, number]
  | ["sleep", number]
  | ["call", string];

const Request = z.object({ prompt: z.string(), limit: z.number().nullish() });
/** A request to the agents; `limit` is the number of tool calls that run at once. */
export type Request = z.infer<typeof Request>;

/** The arguments of the tools. */
export const Work = z.object({ tag: z.string(), program: z.string() });
export const Tag = z.object({ tag: z.string() });

const elsewhere = restate.service({
  name: serviceName("Elsewhere"),
  handlers: {
    perform_there: async (ctx: restate.Context, [name]: [string, string]) => await ctx.run(name, () => name),
  },
  options,
});

/** Run the commands in order; returns their results, separated by blanks. */
export async function perform(work: z.infer<typeof Work>, ctx: restate.Context, wait: Wait): Promise<string> {
  const results: string[] = [];
  for (const command of JSON.parse(work.program)) results.push(await performed(command, ctx, wait, work.tag));
  return results.join(" ");
}

async function performed(command: Command, ctx: restate.Context, wait: Wait, tag: string): Promise<string> {
  const step = (name: string) => ctx.run(name, () => name);
  switch (command[0]) {
    case "step":
      return await wait(step(command[1]));
    case "gather":
      return (await wait(restate.RestatePromise.all(command[1].map(step)))).join("+");
    case "select": {
      const chosen = step(command[1]).map(() => "step");
      const timer = ctx.sleep({ seconds: command[2] }).map(() => "timer");
      return `${command[1]}:${await wait(restate.RestatePromise.race([chosen, timer]))}`;
    }
    case "sleep":
      await wait(ctx.sleep({ seconds: command[1] }));
      return "slept";
    case "call":
      return await wait(ctx.serviceClient(elsewhere).perform_there([command[1], tag]));
  }
}

/** Serve an agent with such tools. */
export const serveAgent = (run: (ctx: restate.Context, request: Request) => Promise<string>) =>
  serve(
    restate.service({
      name: serviceName("Programs"),
      handlers: { run: restate.handlers.handler({ input: inputOf(Request) }, run) },
      options,
    }),
    elsewhere,
  );
