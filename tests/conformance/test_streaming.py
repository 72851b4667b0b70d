"""The stream of a claim, alike in all frameworks: live, in order, each event once, through every crash."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping

import httpx
import pytest
import pytest_asyncio

from durable.streaming import LIVE
from lab.ledger import Fault, Kind
from shared.claims import InsuranceClaim
from tests.conformance.approvals import until
from tests.conformance.cases import Tagged, live, send, tagged
from tests.conformance.conftest import SERVERS
from tests.conformance.storms import CLAIMS, SECONDS, SEEDS, patiently, storm
from tests.conformance.test_promise import ENTRIES, entry_by_entry, everywhere, kept, reached
from tests.nightly import by_night, some
from tests.streams import Listener, Story, told
from tour.runtime import journal, stack
from tour.runtime.approvals import approving_all
from tour.runtime.frameworks import APPROVAL, FRAMEWORKS, STREAMING, Framework
from tour.runtime.journal import Invocation
from tour.runtime.stack import CHECKS, Stack
from tour.runtime.streams import sent

pytestmark = pytest.mark.costly


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["live", *by_night(["replaying"])])
async def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with stack.running(
        tmp_path_factory.mktemp(request.param),
        frameworks=FRAMEWORKS,
        pattern=STREAMING,
        server_env=SERVERS[request.param],
        agent_env={"MODEL_TIMEOUT": "3"},
    ) as running:
        yield running


def listener(running: Stack, id: str) -> Listener:
    """A listener that follows the stream of this claim."""
    return Listener(running.streams[0].url, id)


async def assert_true(running: Stack, id: str, heard: Listener) -> Story:
    """The stream's events match the journal, and the last one has the answer."""
    story = told(heard.seen)

    async def read() -> Invocation | None:  # soon after a restart, the server's tables may be empty
        return (await journal.read(running.admin, id)).get(id)

    invocation = await until(read)
    assert invocation
    assert story.answer == await running.answer(id)
    assert story.messages == {2: story.answer}
    assert len(story.calls) == 1
    assert (
        sorted(story.begun)
        == sorted(story.ended)
        == sorted(step.name for step in invocation.steps if not step.is_model_call)
    )
    assert {*CHECKS} <= {*story.begun}
    return story


async def test_it_tells_what_the_journal_has(running: Stack, tagged: Tagged) -> None:
    async def case(framework: Framework) -> None:
        claim = tagged()
        running.lab.plan(
            Fault("eligibility", "delay", 0.3, about=claim.reason), Fault("model", "delay", 0.2, about=claim.reason)
        )
        id = await send(running, framework, claim)
        first, comes_back, late = (listener(running, id) for _ in range(3))
        async with asyncio.TaskGroup() as group:
            group.create_task(first.listen())
            while not comes_back.over:
                await comes_back.listen(most=random.randrange(4))
        await late.listen()
        assert first.seen == comes_back.seen == late.seen
        for missed in range(1, len(first.seen)):
            rejoins = Listener(late.url, id, seen=first.seen[:missed])
            await rejoins.listen()
            assert rejoins.seen == first.seen
        story = await assert_true(running, id, first)
        assert story.restarts == 0

    await everywhere(running, case)


@live
async def test_it_tells_whoever_submits_the_claim(running: Stack, tagged: Tagged) -> None:
    async def case(framework: Framework) -> None:
        claim = tagged()
        path, body = f"/stream/{framework.path(claim.reason, STREAMING)}", framework.body(claim)
        async with httpx.AsyncClient(base_url=running.streams[0].url, timeout=60) as client:
            response = await client.post(path, json=body)
        seen = [event async for _, event in sent(response)]
        late = listener(running, response.headers["content-location"].removeprefix("/stream/"))
        await late.listen()
        assert seen == late.seen
        await assert_true(running, late.invocation, late)

    await everywhere(running, case)


@live
@pytest.mark.in_turn(3)
@pytest.mark.parametrize("kind", ["stall", "cut", "truncate", "error-event"])
async def test_tokens_that_a_crash_made_void_are_taken_back(running: Stack, tagged: Tagged, kind: Kind) -> None:
    async def case(framework: Framework) -> None:
        claim = tagged()
        running.lab.plan(Fault("model", kind, 30 if kind == "stall" else 0, about=claim.reason, turn=1))
        async with kept(running, framework):
            id = await send(running, framework, claim)
            heard = listener(running, id)
            async with asyncio.TaskGroup() as group:
                group.create_task(heard.listen())
                if kind == "stall":  # in the middle of a token
                    await heard.heard("TEXT_MESSAGE_CONTENT")
                    await running.agents[framework.name].process.kill()
        assert (await assert_true(running, id, heard)).restarts == 1

    await everywhere(running, case)


