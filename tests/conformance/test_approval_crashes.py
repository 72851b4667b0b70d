"""A person's decision as a step, under kill -9 of agents and server: nobody is asked twice, and no money is lost."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial

import httpx
import pytest
import pytest_asyncio

from lab.ledger import Fault, Kind
from shared.claims import InsuranceClaim
from tests.conformance.approvals import approving, requests, say, settled
from tests.conformance.cases import Tagged, send
from tests.conformance.storms import CLAIMS, SECONDS, SEEDS, patiently, storm
from tests.conformance.test_promise import everywhere, kept, model_calls, reached
from tests.nightly import some
from tour.runtime import evidence, journal
from tour.runtime.approvals import decide, service, waiting
from tour.runtime.frameworks import FRAMEWORKS, Framework
from tour.runtime.processes import POLL
from tour.runtime.stack import CHECKS, Stack


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["live"])
async def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with approving(tmp_path_factory.mktemp(request.param), request.param) as running:
        yield running


ENTRIES = 17
"""The number of entries in a claim's journal (ADK has a few more)."""


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


@pytest.mark.timeout(300)
@pytest.mark.parametrize("entries", some(range(1, ENTRIES)))
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


@pytest.mark.timeout(300)
@pytest.mark.parametrize("entries", some(range(1, ENTRIES)))
async def test_the_server_is_killed_at_every_point(running: Stack, tagged: Tagged, entries: int) -> None:
    """Kill at this point of one claim, wherever the claims of the other frameworks are."""
    ids = {framework.name: await send(running, framework, slow(running, tagged)) for framework in FRAMEWORKS}
    deciding = [asyncio.create_task(person(running, framework, ids[framework.name])) for framework in FRAMEWORKS]
    await reached(running, ids[FRAMEWORKS[entries % len(ids)].name], entries)
    gone = time.time()
    await running.restate.restart()
    back = time.time()
    await asyncio.gather(*deciding)
    for id in ids.values():
        await assert_asked_and_decided_once(running, id, [(gone, back)])


FATES = ("approved", "refused", "cancelled", "a check ends for good", "the model ends for good")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", SEEDS)
async def test_a_storm_leaves_no_money_behind(running: Stack, tagged: Tagged, seed: int) -> None:
    """Claims of all fates, while steps fail and agents and the server are killed."""
    rng = random.Random(seed)
    running.lab.plan(
        *(Fault(step, kind, 0.2) for step in ("reserve", "release") for kind in KINDS if rng.random() < 0.7),
    )

    approved: dict[str, bool] = {}
    money: dict[str, str] = {}
    wrong: list[str] = []

    async def person(service: str) -> None:
        """One person per agent, who waits while it is away; one per claim would keep the server busy."""
        decided = set[str]()
        while True:
            with contextlib.suppress(httpx.HTTPError):
                for id, claim in (await waiting(running.admin)).items():
                    if claim.service == service and id in approved and id not in decided:
                        verdict = {"approved": approved[id], "reason": "invoice seen"}
                        said = await decide(running.ingress, service, id, verdict)
                        decided |= {id} if said.status_code in (200, 409) else set()
            await asyncio.sleep(0.5)

    async def one(framework: Framework, fate: str) -> None:
        await asyncio.sleep(rng.uniform(0, SECONDS))
        claim = slow(running, tagged)
        if fate == "a check ends for good":
            running.lab.plan(Fault("cost", "terminal", 422, about=claim.reason))
        if fate == "the model ends for good":
            running.lab.plan(Fault("model", "status", 403, times=99, about=claim.reason, turn=1))
        key = claim.reason
        id = await patiently(lambda: running.submit(framework, claim, key, key, key))
        approved[id] = fate != "refused"
        if fate == "cancelled":
            await asyncio.sleep(rng.uniform(0, 4))
            await patiently(lambda: running.admin.patch(f"/invocations/{id}/cancel"))
        answer = await patiently(lambda: running.answer(id))
        money[id] = {"Approved": "reserved", "Rejected": "released"}.get(answer.partition(":")[0], "")
        if not money[id] and answer[:3] not in ("409", "422", "403"):
            wrong.append(f"{framework.name}, {fate}: {answer}")

    async with running.agents_kept():
        async with storm(running, rng):
            deciding = [asyncio.create_task(person(service(framework))) for framework in FRAMEWORKS]
            async with asyncio.TaskGroup() as claims:
                for number in range(CLAIMS):
                    fate = FATES[number // len(FRAMEWORKS) % len(FATES)]
                    claims.create_task(one(FRAMEWORKS[number % len(FRAMEWORKS)], fate))
            for each in deciding:
                each.cancel()
        assert wrong == []
        assert len(money) == CLAIMS
        for id in money:
            asked = await patiently(partial(requests, running, id))
            assert len(asked) <= 1
            await settled(running, id, money[id] or ("released" if asked else "none"))


KINDS: tuple[Kind, ...] = ("delay", "fail", "crash-before", "crash-after")


def slow(running: Stack, tagged: Tagged) -> InsuranceClaim:
    """A claim whose entries come one by one."""
    claim = tagged("round-emergency")
    running.lab.plan(
        Fault("model", "delay", 0.15, about=claim.reason),
        *(Fault(check, "delay", 0.1 + 0.15 * at, about=claim.reason) for at, check in enumerate(reversed(CHECKS))),
    )
    return claim
