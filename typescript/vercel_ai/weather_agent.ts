// Vercel AI SDK: the weather in several cities, with one tool call for each, all in one turn and in parallel.
//
// node typescript/vercel_ai/weather_agent.ts

import * as restate from "@restatedev/restate-sdk";
import { tool } from "ai";
import { inputOf } from "../shared/claims.ts";
import { options, serve, serviceName } from "../shared/serving.ts";
import { ToolCalls } from "../shared/tool_calls.ts";
import { City, getWeather, WeatherRequest } from "../shared/weather.ts";
import { runAgent } from "./sdk.ts";

const weatherIn = (ctx: restate.Context, calls: ToolCalls) =>
  tool({
    description: "Get the current weather in a city.",
    inputSchema: City,
    execute: ({ city }, { toolCallId }) =>
      calls.turn(toolCallId, (wait) => wait(ctx.run(`weather in ${city}`, () => getWeather(city)))),
  });

const INSTRUCTIONS = "You report the weather. Call get_weather for every city in the question, all in one turn.";

function run(ctx: restate.Context, { message }: WeatherRequest): Promise<string> {
  const calls = new ToolCalls();
  const agent = { instructions: INSTRUCTIONS, tools: { get_weather: weatherIn(ctx, calls) } };
  return runAgent(ctx, agent, message, calls);
}

const weatherService = restate.service({
  name: serviceName("ParallelToolAgent"),
  handlers: { run: restate.handlers.handler({ input: inputOf(WeatherRequest, "request") }, run) },
  options,
});

serve(weatherService);
