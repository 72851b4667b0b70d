"""The three checks as a Restate service: it scales independently of the agents, and retries each check alone.

uv run deploy/check_services.py
"""

import restate

from shared.checks import check_eligibility, check_fraud, compare_to_standard_rates
from shared.claims import InsuranceClaim
from shared.serving import serve, terminal_errors

# All agents share it, so its name has no prefix.
claim_checks = restate.Service("ClaimChecks", invocation_context_managers=[terminal_errors])


@claim_checks.handler()
async def eligibility(ctx: restate.Context, claim: InsuranceClaim) -> str:
    return await ctx.run_typed("eligibility", check_eligibility, claim=claim)


@claim_checks.handler()
async def cost(ctx: restate.Context, claim: InsuranceClaim) -> str:
    return await ctx.run_typed("cost", compare_to_standard_rates, claim=claim)


@claim_checks.handler()
async def fraud(ctx: restate.Context, claim: InsuranceClaim) -> str:
    return await ctx.run_typed("fraud", check_fraud, claim=claim)


if __name__ == "__main__":
    serve(claim_checks)
