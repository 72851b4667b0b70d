// An agent on Vercel AI, made durable by Restate: its tool books a flight, a hotel and a car in parallel.
//
// Serve it on port 9080: node my_agent.ts

import * as http2 from "node:http2";
import { setTimeout } from "node:timers/promises";
import { createOpenAI } from "@ai-sdk/openai";
import * as restate from "@restatedev/restate-sdk";
import { durableCalls, hasTerminalToolError, rethrowTerminalToolError } from "@restatedev/vercel-ai-middleware";
import { generateText, isStepCount, tool, wrapLanguageModel } from "ai";
import { z } from "zod";
import { holdFailures } from "../../shared/held_steps.ts";

const openai = createOpenAI({ apiKey: process.env.OPENAI_API_KEY, baseURL: process.env.OPENAI_BASE_URL || undefined });
const MODEL = openai(process.env.OPENAI_MODEL || "gpt-5.4");
const INSTRUCTIONS =
  "You book trips. Call book_trip once for each city. Then say in one short paragraph what is reserved.";
const MAX_TURNS = 10;

/** A model call gets three attempts; then the request ends with an error. */
const RETRIES = { maxRetryAttempts: 3, initialRetryInterval: 1000 };

/** A stand-in: put your own work here, such as a call of a service. Throw an error, and Restate tries it again. */
async function reserve(what: string, city: string, seconds: number): Promise<string> {
  console.log(`reserving the ${what}`);
  await setTimeout(seconds * 1000);
  return `${what} in ${city}: reserved`;
}

const bookTrip = (ctx: restate.Context) =>
  tool({
    description: "Book a trip to a city: the flight, the hotel and a car.",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) =>
      await restate.RestatePromise.all([
        ctx.run("flight", () => reserve("flight", city, 0.1)),
        ctx.run("hotel", () => reserve("hotel", city, 0.2)),
        ctx.run("car", () => reserve("car", city, 1.5)),
      ]),
  });

async function run(ctx: restate.Context, request: string): Promise<string> {
  const { text, steps } = await generateText({
    model: wrapLanguageModel({ model: MODEL, middleware: durableCalls(ctx, RETRIES) }),
    instructions: INSTRUCTIONS,
    prompt: request,
    tools: { book_trip: bookTrip(ctx) },
    toolCallConcurrency: 1, // several at once would not be replayed in the same order
    stopWhen: [isStepCount(MAX_TURNS), hasTerminalToolError],
    providerOptions: { openai: { store: false } },
  });
  steps.forEach(rethrowTerminalToolError);
  return text;
}

/** Input of another type is the caller's fault, and ends with 400. */
const input = restate.serde.schema(z.string());
const handlers = { run: restate.handlers.handler({ input }, run) };
const service = restate.service({ name: "MyAgent", handlers, options: { hooks: [holdFailures] } });

const handler = restate.createEndpointHandler({ services: [service] });
http2.createServer(handler).listen(Number(process.env.PORT || 9080), process.env.HOST || "127.0.0.1");
