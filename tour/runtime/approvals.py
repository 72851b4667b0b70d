"""The claims that wait for a person, read from Restate's state, and a person's decision."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import httpx

from shared.claims import InsuranceClaim
from tour.runtime import journal
from tour.runtime.frameworks import APPROVAL, FRAMEWORKS, Framework, Pattern


@dataclass(frozen=True)
class Waiting:
    """A waiting claim: the service and the id of its request, and the reason for the request."""

    service: str
    id: str
    why: str
    claim: InsuranceClaim

    @property
    def agent(self) -> str:
        """The title of the framework whose agent asks; for other agents, the service's name."""
        prefix = self.service.rpartition(".")[0]
        return next((each.title for each in FRAMEWORKS if each.prefix(APPROVAL) == prefix), self.service)


async def waiting(admin: httpx.AsyncClient) -> dict[str, Waiting]:
    """The waiting claims, by the id of their request. Raises: httpx.HTTPError."""
    rows = await journal.query(
        admin,
        "SELECT service_name, service_key, value_utf8 FROM state"
        " WHERE service_name LIKE '%ClaimApproval' AND key = 'waiting' ORDER BY service_name, service_key",
    )
    found = {}
    for row in rows:
        asked = json.loads(row["value_utf8"])
        claim = InsuranceClaim.model_validate(asked["claim"])
        found[row["service_key"]] = Waiting(row["service_name"], row["service_key"], asked["why"], claim)
    return found


def service(framework: Framework, pattern: Pattern = APPROVAL) -> str:
    """The registered name of a framework's approval service."""
    return f"{framework.prefix(pattern)}.ClaimApproval"


async def decide(ingress: httpx.AsyncClient, service: str, id: str, decision: dict[str, object]) -> httpx.Response:
    """A person's decision on the claim that waits under this id. Raises: httpx.HTTPError."""
    return await ingress.post(f"/restate/call/{service}/{id}/decide", json=decision)


@asynccontextmanager
async def approving_all(admin: httpx.AsyncClient, ingress: httpx.AsyncClient, reason: str) -> AsyncIterator[None]:
    """While the block runs, approve each claim as soon as it waits, as a person would.

    Claims that already wait are left to others. Raises: httpx.HTTPError.
    """
    person = asyncio.create_task(_approve_all(admin, ingress, reason, set(await waiting(admin))))
    try:
        yield
    finally:
        person.cancel()


async def _approve_all(admin: httpx.AsyncClient, ingress: httpx.AsyncClient, reason: str, others: set[str]) -> None:
    while True:
        with suppress(httpx.HTTPError):
            for id, claim in (await waiting(admin)).items():
                if id not in others:
                    await decide(ingress, claim.service, id, {"approved": True, "reason": reason})
        await asyncio.sleep(0.25)
