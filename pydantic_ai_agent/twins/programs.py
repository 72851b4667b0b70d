"""Pydantic AI: an agent whose tools are programs."""

import json
from typing import Any

import restate
from pydantic_ai import Agent, DeferredToolRequests, ModelRetry, Tool
from pydantic_ai.models.openai import OpenAIResponsesModel
from restate.ext.pydantic import RestateAgent

import durable.exact.pydantic_ai  # noqa: F401
from durable.adapters.pydantic_ai import ParallelToolCalls
from shared import llm
from shared.serving import GUARDS, serve, service_name
from tests.durable.programs import Request, elsewhere, perform


async def work(tag: str, program: str) -> str:
    """Run a program."""
    return await perform(json.loads(program), tag)


async def delegate(tag: str) -> str:
    """Let another agent do it."""
    return await ask(inner, Request(prompt=f"inner {tag}"))


async def refuse(tag: str) -> str:
    """Answers an error to the model."""
    raise ModelRetry(f"refused {tag}")


async def never(tag: str) -> str:
    """Waits for a person's approval."""
    raise AssertionError(tag)


model = OpenAIResponsesModel(llm.openai_model())
capabilities = [ParallelToolCalls()]
inner = RestateAgent(Agent(model, name="Inner", tools=[work], capabilities=capabilities), run_options=llm.RETRIES)
agent = RestateAgent(
    Agent(model, name="Programs", tools=[work, delegate, refuse], capabilities=capabilities),
    run_options=llm.RETRIES,
)
asking = RestateAgent(
    Agent(
        model,
        name="Asking",
        tools=[work, Tool(never, requires_approval=True)],
        output_type=[str, DeferredToolRequests],
        capabilities=capabilities,
    ),
    run_options=llm.RETRIES,
)
naive = RestateAgent(Agent(model, name="Naive", tools=[work]), run_options=llm.RETRIES)
service = restate.Service(service_name("Programs"), invocation_context_managers=GUARDS)


async def ask(agent: RestateAgent[None, Any], request: Request) -> str:
    with agent.parallel_tool_call_execution_mode("sequential" if request.limit else "parallel"):
        return llm.answer(str((await agent.run(request.prompt)).output))


@service.handler()
async def run(ctx: restate.Context, request: Request) -> str:
    return await ask(asking if request.never else naive if request.naive else agent, request)


if __name__ == "__main__":
    serve(service, elsewhere)
