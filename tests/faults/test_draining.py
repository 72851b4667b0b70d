"""SIGTERM lets a model call in flight finish, because it is paid for; a call that hangs is cut off."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from lab.ledger import Fault
from shared.claims import InsuranceClaim
from tests.conformance.approvals import until
from tests.conformance.cases import asked, tagged
from tests.conformance.test_promise import ONCE, model_calls
from tests.faults.claims import figure, run_of, submit
from tests.nightly import by_night
from tour.runtime import stack
from tour.runtime.frameworks import PYTHON, Framework
from tour.runtime.stack import Stack

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.server]

FIRST, *OTHERS = PYTHON
each_agent = pytest.mark.parametrize("framework", [FIRST, *by_night(OTHERS)], ids=lambda framework: framework.name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with stack.running(tmp_path_factory.mktemp("draining"), frameworks=run_of(request) or [FIRST]) as running:
        yield running


async def in_flight(running: Stack, framework: Framework, claim: InsuranceClaim, *faults: Fault) -> str:
    """Send a claim; returns its id once the model is called."""
    running.lab.plan(*faults)
    id = await submit(running, framework, claim)

    async def the_model_is_asked() -> bool:
        return bool(asked(running, claim))

    await until(the_model_is_asked)
    return id


async def ends(running: Stack, framework: Framework, *signals: signal.Signals) -> float:
    """Send the signals to the agent, a little apart; returns the seconds until it ended. It must end with code 0."""
    process, began = running.agents[framework.name].process, time.monotonic()
    for signum in signals:
        os.kill(process.pid, signum)
        await asyncio.sleep(0.2)
    assert await process.child.wait() == 0
    return time.monotonic() - began


@each_agent
async def test_the_call_ends_and_is_not_made_again(running: Stack, framework: Framework) -> None:
    claim, late = tagged(), tagged()
    id = await in_flight(running, framework, claim, Fault("model", "delay", 3, about=claim.reason))
    ending = asyncio.create_task(ends(running, framework, signal.SIGTERM))
    await asyncio.sleep(0.5)
    later = await submit(running, framework, late)
    seconds = await ending
    assert not asked(running, late), "a process that is to end begins nothing"
    assert model_calls(running, claim) == {0: 1}
    await running.agents[framework.name].restart()
    assert (await running.answer(id)).startswith("Approved:")
    assert (await running.answer(later)).startswith("Approved:")
    assert model_calls(running, claim) == ONCE, "each turn was paid once"
    assert seconds > 2
    figure(f"{framework.name} ends", seconds)


@pytest.mark.parametrize(
    ("drain", "signals"),
    [("1", [signal.SIGTERM]), ("60", [signal.SIGTERM, signal.SIGTERM]), ("60", [signal.SIGINT])],
    ids=["after DRAIN", "at a second SIGTERM", "at Ctrl-C"],
)
async def test_a_call_that_hangs_is_cut_off(running: Stack, drain: str, signals: list[signal.Signals]) -> None:
    framework, claim = FIRST, tagged()
    agent = running.agents[framework.name]
    agent.process.env = {**agent.process.env, "DRAIN": drain}
    await agent.restart()
    id = await in_flight(running, framework, claim, Fault("model", "hang", 60, about=claim.reason))
    seconds = await ends(running, framework, *signals)
    await agent.restart()
    assert (await running.answer(id)).startswith("Approved:")
    assert seconds < 20
    figure("ended", seconds)
