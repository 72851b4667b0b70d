"""`hold_failures` on a real server: only the failed step is retried. The same service without it is the contrast.

The lab's ledger counts the starts of each step, from outside Restate. Every case runs on a server with default settings
and on one that suspends at every await.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from restate import TerminalError
from restate.exceptions import RetryableError

from durable.held_steps import tellable
from lab.ledger import Fault
from tests.durable.jobs import SERVERS, Jobs, serving

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.server]

SLOW = 2.0
"""Seconds in which another step can fail three times, including Restate's pauses."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=SERVERS)
async def jobs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Jobs]:
    async with serving("held_steps_service.py", request.param, tmp_path_factory.mktemp("held-steps")) as jobs:
        yield jobs


STEPS = ["quick", "bad", "slow"]
SLOW_SIBLINGS = [Fault("slow", "delay", SLOW), Fault("slower", "delay", SLOW)]


async def test_a_step_fails_while_its_siblings_are_in_flight(jobs: Jobs) -> None:
    job = await jobs.run(*SLOW_SIBLINGS, Fault("bad", "fail", times=3), steps=["slow", "bad", "slower"])
    assert await job.answer() == (200, ["slow", "bad", "slower"])
    assert job.started == {"slow": 1, "bad": 4, "slower": 1}


async def test_plain_gather_runs_the_siblings_again(jobs: Jobs) -> None:
    steps = ["slow", "bad", "slower"]
    job = await jobs.run(*SLOW_SIBLINGS, Fault("bad", "fail", times=3), steps=steps, service="Plain")
    assert await job.answer() == (200, steps)
    assert job.started["bad"] == 4
    again = "if they run once, the SDK keeps them by itself, and hold_failures can go"
    assert job.started["slow"] > 1, again
    assert job.started["slower"] > 1, again


@pytest.mark.parametrize("position", [0, 1, 2])
async def test_a_step_fails_at_once(jobs: Jobs, position: int) -> None:
    steps = ["a", "b", "c"]
    bad = steps[position]
    delays = [Fault(step, "delay", 0.3) for step in steps if step != bad]
    job = await jobs.run(*delays, Fault(bad, "fail", times=2), steps=steps)
    assert await job.answer() == (200, steps)
    assert job.started == dict.fromkeys(steps, 1) | {bad: 3}


async def test_a_step_fails_after_its_siblings_are_done(jobs: Jobs) -> None:
    job = await jobs.run(Fault("bad", "delay", 0.4), Fault("bad", "fail", times=2), steps=["quick", "bad"])
    assert await job.answer() == (200, ["quick", "bad"])
    assert job.started == {"quick": 1, "bad": 3}


async def test_two_steps_fail(jobs: Jobs) -> None:
    steps = ["one", "slow", "two"]
    job = await jobs.run(
        Fault("slow", "delay", 0.4),
        Fault("two", "delay", 0.1),
        Fault("one", "fail", times=2),
        Fault("two", "fail", times=1),
        steps=steps,
    )
    assert await job.answer() == (200, steps)
    assert job.started == {"one": 3, "slow": 1, "two": 2}


@pytest.mark.parametrize("position", [0, 1, 2])
async def test_a_terminal_error_lets_the_others_finish(jobs: Jobs, position: int) -> None:
    steps = ["a", "b", "c"]
    delays = [Fault(step, "delay", 0.3) for at, step in enumerate(steps) if at != position]
    job = await jobs.run(*delays, Fault(steps[position], "terminal", 418), steps=steps)
    assert await job.answer() == (418, f"{steps[position]}: planned by the lab")
    assert job.started == job.count("end") == dict.fromkeys(steps, 1)


async def test_a_terminal_error_beside_a_step_that_fails(jobs: Jobs) -> None:
    job = await jobs.run(
        Fault("bad", "fail", times=2),
        Fault("end", "delay", 0.2),
        Fault("end", "terminal", 409),
        Fault("slow", "delay", 0.4),
        steps=["bad", "end", "slow"],
    )
    assert await job.answer() == (409, "end: planned by the lab")
    assert job.started == {"bad": 3, "end": 1, "slow": 1}


@pytest.mark.parametrize("bad", ["sync", "bad"])
async def test_sync_and_async_steps(jobs: Jobs, bad: str) -> None:
    steps = ["sync", "bad", "sync too", "async"]
    delays = [Fault(step, "delay", 0.3) for step in steps if step != bad]
    job = await jobs.run(*delays, Fault(bad, "fail", times=2), steps=steps)
    assert await job.answer() == (200, steps)
    assert job.started == dict.fromkeys(steps, 1) | {bad: 3}


