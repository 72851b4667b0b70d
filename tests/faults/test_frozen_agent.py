"""An agent freezes: its event loop stands still, and so do all claims in its process. The tour restarts it.

The agent itself notices a loop in Python. The tour's health checks notice a loop that holds the whole process, such as
one in C.
"""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from lab.ledger import Fault
from tests.conformance.approvals import until
from tests.conformance.cases import tagged
from tests.conformance.test_promise import assert_recovered, outcome
from tests.faults.claims import figure, run_of, stopped, submit
from tests.nightly import by_night
from tour.runtime import stack
from tour.runtime.evidence import Runs
from tour.runtime.frameworks import BY_NAME, PYTHON, Framework
from tour.runtime.stack import CHECKS, Stack

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.server]

FIRST, *REST = PYTHON
WATCHDOG = 2.0
OTHERS = 5


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("WATCHDOG", str(WATCHDOG))
        async with stack.running(tmp_path_factory.mktemp("frozen"), frameworks=run_of(request) or [FIRST]) as running:
            yield running


@pytest.mark.parametrize("framework", [FIRST, *by_night(REST)], ids=lambda framework: framework.name)
async def test_a_step_freezes_the_process_and_all_claims_in_it_are_decided(
    running: Stack, framework: Framework
) -> None:
    agent, claim, others = running.agents[framework.name], tagged(), [tagged() for _ in range(OTHERS)]
    said: list[str] = []
    running.lab.plan(
        Fault("cost", "freeze", about=claim.reason),
        *(Fault(check, "delay", 4, about=other.reason) for check in CHECKS for other in others),
    )
    frozen = agent.process.pid
    async with agent.kept(said.append):
        ids = [await submit(running, framework, other) for other in others]

        async def all_are_in_flight() -> bool:
            return len(running.lab.ledger(invocations=ids)) == OTHERS * len(CHECKS)

        await until(all_are_in_flight)
        ids.append(await submit(running, framework, claim))
        outcomes = await asyncio.gather(*(outcome(running, id) for id in ids))
        await agent.ready()
    for answer, runs in outcomes:
        assert_recovered(answer, runs)
    *undecided, (_, of_the_frozen) = outcomes
    assert of_the_frozen["cost"] == Runs(starts=2, interrupted=1)
    for _, runs in undecided:
        assert all(runs[check].interrupted == 1 for check in CHECKS), "they were in flight in the same process"
    [restart] = agent.restarts
    assert (restart.code, agent.process.pid != frozen) == (70, True)
    again = f"restarted as pid {agent.process.pid}"
    assert said == [f"The agent {framework.name} froze (exit code 70): {again}, and its claims continue."]
    log = agent.process.log.read_text()
    assert "The event loop has not turned for 2 s: this process ends with exit code 70" in log
    assert 'lab/observed.py", line ' in log.partition("It was at:")[2]
    froze = next(entry.at for entry in running.lab.ledger(invocations=ids) if entry.detail == "freeze")
    figure(f"{framework.name} is started again", restart.at - froze)
    assert restart.at - froze > WATCHDOG * 0.9


@pytest.mark.parametrize(
    "framework", [FIRST, *by_night([BY_NAME["typescript_loop"]])], ids=lambda framework: framework.name
)
async def test_an_agent_that_cannot_notice_it_is_asked_killed_and_started_again(
    running: Stack, framework: Framework
) -> None:
    agent, claim = running.agents[framework.name], tagged()
    running.lab.plan(*(Fault(check, "delay", 0.5, about=claim.reason) for check in CHECKS))
    before, since, back = list(agent.restarts), time.time(), asyncio.Event()
    async with agent.kept(lambda line: back.set()):
        id = await submit(running, framework, claim)
        with stopped(agent.process):
            await back.wait()
        answer, runs = await outcome(running, id)
    assert_recovered(answer, runs)
    assert [restart.why for restart in agent.restarts[len(before) :]] == ["froze (no answer)"]
    assert agent.restarts[-1].at - since > 2 * WATCHDOG, "it may be slow to answer once"


async def test_a_process_that_was_stopped_goes_on(running: Stack) -> None:
    """The process has not turned its loop for long, because it was stopped."""
    framework = FIRST
    agent, claim = running.agents[framework.name], tagged()
    with stopped(agent.process):
        await asyncio.sleep(2 * WATCHDOG)
    assert (await running.answer(await submit(running, framework, claim))).startswith("Approved:")
    assert agent.process.alive
