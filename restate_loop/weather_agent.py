"""No agent SDK: our own loop runs every tool call of a turn in parallel, here one call per city.

uv run restate_loop/weather_agent.py
"""

import restate

from restate_loop.agent_loop import Agent, Call, Tool
from shared.serving import GUARDS, serve, service_name
from shared.weather import City, WeatherRequest, get_weather


async def weather_in(call: Call[None], arguments: City) -> str:
    return await call.ctx.run_typed(f"weather in {arguments.city}", get_weather, city=arguments.city)


agent = Agent(
    instructions="You report the weather. Call get_weather for every city in the question, all in one turn.",
    tools=[Tool("get_weather", "Get the current weather in a city.", City, weather_in)],
)

weather_service = restate.Service(service_name("ParallelToolAgent"), invocation_context_managers=GUARDS)


@weather_service.handler()
async def run(ctx: restate.Context, request: WeatherRequest) -> str:
    return await agent.run(ctx, request.message, None)


if __name__ == "__main__":
    serve(weather_service)
