"""Google ADK: an agent whose tools are programs."""

import json

import restate
from google.adk.agents import LlmAgent
from google.adk.apps import App
from google.adk.models import Gemini
from google.adk.runners import Runner
from google.adk.sessions import InMemorySessionService
from google.genai import types

from durable.adapters.google_adk import ParallelRestatePlugin
from google_adk.sdk import refuse_unknown_tool
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
    return f"refused {tag}"


model = Gemini(model=llm.gemini_model(), client_kwargs=llm.gemini_client())
inner = LlmAgent(name="Inner", model=model, tools=[work], before_tool_callback=refuse_unknown_tool)
agent = LlmAgent(name="Programs", model=model, tools=[work, delegate, refuse], before_tool_callback=refuse_unknown_tool)
service = restate.VirtualObject(
    service_name("Programs"),
    invocation_context_managers=GUARDS,
)


async def ask(agent: LlmAgent, request: Request) -> str:
    sessions = InMemorySessionService()
    app = App(name="programs", root_agent=agent, plugins=[ParallelRestatePlugin(run_options=llm.RETRIES)])
    session = await sessions.create_session(app_name="programs", user_id="u")
    answer = ""
    async for event in Runner(app=app, session_service=sessions).run_async(
        user_id="u",
        session_id=session.id,
        new_message=types.Content(role="user", parts=[types.Part(text=request.prompt)]),
    ):
        if event.is_final_response() and event.content and event.content.parts:
            answer = "".join(part.text or "" for part in event.content.parts)
    return llm.answer(answer)


@service.handler()
async def run(ctx: restate.ObjectContext, request: Request) -> str:
    return await ask(agent, request)


if __name__ == "__main__":
    serve(service, elsewhere)
