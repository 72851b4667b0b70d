// What the programs `*/twins/features.ts` share: tests/choice/programs.py for the agents on Node.

import * as restate from "@restatedev/restate-sdk";
import { z } from "zod";
import { serve, serviceName } from "../shared/serving.ts";

export const INSTRUCTIONS = "You answer.";
export const SPECIALIST = "You are the specialist.";

/** A structured answer. */
export const Decision = z.object({ verdict: z.string(), reason: z.string() });

type Feature = (ctx: restate.ObjectContext, prompt: string) => Promise<unknown>;

/** The program of each feature. */
export type Features = Record<
  "caching" | "structured" | "mcp" | "sessions" | "handoffs" | "approvals" | "guardrails" | "providers",
  Feature
>;

export const lookUp = async ({ city }: { city: string }) => `sunny in ${city}`;
export const pay = async ({ amount }: { amount: number }) => `paid ${amount}`;

/** The tool `find` of the test's MCP server. */
export async function find(input: { tag: string }): Promise<string> {
  const response = await fetch(process.env.MCP_URL as string, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json, text/event-stream" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "find", arguments: input } }),
  });
  const { result } = (await response.json()) as { result: { content: { text: string }[] } };
  return result.content[0]?.text ?? "";
}

/** A person's answer, however long it takes; the state `waiting` has the name by which it is given. */
export async function askAPerson(ctx: restate.ObjectContext): Promise<boolean> {
  const { id, promise } = ctx.awakeable<boolean>();
  ctx.set("waiting", id);
  return await promise;
}

/** Serve the programs of a framework. */
export const serveFeatures = (handlers: Features) => serve(restate.object({ name: serviceName("Features"), handlers }));
