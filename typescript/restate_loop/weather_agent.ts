// No agent SDK: the loop in agent_loop.ts runs every tool call of a turn in parallel, here one call per city.
//
// node typescript/restate_loop/weather_agent.ts

import * as restate from "@restatedev/restate-sdk";
import { inputOf } from "../shared/claims.ts";
import { options, serve, serviceName } from "../shared/serving.ts";
import { City, getWeather, WeatherRequest } from "../shared/weather.ts";
import { defineTool, runAgent } from "./agent_loop.ts";

const get_weather = defineTool<undefined, typeof City>({
  description: "Get the current weather in a city.",
  input: City,
  run: (ctx, { city }) => ctx.run(`weather in ${city}`, () => getWeather(city)),
});

const INSTRUCTIONS = "You report the weather. Call get_weather for every city in the question, all in one turn.";

const run = (ctx: restate.Context, { message }: WeatherRequest) =>
  runAgent(ctx, INSTRUCTIONS, message, { get_weather }, undefined);

const weatherService = restate.service({
  name: serviceName("ParallelToolAgent"),
  handlers: { run: restate.handlers.handler({ input: inputOf(WeatherRequest, "request") }, run) },
  options,
});

serve(weatherService);
