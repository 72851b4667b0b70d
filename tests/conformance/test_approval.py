"""A step that is a person, the same in all frameworks: asked once, decided once, and what was done is undone.

The person speaks HTTP, as curl does. `inv_…` names the invocation of a claim, and its request for approval, too.
"""

import asyncio
import contextlib
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import pytest_asyncio

from lab.funds import Funds
from lab.ledger import Fault, Kind
from shared.claims import InsuranceClaim
from tests.conformance.cases import Tagged, decide, send
from tests.conformance.conftest import SERVERS
from tests.conformance.test_promise import everywhere, kept, model_calls, outcome, reached
from tour.runtime import evidence, journal, processes, stack
from tour.runtime.approvals import Waiting, waiting
from tour.runtime.frameworks import APPROVAL, FRAMEWORKS, ROOT, Framework, Pattern
from tour.runtime.processes import POLL, free_port
from tour.runtime.stack import CHECKS, Stack

HURRIED = replace(APPROVAL, name="hurried", variant="hurried", env={"APPROVAL_DEADLINE": "1"})
"""Its requests are refused after a second."""

HANDLERS = ("request", "outcome", "withdraw")
"""Those of a request for approval, besides `decide`."""

live = pytest.mark.parametrize("running", ["live"], indirect=True)
replaying = pytest.mark.parametrize("running", ["replaying"], indirect=True)


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=list(SERVERS))
async def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """The agents of this pattern, and the bank's service."""
    folder = tmp_path_factory.mktemp(request.param)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command: list[str | Path] = [
        sys.executable,
        ROOT / "lab/funds.py",
        "--port",
        str(port),
        "--ledger",
        str(folder / "funds.sqlite"),
    ]
    async with (
        processes.running("The funds service", command, folder / "funds.log") as service,
        stack.running(
            folder,
            frameworks=FRAMEWORKS_WITH_IT,
            pattern=APPROVAL,
            server_env=SERVERS[request.param],
            agent_env={"FUNDS_URL": url, "MODEL_TIMEOUT": "3"},
        ) as running,
    ):
        await service.until(f"{url}/reservations")
        yield running


FRAMEWORKS_WITH_IT = [framework for framework in FRAMEWORKS if framework.script(APPROVAL).exists()]


@pytest.fixture(params=FRAMEWORKS_WITH_IT, ids=lambda framework: framework.name)
def framework(request: pytest.FixtureRequest) -> Framework:
    chosen: Framework = request.param
    return chosen


def funds(running: Stack, id: str) -> str:
    """`reserved`, `released` or `none`."""
    return Funds(running.folder / "funds.sqlite").all().get(id, "none")


async def requests(running: Stack, id: str, handler: str = "request") -> list[dict[str, Any]]:
    """The invocations of this handler of a claim's request for approval."""
    return await journal.query(
        running.admin,
        "SELECT id, status FROM sys_invocation WHERE target_service_name LIKE '%ClaimApproval'"
        f" AND target_service_key = '{id}' AND target_handler_name = '{handler}'",
    )


async def until_waiting(running: Stack, id: str) -> Waiting:
    async def found() -> Waiting | None:
        return (await waiting(running.admin)).get(id)

    claim = await until(found)
    assert claim
    return claim


T = TypeVar("T")


async def until(condition: Callable[[], Awaitable[T]]) -> T:
    """The first value of this that is true."""
    async with asyncio.timeout(60):
        while True:
            if value := await condition():
                return value
            await asyncio.sleep(POLL)


async def say(
    running: Stack,
    framework: Framework,
    id: str,
    approved: object = True,
    reason: str = "invoice seen",
    pattern: Pattern = APPROVAL,
    **more: object,
) -> httpx.Response:
    """A person decides."""
    path = f"{framework.prefix(pattern)}.ClaimApproval/{id}/decide"
    body = {"approved": approved, "reason": reason, **more}
    return await running.ingress.post(f"/restate/call/{path}", json=body)


