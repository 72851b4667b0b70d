"""Chapter 8: sessions. One user's claims run in order, users run side by side, and a session outlives the process.

uv run tour workshop check 8
"""

import restate
from google.adk.agents import LlmAgent
from google.adk.apps import App
from google.adk.models import Gemini
from google.adk.runners import Runner
from google.genai import types
from restate.ext.adk import RestatePlugin, RestateSessionService, restate_context

from durable.held_steps import hold_failures
from shared import llm
from shared.checks import check_eligibility, check_fraud, compare_to_standard_rates
from shared.claims import InsuranceClaim, SessionClaim
from shared.serving import serve, service_name


async def calculate_metrics(claim: InsuranceClaim) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    ctx = restate_context()
    checks = await restate.gather(
        ctx.run_typed("eligibility", check_eligibility, claim=claim),
        ctx.run_typed("cost", compare_to_standard_rates, claim=claim),
        ctx.run_typed("fraud", check_fraud, claim=claim),
    )
    return [await check for check in checks]


agent = LlmAgent(
    name="ParallelToolClaimAgent",
    model=Gemini(model=llm.gemini_model(), client_kwargs=llm.gemini_client()),
    instruction=llm.INSTRUCTIONS,
    tools=[calculate_metrics],
)
app = App(name="claims", root_agent=agent, plugins=[RestatePlugin(run_options=llm.RETRIES)])
runner = Runner(app=app, session_service=RestateSessionService())

claim_service = restate.VirtualObject(
    service_name("ParallelToolClaimAgent"),
    invocation_context_managers=[hold_failures],
)


@claim_service.handler()
async def run(ctx: restate.ObjectContext, claim: SessionClaim) -> str:
    prompt = f"Claim: {claim.claim.model_dump_json()}"
    message = types.Content(role="user", parts=[types.Part(text=prompt)])
    answer = ""
    async for event in runner.run_async(user_id=ctx.key(), session_id=claim.session_id, new_message=message):
        if event.is_final_response() and event.content and event.content.parts:
            answer = "".join(part.text or "" for part in event.content.parts)
    return llm.answer(answer)


if __name__ == "__main__":
    serve(claim_service)
