"""Two faults at once: the recovery from one meets the other."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.conformance.cases import tagged
from tests.faults.claims import LANGUAGES, QUICK, Behind, behind_proxies, by_hand, figure, half_done, judged, stopped
from tour.runtime.evidence import Runs
from tour.runtime.frameworks import Framework

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.server,
    pytest.mark.parametrize("framework", LANGUAGES, ids=lambda framework: framework.name),
]

AGAIN = Runs(starts=2, interrupted=1)
EXPECTED = {"eligibility": Runs(starts=1), "cost": AGAIN, "fraud": AGAIN}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def behind(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Behind]:
    async with behind_proxies(tmp_path_factory.mktemp("behind"), QUICK) as behind:
        yield behind


async def test_the_server_is_killed_while_the_agent_is_stopped(behind: Behind, framework: Framework) -> None:
    """The server comes back first, and the zombie goes on with the attempt of a server that is gone."""
    running, _ = behind
    agent, claim = running.agents[framework.name], tagged()
    id = await half_done(running, framework, claim)
    since = time.time()
    with stopped(agent.process):
        await running.restate.restart()
        await asyncio.sleep(1)  # the claim is sent to the agent again, which does not answer
    awake = time.time()
    runs = await judged(running, framework, claim, id, since)
    waited = time.time() - awake
    assert runs == EXPECTED
    figure(f"{framework.name} is stopped for {awake - since:.1f} s, the server killed meanwhile; then", waited)
    assert waited < 20


@by_hand
async def test_the_agent_is_killed_while_the_connection_is_half_open(behind: Behind, framework: Framework) -> None:
    """Restate does not hear of the kill: the connection stays, and nothing comes."""
    running, proxies = behind
    agent, proxy, claim = running.agents[framework.name], proxies[framework.name], tagged()
    id = await half_done(running, framework, claim)
    since = time.time()
    proxy.lose("back")
    await agent.restart()
    back = time.time()
    runs = await judged(running, framework, claim, id, since)
    waited = time.time() - back
    assert runs == EXPECTED
    proxy.heal()
    figure(
        f"{framework.name} is killed while the connection is half-open; back after {back - since:.1f} s, then", waited
    )
    assert waited < 20


async def test_the_server_is_killed_while_the_connection_is_held(behind: Behind, framework: Framework) -> None:
    """When it is healed, the agent hears of the old server's end, and the new one of the agent, in any order."""
    running, proxies = behind
    proxy, claim = proxies[framework.name], tagged()
    id = await half_done(running, framework, claim)
    since = time.time()
    proxy.hold()
    await running.restate.restart()
    await asyncio.sleep(1)  # the results of the old attempt wait in the proxy
    proxy.heal()
    healed = time.time()
    runs = await judged(running, framework, claim, id, since)
    waited = time.time() - healed
    assert runs == EXPECTED
    figure(f"{framework.name}: the server is killed while the connection is held; healed, it takes", waited)
    assert waited < 20
