"""Google ADK."""

import restate
from google.adk.agents import LlmAgent
from google.adk.apps import App
from google.adk.runners import Runner
from google.genai import types
from restate.ext.adk import RestatePlugin, RestateSessionService, restate_context

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
    name="ClaimAgent",
    model=llm.gemini_model(),
    instruction=llm.INSTRUCTIONS,
    tools=[calculate_metrics],
)
app = App(name="claims", root_agent=agent, plugins=[RestatePlugin()])
runner = Runner(app=app, session_service=RestateSessionService())
claim_service = restate.VirtualObject(service_name("ParallelToolClaimAgent"))


@claim_service.handler()
async def run(ctx: restate.ObjectContext, claim: SessionClaim) -> str:
    events = runner.run_async(
        user_id=ctx.key(),
        session_id=claim.session_id,
        new_message=types.Content(role="user", parts=[types.Part(text=f"Claim: {claim.claim.model_dump_json()}")]),
    )
    answer = ""
    async for event in events:
        if event.is_final_response() and event.content and event.content.parts:
            answer = event.content.parts[0].text or ""
    return answer


if __name__ == "__main__":
    serve(claim_service)
