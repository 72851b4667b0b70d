"""What the conformance modules share."""

from collections.abc import Callable

import pytest

from shared.claims import InsuranceClaim
from tour import journal
from tour.frameworks import Framework
from tour.journal import Invocation
from tour.stack import Stack

Tagged = Callable[..., InsuranceClaim]
"""The fixture `tagged`: it makes a claim that no other test has."""

live = pytest.mark.parametrize("running", ["live"], indirect=True)
"""Only on the server as it comes: for cases that take long, and are the same on one that replays."""


async def send(running: Stack, framework: Framework, claim: InsuranceClaim) -> str:
    """Send a claim in a session of its own; returns the id of its invocation."""
    return await running.submit(framework, claim, key=claim.reason[:40], session=claim.reason[:40])


async def decide(running: Stack, framework: Framework, claim: InsuranceClaim) -> tuple[str, Invocation]:
    """The agent's answer to a claim in a session of its own, and what the journal says about it."""
    id = await send(running, framework, claim)
    answer = await running.answer(id)
    return answer, (await journal.read(running.admin, id))[id]