async def settled(running: Stack, id: str, money: str) -> None:
    """Wait until nothing is left of the request, and this has become of the money."""

    async def so_it_is() -> bool:
        handlers = [row for handler in HANDLERS for row in await requests(running, id, handler)]
        over = {row["status"] for row in handlers} <= {"completed"} and id not in await waiting(running.admin)
        return over and funds(running, id) == money

    await until(so_it_is)


@pytest.fixture
def risky(tagged: Tagged) -> InsuranceClaim:
    """Its risk is medium, so that a person has to decide."""
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
    running.lab.plan(Fault("cost", "delay", 2, about=risky.reason), Fault("cost", "fail", about=risky.reason))
    id = await send(running, framework, risky)
    await until_waiting(running, id)
    (read,) = (await journal.read(running.admin, id)).values()
    assert [step.name for step in read.checks if not step.end] == ["cost"]
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
        assert refused.status_code == 400, body
    for handler in ("request", "outcome", "withdraw", "approve"):
        assert 400 <= (await running.ingress.post(f"{path}/{handler}", json={})).status_code < 500, handler
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
    amount = 10_000 + int(claim.reason[-6:], 16) / 100
    claim = claim.model_copy(update={"amount": amount})
    running.lab.plan(Fault("reserve", "terminal", 402, about=f"{amount}", detail="no money left"))
    answer, invocation = await decide(running, framework, claim)
    assert answer.startswith("Rejected:")
    assert "refused: no money left" in answer
    await settled(running, invocation.id, "released")


async def test_the_model_asks_for_the_tool_again(running: Stack, framework: Framework, risky: InsuranceClaim) -> None:
    """Twice in one turn, and once more in the next: the person is asked once."""
    call = {"name": "calculate_metrics", "arguments": json.dumps({"claim": risky.model_dump(mode="json")})}
    for turn, calls in enumerate(([call, call], [call])):
        running.lab.plan(Fault("model", "say", about=risky.reason, turn=turn, detail=json.dumps({"calls": calls})))
    id = await send(running, framework, risky)
    await until_waiting(running, id)
    await say(running, framework, id)
    assert "approved by a person: invoice seen" in await running.answer(id)
    await settled(running, id, "reserved")
    assert len(await requests(running, id)) == 1


ENTRIES = 17
"""A claim's journal has so many entries (ADK's has some more)."""


async def person(running: Stack, framework: Framework, id: str, approved: bool = True) -> None:
    """Decides as soon as the claim waits, and again when the answer is lost."""
    asked = False
    while True:
        with contextlib.suppress(httpx.HTTPError):
            asked = asked or id in await waiting(running.admin)
            if asked and (await say(running, framework, id, approved)).status_code == 200:
                return
        await asyncio.sleep(POLL)


async def assert_asked_and_decided_once(running: Stack, id: str, outages: Sequence[tuple[float, float]] = ()) -> None:
    answer = await running.answer(id)
    invocation = (await journal.read(running.admin, id))[id]
    runs = evidence.runs(invocation, running.lab.ledger(invocations=[id]), outages)
    assert answer.startswith("Approved:")
    assert "approved by a person: invoice seen" in answer
    assert sorted(runs) == sorted(CHECKS)
    assert all(found.redone == found.repeated == 0 for found in runs.values()), runs
    assert len(await requests(running, id)) == 1
    await settled(running, id, "reserved")


@live
@pytest.mark.timeout(300)
@pytest.mark.parametrize("entries", range(1, ENTRIES))
async def test_the_agent_is_killed_at_every_point(running: Stack, tagged: Tagged, entries: int) -> None:
    async def case(framework: Framework) -> None:
        claim = slow(running, tagged)
        async with kept(running, framework):
            id = await send(running, framework, claim)
            decides = asyncio.create_task(person(running, framework, id))
            before = await reached(running, id, entries)
            await running.agents[framework.name].process.kill()
            await decides
            await assert_asked_and_decided_once(running, id)
        done = len([step for step in before.model_calls if step.end])
        assert all(model_calls(running, claim)[turn] == 1 for turn in range(done))

    await everywhere(running, case)


