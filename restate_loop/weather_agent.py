"""No agent SDK: a loop of our own that runs every tool call of a turn in parallel, here one call per city.

uv run restate_loop/weather_agent.py
"""

import restate

from restate_loop.agent_loop import Agent, Started, Tool, Turn
from shared.serving import final_errors, serve, service_name
from shared.weather import City, WeatherRequest, get_weather


def start_get_weather(turn: Turn[None], arguments: City) -> Started:
    step = turn.fan_out.step(get_weather)
    return [turn.ctx.run_typed(f"weather in {arguments.city}", step, city=arguments.city)]


agent = Agent(
    instructions="You report the weather. Call get_weather for every city in the question, all in one turn.",
    tools=[Tool("get_weather", "Get the current weather in a city.", City, start_get_weather)],
)

weather_service = restate.Service(service_name("ParallelToolAgent"), invocation_context_managers=[final_errors()])


@weather_service.handler()
async def run(ctx: restate.Context, request: WeatherRequest) -> str:
    return await agent.run(ctx, request.message, None)


if __name__ == "__main__":
    serve(weather_service)
