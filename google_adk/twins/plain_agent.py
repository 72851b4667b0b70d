"""Google ADK without Restate: `tour bench` compares the durable agent with this one.

uv run google_adk/twins/plain_agent.py
"""

import asyncio

from google.adk.agents import LlmAgent
from google.adk.agents.run_config import RunConfig, StreamingMode  # type: ignore[attr-defined]
from google.adk.apps import App
from google.adk.models import Gemini
from google.adk.runners import Runner
from google.adk.sessions import InMemorySessionService
from google.adk.tools.tool_context import ToolContext
from google.genai import types

from bench.serving import CHECKS, STREAMS, serve_plain
from google_adk.sdk import refuse_unknown_tool
from shared import llm
from shared.claims import InsuranceClaim, SessionClaim


async def calculate_metrics(claim: InsuranceClaim, tool_context: ToolContext) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    if mismatch := InsuranceClaim.model_validate(tool_context.state["claim"]).mismatch_with(claim):
        return [mismatch]
    return list(await asyncio.gather(*(check(claim) for check in CHECKS.values())))


agent = LlmAgent(
    name="ParallelToolClaimAgent",
    model=Gemini(model=llm.gemini_model(), client_kwargs=llm.gemini_client()),
    instruction=llm.INSTRUCTIONS,
    tools=[calculate_metrics],
    before_tool_callback=refuse_unknown_tool,
)
app = App(name="claims", root_agent=agent)
runner = Runner(app=app, session_service=InMemorySessionService(), auto_create_session=True)


async def run(claim: SessionClaim) -> str:
    prompt = f"Claim: {claim.claim.model_dump_json()}"
    events = runner.run_async(
        user_id="user123",
        session_id=claim.session_id,
        state_delta={"claim": claim.claim.model_dump(mode="json")},
        new_message=types.Content(role="user", parts=[types.Part(text=prompt)]),
        run_config=RunConfig(streaming_mode=StreamingMode.SSE if STREAMS else StreamingMode.NONE),
    )
    answer = ""
    async for event in events:
        if event.is_final_response() and event.content and event.content.parts:
            answer = "".join(part.text or "" for part in event.content.parts)
    return llm.answer(answer)


if __name__ == "__main__":
    serve_plain(SessionClaim, run)