@live
@pytest.mark.timeout(300)
@pytest.mark.parametrize("entries", range(1, ENTRIES))
async def test_the_server_is_killed_at_every_point(running: Stack, tagged: Tagged, entries: int) -> None:
    """At this point of one claim, and wherever those of the other frameworks are."""
    ids = {framework.name: await send(running, framework, slow(running, tagged)) for framework in FRAMEWORKS_WITH_IT}
    deciding = [
        asyncio.create_task(person(running, framework, ids[framework.name])) for framework in FRAMEWORKS_WITH_IT
    ]
    await reached(running, ids[FRAMEWORKS_WITH_IT[entries % len(ids)].name], entries)
    gone = time.time()
    await running.restate.restart()
    back = time.time()
    await asyncio.gather(*deciding)
    for id in ids.values():
        await assert_asked_and_decided_once(running, id, [(gone, back)])


FATES = ("approved", "refused", "cancelled", "a check ends for good", "the model ends for good")


@live
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1])
async def test_a_storm_leaves_no_money_behind(running: Stack, tagged: Tagged, seed: int) -> None:
    """Claims of all fates, while steps fail and agents and the server are killed."""
    rng = random.Random(seed)
    running.lab.plan(
        *(Fault(step, kind, 0.2) for step in ("reserve", "release") for kind in KINDS if rng.random() < 0.7),
    )

    reserved: dict[str, bool] = {}

    async def one(framework: Framework, fate: str) -> None:
        await asyncio.sleep(rng.uniform(0, 10))
        claim = slow(running, tagged)
        if fate == "a check ends for good":
            running.lab.plan(Fault("cost", "terminal", 422, about=claim.reason))
        if fate == "the model ends for good":
            running.lab.plan(Fault("model", "status", 403, times=99, about=claim.reason, turn=1))
        key = claim.reason
        id = await patiently(lambda: running.submit(framework, claim, key, key, key))
        decides = asyncio.create_task(person(running, framework, id, approved=fate != "refused"))
        if fate == "cancelled":
            await asyncio.sleep(rng.uniform(0, 4))
            await patiently(lambda: running.admin.patch(f"/invocations/{id}/cancel"))
        answer = await patiently(lambda: running.answer(id))
        decides.cancel()
        money = {"Approved": "reserved", "Rejected": "released"}.get(answer.partition(":")[0])
        assert money or answer[:3] in ("409", "422", "403"), (framework.name, fate, answer)
        asked = await patiently(lambda: requests(running, id))
        assert len(asked) <= 1
        await patiently(lambda: settled(running, id, money or ("released" if asked else "none")))
        reserved[id] = money == "reserved"

    async def storm() -> None:
        for _ in range(12):
            await asyncio.sleep(rng.uniform(0.5, 2))
            if rng.random() < 0.2:
                await running.restate.restart()
            else:
                await rng.choice([*running.agents.values()]).process.kill()

    claims = [one(framework, fate) for framework in FRAMEWORKS_WITH_IT for fate in FATES * 2]
    async with running.agents_kept():
        raging = asyncio.create_task(storm())
        try:
            await asyncio.gather(*claims)
        finally:
            raging.cancel()
            await asyncio.gather(raging, return_exceptions=True)
    assert len(reserved) == len(claims)
    assert {id: funds(running, id) == "reserved" for id in reserved} == reserved


KINDS: tuple[Kind, ...] = ("delay", "fail", "crash-before", "crash-after")


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """What Restate answers, when it is back."""
    while True:
        with contextlib.suppress(httpx.HTTPError):
            return await ask()
        await asyncio.sleep(POLL)


def slow(running: Stack, tagged: Tagged) -> InsuranceClaim:
    """A claim whose entries come one after another."""
    claim = tagged("round-emergency")
    running.lab.plan(
        Fault("model", "delay", 0.15, about=claim.reason),
        *(Fault(check, "delay", 0.1 + 0.15 * at, about=claim.reason) for at, check in enumerate(reversed(CHECKS))),
    )
    return claim
