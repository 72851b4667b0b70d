"""A session: a user's claims run in order, and each sees those before it. Only for services keyed by the user."""

import asyncio

import pytest

from lab.ledger import Fault
from tests.conformance.cases import AGENTS, Tagged, promise
from tour.runtime import journal
from tour.runtime.frameworks import Framework
from tour.runtime.stack import Stack

pytestmark = promise("sessions")

keyed = pytest.mark.parametrize(
    "framework", [framework for framework in AGENTS if framework.keyed], ids=lambda framework: framework.name
)


@keyed
async def test_a_second_claim_sees_the_first(running: Stack, framework: Framework, tagged: Tagged) -> None:
    answers = []
    user = tagged().reason
    for session in ("one", "one", "two"):
        id = await running.submit(framework, tagged(), user, session)
        answers.append(await running.answer(id))
    assert "claim 2" not in answers[0]
    assert "(claim 2 in this session)" in answers[1]
    assert "claim 2" not in answers[2], "another session of the same user"


@keyed
async def test_one_users_claims_in_order_two_users_side_by_side(
    running: Stack, framework: Framework, tagged: Tagged
) -> None:
    anna, berta = tagged().reason, tagged().reason
    claims = [(anna, tagged()), (anna, tagged()), (berta, tagged())]
    for _, claim in claims:
        running.lab.plan(Fault("fraud", "delay", 0.5, about=claim.reason))
    ids = [await running.submit(framework, claim, user, "s") for user, claim in claims]
    await asyncio.gather(*map(running.answer, ids))
    read = await journal.read(running.admin, *ids)
    first, second, other = (read[id] for id in ids)
    assert first.completed
    assert first.completed <= second.steps[0].start
    assert other.steps[0].start < first.completed
