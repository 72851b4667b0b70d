"""Google ADK: what it brings, a handler for each feature. Nothing of `durable/` is used."""

import restate
from google.adk.agents import LlmAgent
from google.adk.agents.callback_context import CallbackContext
from google.adk.apps import App
from google.adk.runners import Runner
from google.adk.tools.function_tool import FunctionTool
from google.adk.tools.mcp_tool import McpToolset, StreamableHTTPConnectionParams
from google.genai import types
from restate.ext.adk import RestatePlugin, RestateSessionService

from shared import llm
from shared.serving import serve, service_name
from tests.choice.programs import INSTRUCTIONS, SPECIALIST, Decision, ask_a_person, look_up, mcp_url, pay

model = llm.gemini_model()
features = restate.VirtualObject(service_name("Features"))
CONFIRMATION = "adk_request_confirmation"


async def ask(agent: LlmAgent, ctx: restate.ObjectContext, *parts: types.Part) -> str:
    """The agent's last words, in the session that is in the state of the Virtual Object."""
    app = App(name="features", root_agent=agent, plugins=[RestatePlugin()])
    runner = Runner(app=app, session_service=RestateSessionService())
    message = types.Content(role="user", parts=[*parts])
    answer = ""
    async for event in runner.run_async(user_id=ctx.key(), session_id="s", new_message=message):
        if event.is_final_response() and event.content and event.content.parts:
            answer = event.content.parts[0].text or ""
    return answer


@features.handler()
async def caching(ctx: restate.ObjectContext, prompt: str) -> str:
    agent = LlmAgent(name="Caching", model=model, instruction=INSTRUCTIONS, tools=[look_up])
    return await ask(agent, ctx, types.Part(text=prompt))


@features.handler()
async def structured(ctx: restate.ObjectContext, prompt: str) -> Decision:
    agent = LlmAgent(name="Structured", model=model, output_schema=Decision)
    return Decision.model_validate_json(await ask(agent, ctx, types.Part(text=prompt)))


@features.handler()
async def mcp(ctx: restate.ObjectContext, prompt: str) -> str:
    tools = McpToolset(connection_params=StreamableHTTPConnectionParams(url=mcp_url()))
    agent = LlmAgent(name="Tools", model=model, tools=[tools])
    try:
        return await ask(agent, ctx, types.Part(text=prompt))
    finally:
        await tools.close()


@features.handler()
async def sessions(ctx: restate.ObjectContext, prompt: str) -> str:
    return await ask(LlmAgent(name="Remembering", model=model), ctx, types.Part(text=prompt))


@features.handler()
async def handoffs(ctx: restate.ObjectContext, prompt: str) -> str:
    specialist = LlmAgent(name="specialist", model=model, instruction=SPECIALIST)
    return await ask(LlmAgent(name="Front", model=model, sub_agents=[specialist]), ctx, types.Part(text=prompt))


@features.handler()
async def approvals(ctx: restate.ObjectContext, prompt: str) -> str:
    agent = LlmAgent(name="Asking", model=model, tools=[FunctionTool(pay, require_confirmation=True)])
    await ask(agent, ctx, types.Part(text=prompt))
    stored = await RestateSessionService().get_session(app_name="features", user_id=ctx.key(), session_id="s")
    assert stored
    # Not from the stream of events, where the id of the call is a new one on each replay.
    [call] = [call for event in stored.events for call in event.get_function_calls() if call.name == CONFIRMATION]
    confirmed = {"confirmed": await ask_a_person(ctx)}
    said = types.FunctionResponse(id=call.id, name=call.name, response=confirmed)
    return await ask(agent, ctx, types.Part(function_response=said))


def no_weapons(callback_context: CallbackContext) -> types.Content | None:
    said = callback_context.user_content
    if said and said.parts and "weapon" in (said.parts[0].text or ""):
        raise restate.TerminalError("no weapons", status_code=422)
    return None


@features.handler()
async def guardrails(ctx: restate.ObjectContext, prompt: str) -> str:
    agent = LlmAgent(name="Guarded", model=model, before_agent_callback=no_weapons)
    return await ask(agent, ctx, types.Part(text=prompt))


@features.handler()
async def providers(ctx: restate.ObjectContext, prompt: str) -> str:
    """The prompt begins with the name of a model."""
    return await ask(LlmAgent(name="Any", model=prompt.split()[0]), ctx, types.Part(text=prompt))


if __name__ == "__main__":
    serve(features)
