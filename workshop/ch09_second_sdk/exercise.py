"""Chapter 9: the second SDK. The parts that all SDKs share are here; the others are missing.

uv run tour workshop check 9
"""

import restate

from shared import llm
from shared.checks import check_eligibility, check_fraud, compare_to_standard_rates
from shared.claims import InsuranceClaim
from shared.serving import GUARDS, serve, service_name


# EXERCISE: make this a tool of your SDK. The model fills in only `claim`; the SDK provides the other two.
async def calculate_metrics(claim: InsuranceClaim, ctx: restate.Context, submitted: InsuranceClaim) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    if mismatch := submitted.mismatch_with(claim):
        return [mismatch]
    checks = await restate.gather(
        ctx.run_typed("eligibility", check_eligibility, claim=claim),
        ctx.run_typed("cost", compare_to_standard_rates, claim=claim),
        ctx.run_typed("fraud", check_fraud, claim=claim),
    )
    return [await check for check in checks]


# EXERCISE: make the agent, with `llm.INSTRUCTIONS`, your tool, a model, and Restate's part with `llm.RETRIES`.
agent = None

# GUARDS are `hold_failures`, and `terminal_errors`: an error of the SDK, such as too many turns, ends the invocation.
claim_service = restate.Service(service_name("ParallelToolClaimAgent"), invocation_context_managers=GUARDS)


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    # EXERCISE: run the agent on the prompt, with `claim` for the tool, for at most `llm.MAX_TURNS` turns.
    return llm.answer("", problem=f"there is no agent yet to ask about {prompt}")


if __name__ == "__main__":
    serve(claim_service)
