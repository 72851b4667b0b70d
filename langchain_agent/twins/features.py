"""LangChain: what it brings, a handler for each feature. Nothing of `durable/` is used."""

from typing import Any

import restate
from langchain.agents import create_agent
from langchain.agents.middleware import AgentState, HumanInTheLoopMiddleware, before_agent
from langchain.agents.structured_output import ProviderStrategy
from langchain.chat_models import init_chat_model
from langchain.tools import tool
from langchain_core.messages import messages_from_dict, messages_to_dict
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from mcp import Client
from restate.ext.langchain import RestateMiddleware, restate_context

from shared import llm
from shared.serving import serve, service_name
from tests.choice.programs import INSTRUCTIONS, SPECIALIST, Decision, ask_a_person, look_up, mcp_url, pay

MODEL = f"openai:{llm.openai_model()}"
features = restate.VirtualObject(service_name("Features"))


def agent_of(name: str = MODEL, *middleware: Any, **options: Any) -> Any:
    return create_agent(init_chat_model(name), middleware=[*middleware, RestateMiddleware()], **options)


def asked(prompt: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": prompt}]}


@features.handler()
async def caching(ctx: restate.ObjectContext, prompt: str) -> str:
    agent = agent_of(system_prompt=INSTRUCTIONS, tools=[tool(look_up)])
    return str((await agent.ainvoke(asked(prompt)))["messages"][-1].text)


@features.handler()
async def structured(ctx: restate.ObjectContext, prompt: str) -> Decision:
    state = await agent_of(response_format=ProviderStrategy(Decision)).ainvoke(asked(prompt))
    decision: Decision = state["structured_response"]
    return decision


@tool
async def find(tag: str) -> str:
    """Find it."""

    async def call() -> str:
        async with Client(mcp_url()) as client:
            found: Any = (await client.call_tool("find", {"tag": tag})).content[0]
            return str(found.text)

    return await restate_context().run_typed("find", call)


@features.handler()
async def mcp(ctx: restate.ObjectContext, prompt: str) -> str:
    return str((await agent_of(tools=[find]).ainvoke(asked(prompt)))["messages"][-1].text)


@features.handler()
async def sessions(ctx: restate.ObjectContext, prompt: str) -> str:
    before = messages_from_dict(await ctx.get("messages") or [])
    state = await agent_of().ainvoke({"messages": [*before, {"role": "user", "content": prompt}]})
    ctx.set("messages", messages_to_dict(state["messages"]))
    return str(state["messages"][-1].text)


@features.handler()
async def handoffs(ctx: restate.ObjectContext, prompt: str) -> str:
    specialist = agent_of(system_prompt=SPECIALIST)

    @tool
    async def ask_specialist(question: str) -> str:
        """Ask the specialist."""
        return str((await specialist.ainvoke(asked(question)))["messages"][-1].text)

    return str((await agent_of(tools=[ask_specialist]).ainvoke(asked(prompt)))["messages"][-1].text)


@features.handler()
async def approvals(ctx: restate.ObjectContext, prompt: str) -> str:
    asking = HumanInTheLoopMiddleware(interrupt_on={"pay": True})
    agent = agent_of(MODEL, asking, tools=[tool(pay)], checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "t"}}
    await agent.ainvoke(asked(prompt), thread)
    decision = {"type": "approve"} if await ask_a_person(ctx) else {"type": "reject"}
    state = await agent.ainvoke(Command(resume={"decisions": [decision]}), thread)
    return str(state["messages"][-1].text)


@before_agent
async def no_weapons(state: AgentState[Any], runtime: Any) -> None:
    if "weapon" in state["messages"][-1].text:
        raise restate.TerminalError("no weapons", status_code=422)


@features.handler()
async def guardrails(ctx: restate.ObjectContext, prompt: str) -> str:
    return str((await agent_of(MODEL, no_weapons).ainvoke(asked(prompt)))["messages"][-1].text)


@features.handler()
async def providers(ctx: restate.ObjectContext, prompt: str) -> str:
    """The prompt begins with the name of a model."""
    return str((await agent_of(prompt.split()[0]).ainvoke(asked(prompt)))["messages"][-1].text)


if __name__ == "__main__":
    serve(features)