@live
@pytest.mark.in_turn(3)
@pytest.mark.parametrize("check", CHECKS)
async def test_the_agent_is_killed_in_a_check(running: Stack, tagged: Tagged, check: str) -> None:
    async def case(framework: Framework) -> None:
        claim = tagged()
        running.lab.plan(Fault(check, "crash-after", about=claim.reason))
        async with kept(running, framework):
            id = await send(running, framework, claim)
            heard = listener(running, id)
            await heard.listen()
        assert (await assert_true(running, id, heard)).restarts == 0

    await everywhere(running, case)


@live
@pytest.mark.parametrize("entries", some(range(1, ENTRIES - 3)))  # behind these, it may have ended
async def test_the_agent_is_killed_at_every_point_of_the_journal(running: Stack, tagged: Tagged, entries: int) -> None:
    async def case(framework: Framework) -> None:
        claim = tagged()
        running.lab.plan(*entry_by_entry(claim))
        async with kept(running, framework):
            id = await send(running, framework, claim)
            heard = listener(running, id)
            async with asyncio.TaskGroup() as group:
                group.create_task(heard.listen())
                await reached(running, id, entries)
                await running.agents[framework.name].process.kill()
        await assert_true(running, id, heard)

    await everywhere(running, case)


@live
@pytest.mark.in_turn(3)
@pytest.mark.parametrize("who", ["streams", "restate"])
async def test_whoever_carries_the_stream_is_killed(running: Stack, tagged: Tagged, who: str) -> None:
    heard, over = list[Listener](), asyncio.Event()

    async def case(framework: Framework) -> None:
        claim = tagged()
        running.lab.plan(
            Fault("model", "stall", 1.0, about=claim.reason), Fault("cost", "delay", 0.5, about=claim.reason)
        )
        heard.append(listener(running, await send(running, framework, claim)))
        await heard[-1].listen()

    async def killing() -> None:
        while not over.is_set():
            await asyncio.sleep(0.7)
            await (running.streams[0].process.restart() if who == "streams" else running.restate.restart())
            await running.streams[0].ready()

    async with asyncio.TaskGroup() as group:
        group.create_task(killing())
        await everywhere(running, case)
        over.set()
    for each in heard:
        await assert_true(running, each.invocation, each)


async def test_a_cancelled_claim_ends_with_its_reason(running: Stack, framework: Framework, tagged: Tagged) -> None:
    claim = tagged()
    running.lab.plan(Fault("model", "stall", 3, about=claim.reason, turn=1))
    id = await send(running, framework, claim)
    heard = listener(running, id)
    async with asyncio.TaskGroup() as group:
        group.create_task(heard.listen())
        await heard.heard("TEXT_MESSAGE_CONTENT")
        await running.admin.patch(f"/invocations/{id}/cancel")
    assert str(told(heard.seen).error).lower() == "cancelled"


async def test_a_bad_claim_ends_with_its_reason(running: Stack, framework: Framework, tagged: Tagged) -> None:
    body = framework.body(tagged()) | {"amount": -1}
    async with httpx.AsyncClient(base_url=running.streams[0].url, timeout=30) as client:
        response = await client.post(f"/stream/{framework.path('bad', STREAMING)}", json=body)
        assert response.status_code == 200
        assert '"RUN_ERROR"' in response.text
        assert "amount" in response.text


@live
async def test_a_wait_for_a_person_is_told(running: Stack, framework: Framework) -> None:
    await running.add(APPROVAL)
    claim = tagged("round-emergency")
    async with approving_all(running.admin, running.ingress, "seen"):
        id = await running.submit(framework, claim, "streams", "streams", pattern=APPROVAL)
        heard = listener(running, id)
        await heard.listen()
    story = told(heard.seen)
    assert story.notes == ["waits for a person"]
    assert {*CHECKS} <= {*story.ended}
    assert story.answer == await running.answer(id)


