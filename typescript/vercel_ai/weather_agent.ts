// Vercel AI SDK: the weather in several cities, with one tool call for each, all in one turn and in parallel.
//
// node typescript/vercel_ai/weather_agent.ts

import * as restate from "@restatedev/restate-sdk";
import { durableCalls, hasTerminalToolError, rethrowTerminalToolError } from "@restatedev/vercel-ai-middleware";
import { generateText, isStepCount, tool, wrapLanguageModel } from "ai";
import { inputOf } from "../shared/claims.ts";
import * as llm from "../shared/llm.ts";
import { options, serve, serviceName } from "../shared/serving.ts";
import { ToolCalls } from "../shared/tool_calls.ts";
import { City, getWeather, WeatherRequest } from "../shared/weather.ts";

const weatherIn = (ctx: restate.Context, calls: ToolCalls) =>
  tool({
    description: "Get the current weather in a city.",
    inputSchema: City,
    execute: ({ city }, { toolCallId }) =>
      calls.turn(toolCallId, (wait) => wait(ctx.run(`weather in ${city}`, () => getWeather(city)))),
  });

async function run(ctx: restate.Context, { message }: WeatherRequest): Promise<string> {
  const calls = new ToolCalls();
  const { text, steps } = await generateText({
    model: wrapLanguageModel({
      model: llm.languageModel(),
      middleware: [durableCalls(ctx, llm.DURABLE_CALLS), llm.forTheJournal],
    }),
    instructions: "You report the weather. Call get_weather for every city in the question, all in one turn.",
    prompt: message,
    tools: { get_weather: weatherIn(ctx, calls) },
    onLanguageModelCallEnd: calls.expectThoseOf,
    stopWhen: [isStepCount(llm.MAX_TURNS), hasTerminalToolError],
    providerOptions: llm.OPTIONS,
  });
  steps.forEach(rethrowTerminalToolError);
  return llm.answer(text);
}

const weatherService = restate.service({
  name: serviceName("ParallelToolAgent"),
  handlers: { run: restate.handlers.handler({ input: inputOf(WeatherRequest, "request") }, run) },
  options,
});

serve(weatherService);
