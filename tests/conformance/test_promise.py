"""The promise: a step that fails is retried alone, and what was finished before a crash is kept."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from lab.ledger import Fault, Kind
from shared.claims import InsuranceClaim
from tests.conformance.cases import PATTERN, Tagged, asked, live, promise, send
from tests.nightly import some
from tour.runtime import evidence, journal
from tour.runtime.evidence import Runs
from tour.runtime.frameworks import SPECIALISTS, Framework
from tour.runtime.journal import Invocation
from tour.runtime.stack import CHECKS, Stack


async def outcome(running: Stack, id: str) -> tuple[str, dict[str, Runs]]:
    """The answer, and the runs of each check with their reasons."""
    answer = await running.answer(id)
    invocation = (await journal.read(running.admin, id))[id]
    return answer, evidence.runs(invocation, running.lab.ledger(invocations=[id]))


def model_calls(running: Stack, claim: InsuranceClaim) -> Counter[int]:
    """The number of model calls for each turn of this claim."""
    return Counter(json.loads(entry.detail)["turn"] for entry in asked(running, claim) if entry.event == "start")


ONCE = {0: 1, 1: 1}


@promise("siblings")
@pytest.mark.sample
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("bad", CHECKS)
async def test_only_the_check_that_fails_is_retried(
    running: Stack, framework: Framework, tagged: Tagged, bad: str, times: int
) -> None:
    claim = tagged()
    running.lab.plan(
        *(Fault(check, "delay", 0.3, about=claim.reason) for check in CHECKS if check != bad),
        Fault(bad, "fail", times=times, about=claim.reason),
    )
    answer, runs = await outcome(running, await send(running, framework, claim))
    assert answer.startswith("Approved:")
    assert runs == dict.fromkeys(CHECKS, Runs(starts=1)) | {bad: Runs(starts=1 + times, retried=times)}
    assert model_calls(running, claim) == ONCE


@promise("siblings")
async def test_two_checks_that_fail_are_retried_and_the_third_is_not(
    running: Stack, framework: Framework, tagged: Tagged
) -> None:
    claim = tagged()
    running.lab.plan(
        Fault("eligibility", "delay", 0.3, about=claim.reason),
        Fault("cost", "fail", times=2, about=claim.reason),
        Fault("fraud", "fail", times=1, about=claim.reason),
    )
    answer, runs = await outcome(running, await send(running, framework, claim))
    assert answer.startswith("Approved:")
    once = dict.fromkeys(CHECKS, 1)
    assert {check: found.starts for check, found in runs.items()} == once | {"cost": 3, "fraud": 2}


@promise("siblings")
async def test_a_check_that_fails_after_its_siblings_are_done(
    running: Stack, framework: Framework, tagged: Tagged
) -> None:
    claim = tagged()
    running.lab.plan(Fault("cost", "delay", 0.3, about=claim.reason), Fault("cost", "fail", about=claim.reason))
    answer, runs = await outcome(running, await send(running, framework, claim))
    assert answer.startswith("Approved:")
    assert runs == dict.fromkeys(CHECKS, Runs(starts=1)) | {"cost": Runs(starts=2, retried=1)}


@contextlib.asynccontextmanager
async def kept(running: Stack, framework: Framework) -> AsyncIterator[None]:
    """Restarts the framework's agent whenever it ends; it runs when the block is left."""
    agent = running.agents[framework.name]
    try:
        async with agent.kept():
            yield
    finally:
        if not agent.process.alive:
            await agent.restart()
        await agent.ready()


def assert_recovered(answer: str, runs: dict[str, Runs]) -> None:
    assert answer.startswith("Approved:")
    assert sorted(runs) == sorted(CHECKS)
    assert all(found.redone == found.repeated == 0 for found in runs.values()), runs


async def everywhere(running: Stack, case: Callable[[Framework], Awaitable[None]]) -> None:
    """The case on all frameworks at once, since it is starting their agents again that takes the time.

    Raises: the one error, or an ExceptionGroup; each error with a note of its framework.
    """

    async def one(framework: Framework) -> None:
        try:
            await case(framework)
        except Exception as error:
            error.add_note(framework.name)
            raise

    try:
        async with asyncio.TaskGroup() as group:
            for agent in running.agents.values():
                group.create_task(one(agent.framework))
    except ExceptionGroup as errors:
        if len(errors.exceptions) == 1:
            raise errors.exceptions[0] from None
        raise


@promise("crashes")
@live
@pytest.mark.in_turn(2)
@pytest.mark.parametrize("kind", ["crash-before", "crash-after"])
@pytest.mark.parametrize("check", CHECKS)
async def test_killed_before_and_after_each_check(running: Stack, tagged: Tagged, check: str, kind: Kind) -> None:
    async def case(framework: Framework) -> None:
        claim = tagged()
        running.lab.plan(Fault(check, kind, about=claim.reason))
        async with kept(running, framework):
            answer, runs = await outcome(running, await send(running, framework, claim))
        assert_recovered(answer, runs)
        assert runs[check].interrupted == 1
        assert model_calls(running, claim) == ONCE

    await everywhere(running, case)


@promise("crashes")
@live
async def test_killed_again_as_soon_as_it_is_back(running: Stack, tagged: Tagged) -> None:
    async def case(framework: Framework) -> None:
        claim = tagged()
        running.lab.plan(Fault("cost", "crash-before", times=2, about=claim.reason))
        async with kept(running, framework):
            answer, runs = await outcome(running, await send(running, framework, claim))
        assert_recovered(answer, runs)
        assert runs["cost"] == Runs(starts=3, interrupted=2)

    await everywhere(running, case)


ENTRIES = 12
"""The entries of a claim's journal (ADK has a few more): input, two model calls, three checks, output."""


@promise("crashes")
@live
@pytest.mark.parametrize("entries", some(range(1, ENTRIES)))
async def test_killed_at_every_point_of_the_journal(running: Stack, tagged: Tagged, entries: int) -> None:
    async def case(framework: Framework) -> None:
        claim = tagged()
        running.lab.plan(*entry_by_entry(claim))
        async with kept(running, framework):
            id = await send(running, framework, claim)
            before = await reached(running, id, entries)
            await running.agents[framework.name].process.kill()
            answer, runs = await outcome(running, id)
        assert_recovered(answer, runs)
        finished = {step.name for step in before.checks if step.end}
        assert all(runs[check] == Runs(starts=1) for check in finished), "a finished step is not run again"
        done = len([step for step in before.model_calls if step.end])
        asked = model_calls(running, claim)
        if PATTERN != SPECIALISTS:  # test_specialists.py counts the calls of each agent
            assert all(asked[turn] == 1 for turn in range(done)), "a finished model call is not made again"

    await everywhere(running, case)


def entry_by_entry(claim: InsuranceClaim) -> list[Fault]:
    """Delays that separate all entries of this claim's journal."""
    checks = (Fault(check, "delay", 0.1 + 0.15 * at, about=claim.reason) for at, check in enumerate(CHECKS))
    return [Fault("model", "delay", 0.15, about=claim.reason), *checks]


async def reached(running: Stack, id: str, entries: int) -> Invocation:
    """The invocation, once its journal has this number of entries, or it has completed."""
    async with asyncio.timeout(30):
        while True:
            invocation = (await journal.read(running.admin, id)).get(id)
            if invocation and (invocation.entries >= entries or invocation.completed):
                return invocation
            await asyncio.sleep(0.005)
