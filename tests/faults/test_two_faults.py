"""Two faults at once: the second one strikes during the recovery from the first."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.conformance.cases import tagged
from tests.faults.claims import QUICK, Behind, behind_proxies, each_language, half_done, recovered, run_of, stopped
from tour.runtime.frameworks import Framework

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.server,
    each_language,
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def behind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Behind]:
    async with behind_proxies(tmp_path_factory.mktemp("behind"), run_of(request), QUICK) as behind:
        yield behind


async def test_the_server_is_killed_while_the_agent_is_stopped(behind: Behind, framework: Framework) -> None:
    """The server comes back first, and the zombie continues the attempt of the old server process."""
    running, _ = behind
    agent, claim = running.agents[framework.name], tagged()
    id = await half_done(running, framework, claim)
    since = time.time()
    with stopped(agent.process):
        await running.restate.restart()
        await asyncio.sleep(1)  # the claim is sent to the agent again, which does not answer
    fault = f"{framework.name} is stopped for {time.time() - since:.1f} s, the server killed meanwhile; then"
    await recovered(running, framework, claim, id, since, fault, within=20)


@pytest.mark.nightly
async def test_the_agent_is_killed_while_the_connection_is_half_open(behind: Behind, framework: Framework) -> None:
    """Restate does not notice the kill: the connection stays open and silent."""
    running, proxies = behind
    agent, proxy, claim = running.agents[framework.name], proxies[framework.name], tagged()
    id = await half_done(running, framework, claim)
    since = time.time()
    proxy.lose("back")
    await agent.restart()
    away = time.time() - since
    fault = f"{framework.name} is killed while the connection is half-open; back after {away:.1f} s, then"
    await recovered(running, framework, claim, id, since, fault, within=20)
    proxy.heal()


async def test_the_server_is_killed_while_the_connection_is_held(behind: Behind, framework: Framework) -> None:
    """After the network heals, the agent notices the old server's end, and the new server the agent, in any order."""
    running, proxies = behind
    proxy, claim = proxies[framework.name], tagged()
    id = await half_done(running, framework, claim)
    since = time.time()
    proxy.hold()
    await running.restate.restart()
    await asyncio.sleep(1)  # the results of the old attempt wait in the proxy
    proxy.heal()
    fault = f"{framework.name}: the server is killed while the connection is held; healed, it takes"
    await recovered(running, framework, claim, id, since, fault, within=20)
