// An agent on its own loop, made durable by Restate: its tool books a flight, a hotel and a car in parallel.
//
// Serve it on port 9080: node my_agent.ts

import * as http2 from "node:http2";
import { setTimeout } from "node:timers/promises";
import { createOpenAI } from "@ai-sdk/openai";
import * as restate from "@restatedev/restate-sdk";
import { generateText, type ModelMessage, tool } from "ai";
import { z } from "zod";
import { holdFailures } from "../../shared/held_steps.ts";

const openai = createOpenAI({ apiKey: process.env.OPENAI_API_KEY, baseURL: process.env.OPENAI_BASE_URL || undefined });
const MODEL = openai.chat(process.env.OPENAI_MODEL || "gpt-5.4");
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

const Trip = z.object({ city: z.string() });
const tools = {
  book_trip: tool({ description: "Book a trip to a city: the flight, the hotel and a car.", inputSchema: Trip }),
};

const bookTrip = (ctx: restate.Context, { city }: z.infer<typeof Trip>) =>
  restate.RestatePromise.all([
    ctx.run("flight", () => reserve("flight", city, 0.1)),
    ctx.run("hotel", () => reserve("hotel", city, 0.2)),
    ctx.run("car", () => reserve("car", city, 1.5)),
  ]);

/** One turn of the model. Its `messages` already tell it of an unknown tool, and of arguments that do not fit. */
async function callModel(messages: ModelMessage[]) {
  const said = await generateText({ model: MODEL, instructions: INSTRUCTIONS, messages, tools, maxRetries: 0 });
  const calls = said.toolCalls.map(({ toolCallId, input, invalid }) => ({ toolCallId, input, invalid }));
  return { text: said.text, messages: said.response.messages, calls };
}

async function run(ctx: restate.Context, request: string): Promise<string> {
  const messages: ModelMessage[] = [{ role: "user", content: request }];
  for (let turn = 0; turn < MAX_TURNS; turn++) {
    const said = await ctx.run("call LLM", () => callModel(messages), RETRIES);
    if (said.calls.length === 0) return said.text;
    messages.push(...said.messages);
    for (const { toolCallId, input, invalid } of said.calls) {
      if (invalid) continue; // the SDK has told the model
      const value = await bookTrip(ctx, input as z.infer<typeof Trip>);
      const output = { type: "json" as const, value };
      messages.push({ role: "tool", content: [{ type: "tool-result", toolCallId, toolName: "book_trip", output }] });
    }
  }
  throw new restate.TerminalError(`the model gave no answer in ${MAX_TURNS} turns`);
}

/** Input of another type is the caller's fault, and ends with 400. */
const input = restate.serde.schema(z.string());
const handlers = { run: restate.handlers.handler({ input }, run) };
const service = restate.service({ name: "MyAgent", handlers, options: { hooks: [holdFailures] } });

const handler = restate.createEndpointHandler({ services: [service] });
http2.createServer(handler).listen(Number(process.env.PORT || 9080), process.env.HOST || "127.0.0.1");
