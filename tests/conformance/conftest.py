"""The conformance suite: one set of cases, all frameworks, a real Restate server and real agent processes.

Every case runs twice: on a server with default settings, and on one that suspends at every await and so replays the
journal again and again (inactivity timeout 0), the cheapest proof that an agent is deterministic.

`TOUR_AGENT=NAME=FILE uv run pytest tests/conformance` runs the cases on one agent, also from outside the tour.
"""

import contextlib
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from _pytest._code.code import ExceptionRepr

from tests.conformance import cases, grading, turns
from tests.conformance.cases import AGENTS, LIMIT, PATTERN, PATTERNS, Tagged
from tests.conformance.grading import pytest_addoption, pytest_terminal_summary  # noqa: F401 - pytest looks here
from tests.nightly import today
from tour.runtime import stack
from tour.runtime.approvals import approving_all
from tour.runtime.frameworks import APPROVAL, FAN_OUT, Framework
from tour.runtime.stack import Stack

OWN_AGENTS = [
    f"test_{name}.py" for name in ("approval", "approval_crashes", "parallel_tool_calls", "specialists", "streaming")
]
collect_ignore = [] if PATTERN == FAN_OUT else OWN_AGENTS

LOOPS = ("restate_loop", "typescript_loop")
"""The frameworks that start fastest, one in each language."""

SERVERS = {"live": {}, "replaying": {"RESTATE_WORKER__INVOKER__INACTIVITY_TIMEOUT": "0s"}}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the cases: all need a server, but the first case of a `sample` is quick on the live one, for both loops.

    Cases that are not in turn today are for the night, and never quick.
    """
    quick = set[object]()
    ours = [item for item in items if Path(__file__).parent in item.path.parents]
    turns.leave_to_the_night(ours, today())
    for item in ours:
        item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
        item.add_marker(pytest.mark.server)
        grading.mark(item)
        if PATTERN not in PATTERNS.values():
            item.add_marker(pytest.mark.real_starts)  # who knows what that agent's packages do
        assert isinstance(item, pytest.Function)
        chosen = item.callspec.params if hasattr(item, "callspec") else {}
        case = (item.originalname, chosen.get("framework"))
        sample = item.get_closest_marker("sample") and not item.get_closest_marker("nightly")
        of_a_loop = getattr(chosen.get("framework"), "name", "") in LOOPS
        if sample and of_a_loop and chosen.get("running") == "live" and case not in quick:
            quick.add(case)
            item.add_marker(pytest.mark.quick)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """If a case fails, report which invocations have not ended, and why, and end them: a hanging case says nothing."""
    report = yield
    running = getattr(item, "funcargs", {}).get("running")
    if report.failed and isinstance(report.longrepr, ExceptionRepr) and running:
        sql = "SELECT id, status, retry_count, last_failure FROM sys_invocation"
        sql += " WHERE status NOT IN ('completed', 'scheduled')"
        with contextlib.suppress(httpx.HTTPError), httpx.Client(base_url=running.restate.admin) as admin:
            found = admin.post("/query", json={"query": sql}, headers={"accept": "application/json"})
            for row in found.raise_for_status().json()["rows"]:
                failure = " ".join((row.get("last_failure") or "no failure").partition("Traceback")[0].split())
                about = f"{row['id']} {row['status']}, {row.get('retry_count', 1)} attempts: {failure[:1000]}"
                report.longrepr.addsection("Restate, not completed", about)
                admin.patch(f"/invocations/{row['id']}/kill")
    return report


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=list(SERVERS))
async def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Restate, the offline model and the agents: all agents, unless each selected test needs a single one."""
    tests = [item for item in request.session.items if "running" in getattr(item, "fixturenames", ())]
    about = [item.callspec.params.get("framework") if hasattr(item, "callspec") else None for item in tests]
    async with stack.running(
        tmp_path_factory.mktemp(request.param),
        frameworks=AGENTS if None in about else [agent for agent in AGENTS if agent in about],
        pattern=PATTERN,
        server_env=SERVERS[request.param],
        agent_env={"MODEL_TIMEOUT": "3"},
    ) as running:
        running.ingress.timeout = LIMIT
        person = approving_all(running.admin, running.ingress, "seen")
        async with person if PATTERN == APPROVAL else contextlib.nullcontext():
            yield running


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def agents_alive(request: pytest.FixtureRequest) -> None:
    """Restarts an agent that a case has ended, for the next case."""
    if "running" in request.fixturenames:
        running: Stack = request.getfixturevalue("running")
        for agent in running.agents.values():
            if not agent.process.alive:
                await agent.restart()


@pytest.fixture(params=AGENTS, ids=lambda framework: framework.name)
def framework(request: pytest.FixtureRequest) -> Framework:
    chosen: Framework = request.param
    return chosen


@pytest.fixture
def tagged() -> Tagged:
    """Makes a unique claim."""
    return cases.tagged
