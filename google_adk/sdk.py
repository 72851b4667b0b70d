"""Shared by the agents on Google ADK: the model, the start and the end of a run, and settings for wrong tool calls."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from google.adk.agents import LlmAgent
from google.adk.apps import App
from google.adk.events import Event
from google.adk.features import FeatureName, override_feature_enabled
from google.adk.models import Gemini
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import Runner
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.tool_context import ToolContext
from google.genai import types
from restate import ObjectContext, TerminalError
from restate.ext.adk import RestatePlugin

from google_adk.sessions import CompactedSessionService, compaction
from shared import llm
from shared.claims import InsuranceClaim, SessionClaim

# Without this, ADK calls a tool with arguments that do not fit its signature, and each retry fails alike.
override_feature_enabled(FeatureName.FUNCTION_TOOL_ARG_VALIDATION, True)


class GeminiAskedAgain(Gemini):
    """Gemini, but a malformed tool call fails the model call, so that Restate retries the step.

    The model usually gets it right when asked again; ADK would end the turn."""

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        async for response in super().generate_content_async(llm_request, stream):
            if response.error_code == types.FinishReason.MALFORMED_FUNCTION_CALL:
                raise ValueError(f"the model's answer: {response.error_code}: {response.error_message}")
            yield response


def gemini(role: str = "") -> Gemini:
    """The model, with a client that reaches it."""
    return GeminiAskedAgain(model=llm.gemini_model(role), client_kwargs=llm.gemini_client())


def refuse_unknown_tool(tool: BaseTool, args: dict[str, Any], tool_context: ToolContext) -> dict[str, str] | None:
    """A `before_tool_callback` that answers the call of a tool that does not exist. None for a tool that does.

    ADK would answer such a call itself, but without the callbacks in which Restate's plugin passes the turn on to the
    next call. If the turn had other calls, Restate would retry the invocation forever.
    """
    return {"error": f"there is no tool {tool.name}"} if type(tool) is BaseTool else None  # ADK's stand-in for it


def submitted(tool_context: ToolContext) -> InsuranceClaim:
    """The claim that the caller submitted."""
    return InsuranceClaim.model_validate(tool_context.state["claim"])


def claim_runner(agent: LlmAgent, model: Gemini, plugin: RestatePlugin) -> Runner:
    """The runner of a claim agent, with sessions that stay quick."""
    app = App(name="claims", root_agent=agent, plugins=[plugin], events_compaction_config=compaction(model))
    return Runner(app=app, session_service=CompactedSessionService())


async def decide(runner: Runner, ctx: ObjectContext, claim: SessionClaim) -> str:
    """The agent's answer to a claim, in the claim's session. The key of the Virtual Object is the user."""
    prompt = f"Claim: {claim.claim.model_dump_json()}"
    events = runner.run_async(
        user_id=ctx.key(),
        session_id=claim.session_id,
        state_delta={"claim": claim.claim.model_dump(mode="json")},
        new_message=types.Content(role="user", parts=[types.Part(text=prompt)]),
    )
    return await answer_of(events)


async def answer_of(events: AsyncGenerator[Event, None]) -> str:
    """The model's answer at the end of an ADK run. Closes the run, whose rest could otherwise end in another claim.

    Raises: TerminalError when the model says nothing, or asks for tools in each of `MAX_TURNS` turns.
    """
    answer, problem, turns = "", "", 0
    async with aclosing(events):
        async for event in events:
            # ADK's limit (max_llm_calls) does not count model calls that Restate's plugin makes.
            turns += bool(event.get_function_calls())
            if turns == llm.MAX_TURNS:
                raise TerminalError(f"the model gave no answer in {turns} turns")
            problem = f"{event.error_code}: {event.error_message}" if event.error_code else problem
            if event.is_final_response() and event.content and event.content.parts:
                answer = "".join(part.text or "" for part in event.content.parts if not part.thought)
    return llm.answer(answer, problem=problem)
