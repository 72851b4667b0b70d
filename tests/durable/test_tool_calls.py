"""Parallel tool calls on a real server, without any agent SDK: they overlap, and every replay matches the journal.

A tool's work is a program (tests/durable/programs.py). The lab's ledger counts the starts of each step.
"""

import asyncio
import functools
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.ledger import Fault
from tests.durable.generated import KINDS, named, programs
from tests.durable.jobs import SERVERS, Job, Jobs, serving
from tour.runtime import journal

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.server]

AGAIN = Fault("afterwards", "fail", times=1)
"""Replays the whole turn after its end, in the original order."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=SERVERS)
async def jobs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Jobs]:
    async with serving("tool_calls_service.py", request.param, tmp_path_factory.mktemp("tool-calls")) as jobs:
        yield jobs


async def batch(jobs: Jobs, *faults: Fault, programs: list[Any], **options: Any) -> Job:
    return await jobs.send("Batch/run", {"tag": jobs.tag(*faults), "programs": programs, **options})


def has_ended(job: Job, steps: int) -> bool:
    return len(job.count("end")) >= steps


def takes(**seconds: float) -> list[Fault]:
    return [Fault(step, "delay", value) for step, value in seconds.items()]


def steps(tool: str, number: int = 2) -> list[Any]:
    return [["step", f"{tool}{at}"] for at in range(1, number + 1)]


async def test_the_calls_overlap(jobs: Jobs) -> None:
    job = await batch(jobs, *takes(a1=0.5, b1=0.5, c1=0.5), programs=[steps("a", 1), steps("b", 1), steps("c", 1)])
    assert await job.answer() == (200, ["a1", "b1", "c1"])
    seen = (await journal.read(jobs.client, job.id))[job.id]
    assert seen.parallelism > 2


@pytest.mark.parametrize(("key", "second"), [("", "second"), ("reports", "first")])
async def test_branches_of_the_same_name(jobs: Jobs, key: str, second: str) -> None:
    job = await jobs.send("Batch/twice", key)
    assert await job.answer() == (200, [["first", "first"], [second, second]])


async def test_out_of_order_completion_is_replayed(jobs: Jobs) -> None:
    """The case in which naive parallelism fails: the last tool continued first, and the replay must repeat that."""
    slow_first = takes(a1=0.6, b1=0.4, c1=0.2)
    job = await batch(jobs, *slow_first, AGAIN, programs=[steps("a"), steps("b"), steps("c")])
    assert await job.answer() == (200, ["a1 a2", "b1 b2", "c1 c2"])
    assert {step: count for step, count in job.started.items() if count > 1} == {"afterwards": 2}


@pytest.mark.parametrize("jobs", ["1m"], indirect=True)
async def test_naive_parallelism_ends_in_a_journal_mismatch(jobs: Jobs) -> None:
    job = await batch(jobs, *takes(a1=1.5, b1=0.1), AGAIN, programs=[steps("a"), steps("b")], naive=True)
    async with asyncio.timeout(20):
        while True:
            failures = (await journal.read(jobs.client, job.id))[job.id].failures
            if any("name: b2 != a2" in failure.message for failure in failures):  # the order live, and on the replay
                break
            await asyncio.sleep(0.1)
    await jobs.client.patch(f"/invocations/{job.id}/kill")


MANY = [
    [["gather", ["a1", "a2"]], ["step", "a3"]],
    [["select", "b1", 0.2], ["step", "b2"]],
    [["call", "c1"], ["sleep", 0.1], ["step", "c2"]],
    [["turn", [steps("x"), [["gather", ["y1", "y2"]], ["step", "y3"]]]], ["step", "d1"]],
]


async def test_gathers_selects_timers_calls_and_an_agent_inside_a_tool(jobs: Jobs) -> None:
    job = await batch(jobs, *takes(a1=0.3, b1=0.5, x1=0.2, y2=0.4), AGAIN, programs=MANY)
    assert await job.answer() == (
        200,
        ["a1+a2 a3", "b1:timer b2", "c1 slept c2", "(x1 x2 | y1+y2 y3) d1"],
    )
    assert {step for step, count in job.started.items() if count > 1} <= {"afterwards", "b1"}


@pytest.mark.parametrize("position", [0, 1, 2])
async def test_a_step_fails_and_what_is_in_flight_is_kept(jobs: Jobs, position: int) -> None:
    programs = [steps("a"), steps("b")]
    programs.insert(position, steps("bad"))
    fault = Fault("bad1", "fail", times=3)
    job = await batch(jobs, fault, *takes(a1=1, b1=1.5), programs=programs)
    status, _ = await job.answer()
    assert status == 200
    assert job.started == {"a1": 1, "a2": 1, "b1": 1, "b2": 1, "bad1": 4, "bad2": 1, "afterwards": 1}


@pytest.mark.parametrize("position", [0, 1, 2])
async def test_a_tool_raises_and_what_is_in_flight_is_kept(jobs: Jobs, position: int) -> None:
    programs = [steps("a"), steps("b")]
    programs.insert(position, [["body", "bad"]])
    job = await batch(jobs, Fault("bad", "fail", times=2), *takes(a1=0.5, b1=0.7), programs=programs)
    assert (await job.answer())[0] == 200
    assert [step for step, count in job.started.items() if count > 1] == ["bad"]  # in no step, so in each attempt


@pytest.mark.parametrize("position", [0, 1, 2])
async def test_a_terminal_error_lets_the_others_finish(jobs: Jobs, position: int) -> None:
    programs = [steps("a"), steps("b")]
    programs.insert(position, steps("bad"))
    job = await batch(jobs, Fault("bad1", "terminal", 422), *takes(a1=0.3, b1=0.5), programs=programs)
    assert await job.answer() == (422, "bad1: planned by the lab")
    assert job.started == {"a1": 1, "a2": 1, "b1": 1, "b2": 1, "bad1": 1}


async def test_cancelled_in_mid_batch(jobs: Jobs) -> None:
    job = await batch(jobs, *takes(a1=0.5, b1=1), programs=[steps("a"), steps("b"), [["sleep", 60]]])
    await job.ended(a1=1, a2=1, b1=1, b2=1)
    await job.cancel()
    assert await job.answer() == (409, "cancelled")


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_fewer_at_a_time(jobs: Jobs, limit: int) -> None:
    programs = [steps("a"), steps("b"), steps("c"), steps("d")]
    job = await batch(jobs, *takes(a1=0.3, b1=0.1, c1=0.2), AGAIN, programs=programs, limit=limit)
    assert (await job.answer())[0] == 200
    assert {step: count for step, count in job.started.items() if count > 1} == {"afterwards": 2}


async def test_killed_while_the_calls_are_in_flight(jobs: Jobs) -> None:
    for after in range(1, 5):
        programs = [steps("a", 3), steps("b", 3)]
        job = await batch(jobs, *takes(a1=0.1, a2=0.3, b1=0.2, b2=0.1), AGAIN, programs=programs)
        await job.until(functools.partial(has_ended, job, after))
        await jobs.process.restart()
        assert await job.answer() == (200, ["a1 a2 a3", "b1 b2 b3"])


async def test_two_tasks_of_one_tool_must_not_await(jobs: Jobs) -> None:
    job = await batch(jobs, programs=[[["together", ["a1", "a2"]]], steps("b")])
    status, message = await job.answer()
    assert status == 500
    assert "restate.gather" in str(message)


body = st.tuples(st.just("body"), KINDS)
inner = st.lists(programs(body), min_size=1, max_size=3)
PROGRAMS = programs(body, st.tuples(st.just("turn"), inner))


@settings(
    max_examples=int(os.environ.get("EXAMPLES", 10)),
    derandomize="EXAMPLES" not in os.environ,  # with it, other examples each time: EXAMPLES=300 uv run pytest …
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(batch_of=st.lists(PROGRAMS, min_size=2, max_size=4))
async def test_any_programs_replay_to_the_same_journal(jobs: Jobs, batch_of: list[Any]) -> None:
    written, faults = named(batch_of)
    job = await batch(jobs, *faults, AGAIN, programs=written)
    async with asyncio.timeout(30):
        status, _ = await job.answer()
    assert status == (418 if any(fault.kind == "terminal" for fault in faults) else 200)
    seen = (await journal.read(jobs.client, job.id))[job.id]
    assert not [failure for failure in seen.failures if "mismatch" in failure.message]