@live
@pytest.mark.nightly
async def test_reports_are_not_more_if_nobody_listens_from_the_beginning(
    running: Stack, framework: Framework, tagged: Tagged
) -> None:
    async def batches(headers: Mapping[str, str]) -> int:
        claim = tagged()
        delays = {"model": 0.2, "eligibility": 0.3, "cost": 0.6, "fraud": 1.2}
        running.lab.plan(*(Fault(step, "delay", delay, about=claim.reason) for step, delay in delays.items()))
        id = await send(running, framework, claim, headers)
        late = listener(running, id)
        await running.answer(id)
        await late.listen()
        await assert_true(running, id, late)
        (log,) = await journal.query(
            running.admin,
            "SELECT value_utf8 AS log FROM state"
            f" WHERE service_name = 'AgentEvents' AND service_key = '{id}' AND key = 'log'",
        )
        return len(json.loads(log["log"])["firsts"])

    assert await batches({}) <= await batches(LIVE)


async def test_whoever_has_seen_everything_is_told_not_to_come_back(running: Stack, tagged: Tagged) -> None:
    heard = listener(running, await send(running, FRAMEWORKS[0], tagged()))
    await heard.listen()
    async with httpx.AsyncClient(base_url=running.streams[0].url, timeout=30) as client:
        headers = {"last-event-id": str(len(heard.seen) - 1)}
        assert (await client.get(f"/stream/{heard.invocation}", headers=headers)).status_code == 204


async def test_bad_requests(running: Stack, tagged: Tagged) -> None:
    async with httpx.AsyncClient(base_url=running.streams[0].url, timeout=30) as client:
        assert (await client.get("/stream/inv_1nothing")).status_code == 404
        assert (await client.post("/stream/Nobody/run", json={})).status_code == 404
        id = await send(running, FRAMEWORKS[0], tagged())
        await running.answer(id)
        for last in ("x", "-2", "1.5", "٣", "9" * 99):
            assert (
                await client.get(f"/stream/{id}", headers=[(b"last-event-id", last.encode())])
            ).status_code == 400, last


@live
async def test_ten_listen_and_see_each_check_end_when_it_has(
    running: Stack, framework: Framework, tagged: Tagged
) -> None:
    claim: InsuranceClaim = tagged()
    running.lab.plan(Fault("cost", "delay", 0.3, about=claim.reason))
    id = await send(running, framework, claim)
    ten = [listener(running, id) for _ in range(10)]
    await asyncio.gather(*(each.listen() for each in ten))
    assert all(each.seen == ten[0].seen for each in ten)
    story = await assert_true(running, id, ten[0])
    assert story.ended.index("cost") > max(map(story.ended.index, {*CHECKS} - {"cost"}))


@live
@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", SEEDS)
async def test_a_storm_of_claims_that_are_watched(running: Stack, seed: int) -> None:
    """Agents, Restate and the stream server are killed, and models fail in mid-stream. Each claim has two listeners."""
    rng = random.Random(seed)
    heard, over = list[Listener](), asyncio.Event()

    async def kill_the_streams() -> None:
        while not over.is_set():
            await asyncio.sleep(rng.uniform(1, 4))
            await running.streams[0].process.restart()

    async def case(framework: Framework) -> None:
        await asyncio.sleep(rng.uniform(0, SECONDS))
        claim = tagged()
        kind: Kind = rng.choice(("cut", "truncate", "error-event", "stall"))
        faults = [
            Fault("model", kind, kind == "stall", about=claim.reason, turn=rng.choice([0, 1])),
            Fault(rng.choice(CHECKS), rng.choice(("fail", "crash-after", "delay")), 0.5, about=claim.reason),
        ]
        running.lab.plan(*rng.sample(faults, rng.randrange(3)))
        key = claim.reason[:40]
        id = await patiently(
            lambda: running.submit(framework, claim, key, key, idempotency_key=key, pattern=STREAMING, headers=LIVE)
        )
        stays, comes_back = listener(running, id), listener(running, id)

        async def back_and_forth() -> None:
            while not comes_back.over:
                await comes_back.listen(most=rng.randrange(5))

        await asyncio.gather(stays.listen(), back_and_forth())
        assert stays.seen == comes_back.seen
        heard.append(stays)

    async with asyncio.TaskGroup() as group:
        group.create_task(kill_the_streams())
        async with running.agents_kept(), storm(running, rng), asyncio.TaskGroup() as claims:
            for _ in range(CLAIMS):
                claims.create_task(case(rng.choice(running.frameworks)))
        over.set()
    for each in heard:
        await assert_true(running, each.invocation, each)
    assert len(heard) == CLAIMS
