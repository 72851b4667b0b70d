"""Pydantic AI: what it brings, a handler for each feature. Nothing of `durable/` is used."""

from typing import Any

import restate
from pydantic_ai import Agent, DeferredToolRequests, DeferredToolResults, NativeOutput, RunContext, Tool
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.messages import ModelMessagesTypeAdapter
from restate.ext.pydantic import RestateAgent

from shared import llm
from shared.serving import serve, service_name
from tests.choice.programs import INSTRUCTIONS, SPECIALIST, Decision, ask_a_person, look_up, mcp_url, pay

MODEL = f"openai-responses:{llm.openai_model()}"
llm.gemini_model()
features = restate.VirtualObject(service_name("Features"))


@features.handler()
async def caching(ctx: restate.ObjectContext, prompt: str) -> str:
    agent = RestateAgent(Agent(MODEL, name="Caching", instructions=INSTRUCTIONS, tools=[look_up]))
    return (await agent.run(prompt)).output


@features.handler()
async def structured(ctx: restate.ObjectContext, prompt: str) -> Decision:
    agent = RestateAgent(Agent(MODEL, name="Structured", output_type=NativeOutput(Decision)))
    return (await agent.run(prompt)).output


@features.handler()
async def mcp(ctx: restate.ObjectContext, prompt: str) -> str:
    agent = RestateAgent(Agent(MODEL, name="Tools", toolsets=[MCPToolset(mcp_url())]))
    return (await agent.run(prompt)).output


@features.handler()
async def sessions(ctx: restate.ObjectContext, prompt: str) -> str:
    agent = RestateAgent(Agent(MODEL, name="Remembering"))
    before = ModelMessagesTypeAdapter.validate_python(await ctx.get("messages") or [])
    result = await agent.run(prompt, message_history=before)
    ctx.set("messages", ModelMessagesTypeAdapter.dump_python(result.all_messages(), mode="json"))
    return result.output


@features.handler()
async def handoffs(ctx: restate.ObjectContext, prompt: str) -> str:
    specialist = RestateAgent(Agent(MODEL, name="specialist", instructions=SPECIALIST))

    async def ask_specialist(question: str) -> str:
        """Ask the specialist."""
        return (await specialist.run(question)).output

    return (await RestateAgent(Agent(MODEL, name="Front", tools=[ask_specialist])).run(prompt)).output


@features.handler()
async def approvals(ctx: restate.ObjectContext, prompt: str) -> str:
    tools = [Tool(pay, requires_approval=True)]
    agent: Any = RestateAgent(Agent(MODEL, name="Asking", tools=tools, output_type=[str, DeferredToolRequests]))
    result = await agent.run(prompt)
    said = DeferredToolResults(
        approvals={call.tool_call_id: await ask_a_person(ctx) for call in result.output.approvals}
    )
    return str((await agent.run(message_history=result.all_messages(), deferred_tool_results=said)).output)


def no_weapons(_: RunContext[object], answer: str) -> str:
    if "weapon" in answer:
        raise restate.TerminalError("no weapons", status_code=422)
    return answer


@features.handler()
async def guardrails(ctx: restate.ObjectContext, prompt: str) -> str:
    agent = Agent(MODEL, name="Guarded")
    agent.output_validator(no_weapons)
    return (await RestateAgent(agent).run(prompt)).output


@features.handler()
async def providers(ctx: restate.ObjectContext, prompt: str) -> str:
    """The prompt begins with the name of a model."""
    return (await RestateAgent(Agent(prompt.split()[0], name="Any")).run(prompt)).output


if __name__ == "__main__":
    serve(features)
