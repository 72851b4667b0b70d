"""No agent SDK: each feature by hand, in a handler of its own."""

from typing import Any

import restate
from mcp import Client
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from restate_loop.agent_loop import DURABLE, MODEL, Agent, Call, Tool, client
from shared.serving import GUARDS, serve, service_name
from tests.choice.programs import INSTRUCTIONS, SPECIALIST, Decision, ask_a_person, look_up, mcp_url, pay

features = restate.VirtualObject(service_name("Features"), invocation_context_managers=GUARDS)
NONE: list[Tool[None]] = []


class City(BaseModel):
    city: str


class Amount(BaseModel):
    amount: int


class Tag(BaseModel):
    tag: str


class Question(BaseModel):
    question: str


async def weather(call: Call[None], given: City) -> str:
    return await look_up(given.city)


@features.handler()
async def caching(ctx: restate.ObjectContext, prompt: str) -> str:
    return await Agent(INSTRUCTIONS, [Tool("look_up", "The weather in a city.", City, weather)]).run(ctx, prompt, None)


@features.handler()
async def structured(ctx: restate.ObjectContext, prompt: str) -> Decision:
    async def call_model() -> ChatCompletion:
        return await client.chat.completions.parse(
            model=MODEL, messages=[{"role": "user", "content": prompt}], response_format=Decision
        )

    completion = await ctx.run_typed("call LLM", call_model, DURABLE)
    return Decision.model_validate_json(completion.choices[0].message.content or "")


async def find(call: Call[None], given: Tag) -> str:
    async def call_tool() -> str:
        async with Client(mcp_url()) as server:
            found: Any = (await server.call_tool("find", {"tag": given.tag})).content[0]
            return str(found.text)

    return await call.ctx.run_typed("find", call_tool)


@features.handler()
async def mcp(ctx: restate.ObjectContext, prompt: str) -> str:
    return await Agent("", [Tool("find", "Find it.", Tag, find)]).run(ctx, prompt, None)


@features.handler()
async def sessions(ctx: restate.ObjectContext, prompt: str) -> str:
    before: list[str] = await ctx.get("said") or []
    answer = await Agent("\n".join(before), NONE).run(ctx, prompt, None)
    ctx.set("said", [*before, f"user: {prompt}", f"you: {answer}"])
    return answer


async def ask_specialist(call: Call[None], given: Question) -> str:
    return await Agent(SPECIALIST, NONE).run(call.ctx, given.question, None)


@features.handler()
async def handoffs(ctx: restate.ObjectContext, prompt: str) -> str:
    return await Agent("", [Tool("ask_specialist", "Ask.", Question, ask_specialist)]).run(ctx, prompt, None)


@features.handler()
async def approvals(ctx: restate.ObjectContext, prompt: str) -> str:
    async def pay_if_approved(call: Call[None], given: Amount) -> str:
        return await pay(given.amount) if await ask_a_person(ctx, call.ctx) else "refused"

    return await Agent("", [Tool("pay", "Pay.", Amount, pay_if_approved)]).run(ctx, prompt, None)


@features.handler()
async def guardrails(ctx: restate.ObjectContext, prompt: str) -> str:
    if "weapon" in prompt:
        raise restate.TerminalError("no weapons", status_code=422)
    return await Agent("", NONE).run(ctx, prompt, None)


@features.handler()
async def providers(ctx: restate.ObjectContext, prompt: str) -> str:
    """The prompt begins with the name of a model."""
    return await Agent("", NONE, model=prompt.split()[0]).run(ctx, prompt, None)


if __name__ == "__main__":
    serve(features)
