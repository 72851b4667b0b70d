"""No agent SDK: a loop of our own that runs every tool call of a turn in parallel, here one call per city.

uv run restate_loop/weather_agent.py
"""

import restate

from restate_loop.agent_loop import Started, Tool, run_agent
from shared.fan_out import FanOut
from shared.serving import final_errors, serve, service_name
from shared.weather import City, WeatherRequest, get_weather


def start_get_weather(ctx: restate.Context, fan_out: FanOut, arguments: City) -> Started:
    return [ctx.run_typed(f"weather in {arguments.city}", fan_out.step(get_weather), city=arguments.city)]


tool = Tool(
    name="get_weather",
    description="Get the current weather in a city.",
    arguments=City,
    start=start_get_weather,
)

weather_service = restate.Service(service_name("ParallelToolAgent"), invocation_context_managers=[final_errors()])


@weather_service.handler()
async def run(ctx: restate.Context, request: WeatherRequest) -> str:
    instructions = "You report the weather. Call get_weather for every city in the question, all in one turn."
    return await run_agent(ctx, instructions, request.message, [tool])


if __name__ == "__main__":
    serve(weather_service)
