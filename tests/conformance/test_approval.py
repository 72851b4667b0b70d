"""A person's decision as a step, alike in all frameworks: asked once, decided once, and undone for a refused claim.

The person uses HTTP, as curl does. `inv_…` is the id of both a claim's invocation and its request for approval.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from lab.ledger import Fault
from shared.claims import InsuranceClaim
from tests.conformance.approvals import (
    HANDLERS,
    approving,
    funds,
    replaying,
    requests,
    say,
    settled,
    until,
    until_waiting,
)
from tests.conformance.cases import Tagged, decide, live, send
from tests.conformance.test_promise import outcome
from tests.nightly import by_night
from tour.runtime import journal
from tour.runtime.frameworks import APPROVAL, Framework
from tour.runtime.stack import Stack

pytestmark = pytest.mark.costly

HURRIED = replace(APPROVAL, name="hurried", variant="hurried", env={"APPROVAL_DEADLINE": "1"})
"""The pattern whose requests are refused after a second."""


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["live", *by_night(["replaying"])])
async def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with approving(tmp_path_factory.mktemp(request.param), request.param) as running:
        yield running


@pytest.fixture
def risky(tagged: Tagged) -> InsuranceClaim:
    """A claim of medium risk, so that a person has to decide."""
    return tagged("round-emergency")


async def test_nobody_is_asked_about_a_low_risk(running: Stack, framework: Framework, tagged: Tagged) -> None:
    answer, invocation = await decide(running, framework, tagged())
    assert answer.startswith("Approved:")
    assert await requests(running, invocation.id) == []
    assert funds(running, invocation.id) == "none"


@pytest.mark.parametrize("approved", [True, False])
@pytest.mark.parametrize("why", ["more than 10,000 USD", "medium risk: "])
async def test_the_decision_is_final_and_its_reason_is_cited(
    running: Stack, framework: Framework, tagged: Tagged, why: str, approved: bool
) -> None:
    claim = tagged("round-emergency")
    if why.startswith("more"):
        claim = claim.model_copy(update={"category": "cardiology", "amount": 10_001.0})
    id = await send(running, framework, claim)
    shown = await until_waiting(running, id)
    assert shown.why.startswith(why)
    assert shown.claim == claim
    assert funds(running, id) == "reserved"
    said = await say(running, framework, id, approved, "  the invoice;\n ['was'] \"seen\" ")
    assert said.status_code == 200
    verdict, word = ("Approved:", "approved") if approved else ("Rejected:", "refused")
    answer = await running.answer(id)
    assert answer.startswith(verdict)
    assert f"{word} by a person: the invoice; ['was'] \"seen\"" in answer
    await settled(running, id, "reserved" if approved else "released")
    assert len(await requests(running, id)) == 1


@live
async def test_the_person_is_asked_while_other_checks_run(
    running: Stack, framework: Framework, risky: InsuranceClaim
) -> None:
    running.lab.plan(
        Fault("fraud", "delay", 0.5, about=risky.reason),
        Fault("cost", "delay", 2, about=risky.reason),
        Fault("cost", "fail", about=risky.reason),
    )
    id = await send(running, framework, risky)
    await until_waiting(running, id)
    (read,) = (await journal.read(running.admin, id)).values()
    assert [step.name for step in read.checks if not step.end] == ["cost"]
    events = [(entry.step, entry.event) for entry in running.lab.ledger(invocations=[id])]
    assert events.index(("cost", "start")) < events.index(("fraud", "end"))
    await say(running, framework, id)
    answer, runs = await outcome(running, id)
    assert answer.startswith("Approved:")
    assert {step: found.starts for step, found in runs.items()} == {"eligibility": 1, "cost": 2, "fraud": 1}
    assert len(await requests(running, id)) == 1


@replaying
async def test_no_process_is_held(running: Stack, framework: Framework, risky: InsuranceClaim) -> None:
    id = await send(running, framework, risky)
    await until_waiting(running, id)

    async def all_are_suspended() -> bool:
        asked = [row["status"] for handler in HANDLERS for row in await requests(running, id, handler)]
        claim = (await journal.read(running.admin, id))[id].status
        return [claim, *asked] == ["suspended"] * 3

    await until(all_are_suspended)
    await say(running, framework, id)
    assert (await running.answer(id)).startswith("Approved:")


async def test_a_decision_counts_once_and_a_late_one_is_told(
    running: Stack, framework: Framework, risky: InsuranceClaim
) -> None:
    running.lab.plan(Fault("model", "delay", 0.5, about=risky.reason))
    id = await send(running, framework, risky)
    await until_waiting(running, id)
    both = await asyncio.gather(*(say(running, framework, id, True, reason) for reason in ("yes", "yes", "no, yes")))
    first = both[0].json() if both[0].status_code == 200 else both[2].json()
    for _ in range(2):
        said = {reason: await say(running, framework, id, True, reason) for reason in ("yes", "no, yes")}
        assert sorted(response.status_code for response in said.values()) == [200, 409]
        assert first in {response.json() for response in said.values() if response.status_code == 200}
        late = await say(running, framework, id, False)
        assert (late.status_code, late.json()["message"]) == (409, f"too late: {first}")
        answer = await running.answer(id)
    assert first in answer
    await settled(running, id, "reserved")


async def test_an_unknown_id_and_a_decision_that_is_none_are_client_errors(
    running: Stack, framework: Framework, risky: InsuranceClaim
) -> None:
    id = await send(running, framework, risky)
    await until_waiting(running, id)
    for unknown in ("inv_1forged", id[:-1], id + "x", "*", "' OR 1=1"):
        assert (await say(running, framework, unknown)).status_code == 404
    wrong: tuple[tuple[object, str, dict[str, object], str], ...] = (
        ("yes", "seen", {}, "approved"),
        (None, "seen", {}, "approved"),
        (True, " ", {}, "reason"),
        (True, "x" * 501, {}, "reason"),
        (True, "\u200b\x00\x1f", {}, "reason"),
        (True, "seen", {"outcome": "approved"}, "outcome"),
    )
    for approved, reason, more, named in wrong:
        refused = await say(running, framework, id, approved, reason, APPROVAL, **more)
        assert (refused.status_code, "invalid decision" in refused.text, named in refused.text) == (400, True, True)
    path = f"/restate/call/{framework.prefix(APPROVAL)}.ClaimApproval/{id}"
    for body in ("", "{", "null", "[]"):
        refused = await running.ingress.post(
            f"{path}/decide", content=body, headers={"content-type": "application/json"}
        )
        problem = "invalid decision: body: " if body else "input validation error: Empty body"  # which is Restate's
        assert (refused.status_code, refused.json()["message"][: len(problem)]) == (400, problem), body
    refused = await running.ingress.post(f"{path}/decide")
    assert (refused.status_code, refused.json()["message"]) == (400, "invalid request: body: JSON is required")
    for handler in ("run", "outcome", "withdraw", "approve"):
        # Restate may close the connection of a request that it refuses unread.
        refused = await running.ingress.post(f"{path}/{handler}", json={}, headers={"connection": "close"})
        assert 400 <= refused.status_code < 500, handler
    assert funds(running, id) == "reserved"
    await say(running, framework, id, False, "forged")
    assert "refused by a person: forged" in await running.answer(id)


async def test_silence_is_a_refusal(running: Stack, framework: Framework, risky: InsuranceClaim) -> None:
    await running.add(HURRIED)
    id = await running.submit(framework, risky, risky.reason, risky.reason, pattern=HURRIED)
    answer = await running.answer(id)
    assert answer.startswith("Rejected:")
    assert "refused: nobody decided in time" in answer
    await settled(running, id, "released")
    late = await say(running, framework, id, pattern=HURRIED)
    assert (late.status_code, late.json()["message"]) == (409, "too late: refused: nobody decided in time")


async def assert_withdrawn(running: Stack, framework: Framework, id: str) -> None:
    await settled(running, id, "released")
    assert len(await requests(running, id)) == 1
    late = await say(running, framework, id)
    assert (late.status_code, late.json()["message"]) == (409, "too late: withdrawn")


async def test_a_claim_is_withdrawn(running: Stack, framework: Framework, risky: InsuranceClaim) -> None:
    id = await send(running, framework, risky)
    await until_waiting(running, id)
    await running.admin.patch(f"/invocations/{id}/cancel")
    async with asyncio.timeout(30):
        assert (await running.answer(id)).startswith("409: ")
    await assert_withdrawn(running, framework, id)


@live
async def test_a_claim_is_withdrawn_while_a_check_runs(
    running: Stack, framework: Framework, risky: InsuranceClaim
) -> None:
    running.lab.plan(Fault("cost", "delay", 90, about=risky.reason))
    id = await send(running, framework, risky)
    await until_waiting(running, id)
    await running.admin.patch(f"/invocations/{id}/cancel")
    async with asyncio.timeout(30):
        assert (await running.answer(id)).startswith("409: ")
    await assert_withdrawn(running, framework, id)

    async def the_check_has_ended() -> bool:
        return any((entry.step, entry.event) == ("cost", "end") for entry in running.lab.ledger(invocations=[id]))

    await until(the_check_has_ended)


async def test_a_check_ends_for_good(running: Stack, framework: Framework, risky: InsuranceClaim) -> None:
    running.lab.plan(
        Fault("cost", "delay", 0.5, about=risky.reason), Fault("cost", "terminal", 422, about=risky.reason)
    )
    id = await send(running, framework, risky)
    assert (await running.answer(id)).startswith("422: ")
    await assert_withdrawn(running, framework, id)


async def test_the_model_ends_for_good_after_an_approval(
    running: Stack, framework: Framework, risky: InsuranceClaim
) -> None:
    running.lab.plan(Fault("model", "status", 403, times=99, about=risky.reason, turn=1))
    id = await send(running, framework, risky)
    await until_waiting(running, id)
    approved = await say(running, framework, id)
    assert (await running.answer(id)).startswith("403: ")
    await settled(running, id, "released")
    assert (await say(running, framework, id)).json() == approved.json()


async def test_the_money_cannot_be_reserved(running: Stack, framework: Framework, tagged: Tagged) -> None:
    claim = tagged("round-emergency")
    amount = 10_000.5 + int(claim.reason[-5:], 16)  # both languages write it so
    claim = claim.model_copy(update={"amount": amount})
    running.lab.plan(Fault("reserve", "terminal", 402, about=f"{amount}", detail="no money left"))
    answer, invocation = await decide(running, framework, claim)
    assert answer.startswith("Rejected:")
    assert "refused: no money left" in answer
    await settled(running, invocation.id, "released")


async def test_the_model_asks_for_the_tool_again(running: Stack, framework: Framework, risky: InsuranceClaim) -> None:
    """The model calls the tool twice in one turn, and again in the next: the person is asked once."""
    call = {"name": "calculate_metrics", "arguments": json.dumps({"claim": risky.model_dump(mode="json")})}
    for turn, calls in enumerate(([call, call], [call])):
        running.lab.plan(Fault("model", "say", about=risky.reason, turn=turn, detail=json.dumps({"calls": calls})))
    id = await send(running, framework, risky)
    await until_waiting(running, id)
    await say(running, framework, id)
    assert "approved by a person: invoice seen" in await running.answer(id)
    await settled(running, id, "reserved")
    assert len(await requests(running, id)) == 1
