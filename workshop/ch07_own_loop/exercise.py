"""Chapter 7: a loop of your own. The model asks for several tool calls in one turn; each is a durable step.

uv run tour workshop check 7
"""

import restate
from openai import AsyncOpenAI, pydantic_function_tool
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

from shared import llm
from shared.serving import serve, service_name
from shared.weather import City, WeatherRequest, get_weather

MODEL = llm.openai_model()
INSTRUCTIONS = "You report the weather. Call get_weather for every city in the question, all in one turn."
TOOLS = [pydantic_function_tool(City, name="get_weather", description="Get the current weather in a city.")]
client = AsyncOpenAI(http_client=llm.http_client())


async def call_model(messages: list[ChatCompletionMessageParam]) -> ChatCompletion:
    return await client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS)


weather_service = restate.Service(service_name("ParallelToolAgent"))


@weather_service.handler()
async def run(ctx: restate.Context, request: WeatherRequest) -> str:
    messages: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": INSTRUCTIONS},
        {"role": "user", "content": request.message},
    ]
    for _ in range(llm.MAX_TURNS):
        completion = await ctx.run_typed("call LLM", call_model, llm.RETRIES, messages)
        answer = completion.choices[0].message
        if not answer.tool_calls:
            return llm.answer(answer.content)
        messages.append(answer.model_dump(exclude_none=True))
        # EXERCISE: create the steps of all calls first, then wait for them with `restate.gather`.
        for call in answer.tool_calls:
            city = City.model_validate_json(call.function.arguments).city
            report = await ctx.run_typed(f"weather in {city}", get_weather, city=city)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": report})
    raise restate.TerminalError(f"the model gave no answer in {llm.MAX_TURNS} turns")


if __name__ == "__main__":
    serve(weather_service)
