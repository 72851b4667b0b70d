"""The connection between Restate and an agent is cut, slowed, held or half-open. The agent's process lives on."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.conformance.cases import tagged
from tests.faults.claims import (
    QUICK,
    Behind,
    behind_proxies,
    each_language,
    figure,
    half_done,
    judged,
    recovered,
    run_of,
    submit,
)
from tests.faults.proxy import Direction
from tour.runtime.evidence import Runs
from tour.runtime.frameworks import Framework
from tour.runtime.stack import CHECKS

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.server]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["quick", "as it comes"])
async def behind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Behind]:
    env = QUICK if request.param == "quick" else {}
    async with behind_proxies(tmp_path_factory.mktemp("behind"), run_of(request), env) as behind:
        yield behind


quick = pytest.mark.parametrize("behind", ["quick"], indirect=True)


@quick
@each_language
async def test_cut(behind: Behind, framework: Framework) -> None:
    running, proxies = behind
    claim = tagged()
    id = await half_done(running, framework, claim)
    since = time.time()
    proxies[framework.name].cut()
    await recovered(running, framework, claim, id, since, f"{framework.name}: cut", within=15)


@quick
@each_language
async def test_slowed(behind: Behind, framework: Framework) -> None:
    running, proxies = behind
    claim, proxy, since = tagged(), proxies[framework.name], time.time()
    await running.answer(await submit(running, framework, tagged()))
    usual = time.time() - since
    proxy.delay, since = 0.2, time.time()
    try:
        id = await submit(running, framework, claim)
        await running.answer(id)
    finally:
        proxy.delay = 0.0
    slow = time.time() - since
    assert await judged(running, framework, claim, id, since, since) == dict.fromkeys(CHECKS, Runs(starts=1))
    figure(f"{framework.name}: slowed by 0.2 s for each chunk", slow, f"instead of {usual:.1f} s")
    assert slow > usual + 1
    assert slow < 20


@pytest.mark.nightly
@quick
@each_language
async def test_held_and_healed(behind: Behind, framework: Framework) -> None:
    """Slower than Restate's limit for a live connection. Late bytes belong to attempts that it has given up.

    Each attempt may begin the unfinished checks, because Restate has sent it the journal.
    """
    running, proxies = behind
    claim, proxy = tagged(), proxies[framework.name]
    id = await half_done(running, framework, claim)
    since = time.time()
    proxy.hold()
    await asyncio.sleep(4)
    proxy.heal()
    healed = time.time()
    runs = await judged(running, framework, claim, id, since)
    waited = time.time() - healed
    assert runs["eligibility"] == Runs(starts=1)
    assert min(runs["cost"].interrupted, runs["fraud"].interrupted) >= 1
    figure(f"{framework.name}: held for 4 s, and then", waited, runs)
    assert waited < 15


async def half_open(behind: Behind, framework: Framework, direction: Direction) -> float:
    running, proxies = behind
    claim, proxy = tagged(), proxies[framework.name]
    id = await half_done(running, framework, claim)
    since = time.time()
    proxy.lose(direction)
    await running.answer(id)
    waited = time.time() - since
    runs = await judged(running, framework, claim, id, since)
    assert runs["eligibility"] == Runs(starts=1)
    proxy.heal()
    assert await judged(running, framework, claim, id, since) == runs
    figure(f"{framework.name}: half-open, bytes {direction} are lost", waited, runs)
    return waited


@quick
@each_language
@pytest.mark.parametrize("direction", ["there", "back"])
async def test_half_open(behind: Behind, framework: Framework, direction: Direction) -> None:
    assert await half_open(behind, framework, direction) < 20


@pytest.mark.nightly
@pytest.mark.parametrize("behind", ["as it comes"], indirect=True)
@each_language
@pytest.mark.parametrize("direction", ["there", "back"])
async def test_half_open_with_the_timeouts_as_they_come(
    behind: Behind, framework: Framework, direction: Direction
) -> None:
    assert 20 < await half_open(behind, framework, direction) < 120
