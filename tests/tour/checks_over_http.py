"""Runs an unchanged agent of the tour with checks that call a service over HTTP, `WORLD`, so that the judge sees them.

python -m tests.tour.checks_over_http pydantic_ai_agent/twins/documented_agent.py
"""

import os
import runpy
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from shared import checks
from shared.claims import InsuranceClaim

Check = Callable[[InsuranceClaim], Awaitable[str]]


def over_http(check: Check) -> Check:
    async def asked(claim: InsuranceClaim) -> str:
        async with httpx.AsyncClient(timeout=20, verify=False) as client:
            name = check.__name__
            (await client.post(f"{os.environ['WORLD']}/{name}", json={"what": name})).raise_for_status()
        return await check(claim)

    return asked


if __name__ == "__main__":
    for each in (checks.check_eligibility, checks.compare_to_standard_rates, checks.check_fraud):
        setattr(checks, each.__name__, over_http(each))
    sys.path.insert(0, str(Path(sys.argv[1]).parent))
    runpy.run_path(sys.argv[1], run_name="__main__")
