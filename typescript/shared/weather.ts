// The weather, from a small table: the tool's step in the weather agents.

import { z } from "zod";
import { bounded } from "./claims.ts";

const WEATHER = new Map([
  ["berlin", "Cloudy, 11 degrees Celsius"],
  ["london", "Rainy, 12 degrees Celsius"],
  ["new york", "Sunny, 18 degrees Celsius"],
  ["paris", "Windy, 14 degrees Celsius"],
  ["san francisco", "Foggy, 15 degrees Celsius"],
  ["tokyo", "Clear, 21 degrees Celsius"],
]);

/** A question about the weather. */
export const WeatherRequest = z.strictObject({ message: bounded(z.string(), 2_000) });
export type WeatherRequest = z.infer<typeof WeatherRequest>;

/** The arguments of the tool `get_weather`. */
export const City = z.strictObject({ city: bounded(z.string(), 100) });

/** The weather in a city, as one sentence. A city outside the table has no report. */
export const getWeather = async (city: string) => `${city}: ${WEATHER.get(city.toLowerCase()) ?? "no report"}.`;
