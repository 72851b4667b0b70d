"""OpenAI Agents SDK: what it brings, a handler for each feature. Nothing of `durable/` is used."""

from typing import Any

import restate
from agents import (
    Agent,
    GuardrailFunctionOutput,
    InputGuardrailTripwireTriggered,
    RunContextWrapper,
    function_tool,
    input_guardrail,
)
from agents.mcp import MCPServerStreamableHttp
from restate.ext.openai import DurableRunner

from shared import llm
from shared.serving import serve, service_name
from tests.choice.programs import INSTRUCTIONS, SPECIALIST, Decision, ask_a_person, look_up, mcp_url, pay

model = llm.openai_model()
features = restate.VirtualObject(service_name("Features"))


@features.handler()
async def caching(ctx: restate.ObjectContext, prompt: str) -> str:
    agent = Agent(name="Caching", model=model, instructions=INSTRUCTIONS, tools=[function_tool(look_up)])
    return str((await DurableRunner.run(agent, prompt)).final_output)


@features.handler()
async def structured(ctx: restate.ObjectContext, prompt: str) -> Decision:
    agent = Agent(name="Structured", model=model, output_type=Decision)
    result = await DurableRunner.run(agent, prompt)
    return result.final_output_as(Decision)


@features.handler()
async def mcp(ctx: restate.ObjectContext, prompt: str) -> str:
    async with MCPServerStreamableHttp({"url": mcp_url()}) as server:
        agent = Agent(name="Tools", model=model, mcp_servers=[server])
        return str((await DurableRunner.run(agent, prompt)).final_output)


@features.handler()
async def sessions(ctx: restate.ObjectContext, prompt: str) -> str:
    agent = Agent(name="Remembering", model=model)
    return str((await DurableRunner.run(agent, prompt, use_restate_session=True)).final_output)


@features.handler()
async def handoffs(ctx: restate.ObjectContext, prompt: str) -> str:
    specialist = Agent(name="specialist", model=model, instructions=SPECIALIST)
    agent = Agent(name="Front", model=model, handoffs=[specialist])
    return str((await DurableRunner.run(agent, prompt)).final_output)


@features.handler()
async def approvals(ctx: restate.ObjectContext, prompt: str) -> str:
    agent = Agent(name="Asking", model=model, tools=[function_tool(pay, needs_approval=True)])
    result = await DurableRunner.run(agent, prompt)
    state = result.to_state()
    for asked in result.interruptions:
        state.approve(asked) if await ask_a_person(ctx) else state.reject(asked)
    resumed: Any = state
    return str((await DurableRunner.run(agent, resumed)).final_output)


@input_guardrail
async def no_weapons(_: RunContextWrapper[None], __: Agent[None], prompt: Any) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput(None, tripwire_triggered="weapon" in str(prompt))


@features.handler()
async def guardrails(ctx: restate.ObjectContext, prompt: str) -> str:
    agent = Agent(name="Guarded", model=model, input_guardrails=[no_weapons])
    try:
        return str((await DurableRunner.run(agent, prompt)).final_output)
    except InputGuardrailTripwireTriggered as error:
        raise restate.TerminalError("no weapons", status_code=422) from error


@features.handler()
async def providers(ctx: restate.ObjectContext, prompt: str) -> str:
    """The prompt begins with the name of a model."""
    agent = Agent(name="Any", model=prompt.split()[0])
    return str((await DurableRunner.run(agent, prompt)).final_output)


if __name__ == "__main__":
    serve(features)
