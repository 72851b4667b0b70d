"""The three checks as a Restate service, which scales independently of the agents. Restate retries each check alone.

uv run deploy/check_services.py
"""

from collections.abc import Awaitable, Callable

import restate

from shared.checks import CHECKS, Check
from shared.claims import InsuranceClaim
from shared.serving import serve, terminal_errors

# All agents share this service, so its name has no prefix.
claim_checks = restate.Service("ClaimChecks", invocation_context_managers=[terminal_errors])


def handler(check: Check) -> Callable[[restate.Context, InsuranceClaim], Awaitable[str]]:
    @claim_checks.handler(check.name)
    async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
        return await ctx.run_typed(check.name, check.function, claim=claim)

    return run


HANDLERS = {name: handler(check) for name, check in CHECKS.items()}


if __name__ == "__main__":
    serve(claim_checks)
