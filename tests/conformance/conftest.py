"""The conformance suite: one set of cases, all frameworks, a real Restate server and real agent processes.

Every case runs twice: on a server as it comes, and on one that suspends at every await and so replays the journal
again and again (inactivity timeout 0), the cheapest proof that an agent is deterministic.
"""

import uuid
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from shared.claims import InsuranceClaim, sample_claims
from tour import stack
from tour.frameworks import FRAMEWORKS, Framework
from tour.stack import Stack

SERVERS = {"live": {}, "replaying": {"RESTATE_WORKER__INVOKER__INACTIVITY_TIMEOUT": "0s"}}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "conformance" in item.nodeid:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=list(SERVERS))
async def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Restate, the offline model and all agents."""
    folder = tmp_path_factory.mktemp(request.param)
    async with stack.running(folder, server_env=SERVERS[request.param], agent_env={"MODEL_TIMEOUT": "3"}) as running:
        yield running


@pytest.fixture(params=FRAMEWORKS, ids=lambda framework: framework.name)
def framework(request: pytest.FixtureRequest) -> Framework:
    chosen: Framework = request.param
    return chosen


@pytest.fixture
def tagged() -> Callable[..., InsuranceClaim]:
    """Makes a claim whose reason holds a text that is in no other claim, so that a fault can be meant for it."""

    def make(sample: str = "broken-leg") -> InsuranceClaim:
        return sample_claims()[sample].model_copy(update={"reason": f"case {uuid.uuid4().hex}"})

    return make
