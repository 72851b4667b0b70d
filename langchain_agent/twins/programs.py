"""LangChain: an agent whose tools are programs."""

import json
from typing import Any

import restate
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain.agents.structured_output import ToolStrategy
from langchain.tools import tool
from langchain_core.messages import ToolMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from durable.adapters.langchain import ParallelRestateMiddleware
from shared import llm
from shared.serving import GUARDS, serve, service_name
from tests.durable.programs import Request, elsewhere, perform


@tool
async def work(tag: str, program: str) -> str:
    """Run a program."""
    return await perform(json.loads(program), tag)


@tool
async def delegate(tag: str) -> str:
    """Let another agent do it."""
    return await ask(inner, Request(prompt=f"inner {tag}"))


@tool
async def refuse(tag: str) -> str:
    """Answers an error to the model."""
    raise ValueError(f"refused {tag}")


class never(BaseModel):
    """A structured answer, which LangChain reads and does not run."""

    tag: str


class TellTheModel(AgentMiddleware):
    async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
        try:
            return await handler(request)
        except ValueError as error:
            return ToolMessage(str(error), tool_call_id=request.tool_call["id"], status="error")


model = ChatOpenAI(model=llm.openai_model(), timeout=llm.MODEL_TIMEOUT, http_async_client=llm.http_client())
middleware: Any = [ParallelRestateMiddleware(run_options=llm.RETRIES), TellTheModel()]
inner: Any = create_agent(model=model, tools=[work], middleware=middleware)
agent: Any = create_agent(model=model, tools=[work, delegate, refuse], middleware=middleware)
asking: Any = create_agent(model=model, tools=[work], middleware=middleware, response_format=ToolStrategy(never))
service = restate.Service(service_name("Programs"), invocation_context_managers=GUARDS)


async def ask(agent: Any, request: Request) -> str:
    config = {"max_concurrency": request.limit} if request.limit else {}
    state = await agent.ainvoke({"messages": [{"role": "user", "content": request.prompt}]}, config)
    return llm.answer(state["messages"][-1].text)


@service.handler()
async def run(ctx: restate.Context, request: Request) -> str:
    return await ask(asking if request.never else agent, request)


if __name__ == "__main__":
    serve(service, elsewhere)