async def test_a_replay_of_a_whole_fan_out(jobs: Jobs) -> None:
    job = await jobs.run(
        Fault("bad", "fail", times=1), Fault("afterwards", "fail", times=2), steps=["a", "bad"], afterwards=True
    )
    assert await job.answer() == (200, ["a", "bad"])
    assert job.started == {"a": 1, "bad": 2, "afterwards": 3}


async def test_cancelled_while_a_failing_step_is_held_back(jobs: Jobs) -> None:
    job = await jobs.run(Fault("slow", "delay", 3), Fault("bad", "fail", times=99), steps=["slow", "bad"])
    async with asyncio.timeout(20):
        await job.ended(bad=1)
        await job.cancel()
        # At once, or (where the server has closed the stream to suspend the job) when the sibling has finished.
        status, _ = await job.answer()
        await job.ended(bad=1, slow=1)  # nothing leaks
    assert status == 409
    assert job.started == {"slow": 1, "bad": 1}


async def test_every_attempt_has_the_same_invocation_id(jobs: Jobs) -> None:
    one = await jobs.run(Fault("bad", "fail", times=2), steps=["bad"])
    other = await jobs.run(steps=["bad"])
    await asyncio.gather(one.answer(), other.answer())
    assert (one.started, other.started) == ({"bad": 3}, {"bad": 1}), "counted by ctx.request().id"
    assert one.id != other.id


async def test_a_step_that_nobody_awaits_does_not_start_and_holds_nobody(jobs: Jobs) -> None:
    job = await jobs.run(Fault("bad", "fail", times=2), steps=["forgotten", "bad"], how="forget")
    assert await job.answer() == (200, ["bad"])
    assert job.started == {"bad": 3}


async def test_select_and_a_step_that_fails_later(jobs: Jobs) -> None:
    job = await jobs.run(
        Fault("slow", "delay", 1), Fault("bad", "delay", 0.3), Fault("bad", "fail", times=2), steps=STEPS, how="select"
    )
    assert await job.answer() == (200, ["quick", *STEPS])
    assert job.started == {"quick": 1, "bad": 3, "slow": 1}


async def test_select_and_a_step_that_fails_at_once(jobs: Jobs) -> None:
    job = await jobs.run(Fault("slow", "delay", 1), Fault("bad", "fail", times=2), steps=["slow", "bad"], how="select")
    assert await job.answer() == (200, ["slow", "slow", "bad"])
    assert job.started == {"bad": 3, "slow": 1}


@pytest.mark.parametrize("jobs", ["1m"], indirect=True)  # the other server suspends the job until all have ended
async def test_a_terminal_error_is_not_held_back(jobs: Jobs) -> None:
    job = await jobs.run(Fault("slow", "delay", 5), Fault("end", "terminal", 418), steps=["slow", "end"], how="select")
    assert await job.answer() == (418, "end: planned by the lab")
    ended = [(entry.step, entry.detail) for entry in jobs.lab.ledger(invocations=[job.id]) if entry.event == "end"]
    assert ("slow", "ok") not in ended


async def test_the_handler_raises_while_a_step_is_in_flight(jobs: Jobs) -> None:
    job = await jobs.run(Fault("slow", "delay", 1), Fault("body", "fail", times=2), steps=["slow"], how="raise")
    assert await job.answer() == (200, ["body", "slow"])
    assert job.started == {"slow": 1, "body": 3}


@pytest.mark.parametrize("odd", ["object", "emoji"])
async def test_a_result_or_an_error_that_cannot_be_written_is_a_failure_like_others(jobs: Jobs, odd: str) -> None:
    job = await jobs.run(Fault("slow", "delay", 1), steps=[odd, "slow"])
    async with asyncio.timeout(20):
        await job.until(lambda: job.started.get(odd, 0) >= 3)
    await jobs.client.patch(f"/invocations/{job.id}/kill")
    assert job.started["slow"] == 1


async def test_no_steps_at_all(jobs: Jobs) -> None:
    job = await jobs.run(steps=[])
    assert await job.answer() == (200, [])


@pytest.mark.parametrize("error", [TerminalError("\ud83d", 418), RetryableError("\ud83d"), ValueError("\ud83d")])
async def test_an_error_with_half_an_emoji_can_be_told(error: Exception) -> None:
    told = tellable(error)
    assert "\ufffd" in str(told)
    assert getattr(told, "status_code", 500) == getattr(error, "status_code", 500)
    assert isinstance(told, type(error) if isinstance(error, (TerminalError, RetryableError)) else RuntimeError)


async def test_another_error_stays_as_it_is() -> None:
    error = ValueError("no emoji, or a whole one: \U0001f600")
    assert tellable(error) is error
