"""An agent's process stops for longer than Restate waits (SIGSTOP), and resumes too late (SIGCONT).

A pause of the machine, a debugger or a long garbage collection do the same. The process does not notice: it resumes,
and writes results for a claim that now belongs to another attempt.
"""

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from lab.ledger import Entry
from tests.conformance.approvals import until
from tests.conformance.cases import tagged
from tests.faults.claims import (
    IN_FLIGHT,
    QUICK,
    Behind,
    another_process,
    behind_proxies,
    each_language,
    entries,
    figure,
    half_done,
    judged,
    run_of,
    stopped,
    submit,
)
from tour.runtime import journal
from tour.runtime.evidence import CLOCK
from tour.runtime.frameworks import Framework
from tour.runtime.stack import Stack

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.server]

ABORTING = {
    "RESTATE_WORKER__INVOKER__INACTIVITY_TIMEOUT": "1s",
    "RESTATE_WORKER__INVOKER__ABORT_TIMEOUT": "2s",
}
"""Restate ends an attempt after 3 s of silence. The defaults are 1 and 10 minutes."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["connection", "attempt"])
async def behind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Behind]:
    """A server that gives up the connection to a silent agent, or each attempt on it."""
    env = ABORTING | (QUICK if request.param == "connection" else {})
    async with behind_proxies(tmp_path_factory.mktemp(request.param), run_of(request), env) as behind:
        yield behind


def late(running: Stack, id: str, pid: int, since: float) -> list[Entry]:
    """The checks that this process has ended since that time."""
    return [
        entry
        for entry in running.lab.ledger(invocations=[id])
        if entry.pid == pid and entry.event == "end" and entry.at > since
    ]


@pytest.mark.parametrize("behind", ["connection"], indirect=True)
@each_language
async def test_another_process_takes_over_and_the_zombie_is_not_heard(behind: Behind, framework: Framework) -> None:
    running, proxies = behind
    zombie, proxy, claim = running.agents[framework.name], proxies[framework.name], tagged()
    async with another_process(running, zombie) as other:
        id = await half_done(running, framework, claim)
        since = time.time()
        with stopped(zombie.process):
            proxy.target = other.port  # as a load balancer does, whose health checks fail
            answer = await running.answer(id)
            waited = time.time() - since
            before = await entries(running, id)

        async def it_has_spoken() -> bool:
            return len(late(running, id, zombie.process.pid, since)) == 2

        await until(it_has_spoken)
        runs = await judged(running, framework, claim, id, since)
        assert (runs["cost"].interrupted, runs["fraud"].interrupted) == (1, 1)
        assert await entries(running, id) == before
        assert await running.answer(id) == answer

    proxy.target = zombie.port
    assert (await running.answer(await submit(running, framework, tagged()))).startswith("Approved:")
    assert zombie.process.alive
    figure(f"{framework.name} is stopped, another process takes over", waited)
    assert waited < 20


@pytest.mark.nightly
@pytest.mark.parametrize("behind", ["attempt"], indirect=True)
@each_language
async def test_a_late_result_of_an_attempt_that_was_ended_does_not_count(behind: Behind, framework: Framework) -> None:
    """The connection stays open, so the zombie's result reaches Restate while the claim is open."""
    running, _ = behind
    zombie, claim = running.agents[framework.name], tagged()
    id = await half_done(running, framework, claim)
    since = time.time()

    async def restate_has_tried_again() -> bool:
        (row,) = await journal.query(running.admin, f"SELECT retry_count FROM sys_invocation WHERE id = '{id}'")
        return int(row.get("retry_count") or 0) >= 2

    with stopped(zombie.process):
        await until(restate_has_tried_again)
    awake = time.time()
    answer = await running.answer(id)
    figure(f"{framework.name} goes on after {awake - since:.1f} s", time.time() - awake)
    (found,) = (await journal.read(running.admin, id)).values()
    runs = await judged(running, framework, claim, id, since)
    assert (runs["cost"].interrupted + runs["cost"].repeated, runs["eligibility"].starts) == (1, 1)
    for step in found.checks[1:]:
        again = max(
            entry.at
            for entry in running.lab.ledger(invocations=[id])
            if (entry.step, entry.event) == (step.name, "start")
        )
        assert step.end
        assert step.end / 1000 > again + IN_FLIGHT - CLOCK, "the result is that of the second run"
    assert late(running, id, zombie.process.pid, since)[0].at < awake + IN_FLIGHT, "the first run came before it"
    assert answer == await running.answer(id)
    assert time.time() - awake < 20
