"""No agent SDK: an agent whose tools are programs."""

import json

import restate
from pydantic import BaseModel

from restate_loop.agent_loop import Agent, Call, Tool
from shared.serving import GUARDS, serve, service_name
from tests.durable.programs import Request, elsewhere, perform


class Work(BaseModel):
    tag: str
    program: str


class Tag(BaseModel):
    tag: str


async def work(call: Call[None], arguments: Work) -> str:
    return await perform(json.loads(arguments.program), arguments.tag)


async def delegate(call: Call[None], arguments: Tag) -> str:
    return await inner.run(call.ctx, f"inner {arguments.tag}", None)


async def refuse(call: Call[None], arguments: Tag) -> str:
    return f"refused {arguments.tag}"


tools = [
    Tool("work", "Run a program.", Work, work),
    Tool("delegate", "Let another agent do it.", Tag, delegate),
    Tool("refuse", "Answers an error to the model.", Tag, refuse),
]
inner = Agent("", tools[:1])
agent = Agent("", tools)
service = restate.Service(service_name("Programs"), invocation_context_managers=GUARDS)


@service.handler()
async def run(ctx: restate.Context, request: Request) -> str:
    return await agent.run(ctx, request.prompt, None)


if __name__ == "__main__":
    serve(service, elsewhere)
