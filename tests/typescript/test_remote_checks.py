"""Checks as services across languages: an agent calls the other language's checks through Restate, in one trace."""

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.cluster import CHECKS, CHECKS_SCRIPT
from lab.ledger import Fault
from shared import checks
from shared.claims import InsuranceClaim, sample_claims
from tests.tracing.collector import Collector, Span, collecting
from tour.runtime import stack
from tour.runtime.frameworks import BY_NAME, REMOTE_CHECKS, TYPESCRIPT, Framework
from tour.runtime.node import NODE, install
from tour.runtime.node import TYPESCRIPT as NODE_FOLDER
from tour.runtime.processes import free_port, running
from tour.runtime.stack import Stack

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.server,
]

LOOP = BY_NAME["restate_loop"]
AGENTS = {"python": TYPESCRIPT, "typescript": (LOOP,)}
"""The agents that call a language's checks: those in the other language."""
SCRIPTS: dict[str, list[str | Path]] = {
    "python": [sys.executable, CHECKS_SCRIPT],
    "typescript": [NODE, NODE_FOLDER / "deploy/check_services.ts"],
}


@dataclass
class Remote:
    """The agents, and the checks in a process in the other language."""

    stack: Stack
    collector: Collector
    agents: tuple[Framework, ...]
    pid: int
    """The process id of the checks."""

    async def decide(self, framework: Framework, claim: InsuranceClaim) -> tuple[str, str]:
        """The invocation's id, and the answer."""
        id = await self.stack.submit(framework, claim, "", "")
        return id, await self.stack.answer(id)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=list(SCRIPTS))
async def remote(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Remote]:
    folder, port, language = tmp_path_factory.mktemp("remote"), str(free_port()), request.param
    await install(print, dev=True)  # with the packages for tracing
    async with collecting(folder) as collector:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.http, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        lab = {"TOUR_LAB": str(folder / "lab.sqlite"), "PORT": port, "TOUR_SERVICE_PREFIX": ""}
        async with (
            stack.running(
                folder, frameworks=AGENTS[language], pattern=REMOTE_CHECKS, server_env=env, agent_env=env
            ) as agents,
            running("checks", SCRIPTS[language], folder / "checks.log", env | lab) as checks,
        ):
            await checks.until(f"http://127.0.0.1:{port}/health", http2=language == "typescript")
            await stack.register(agents.admin, f"http://127.0.0.1:{port}")
            yield Remote(agents, collector, AGENTS[language], checks.child.pid)


async def test_the_decisions_are_the_same(remote: Remote) -> None:
    for framework in remote.agents:
        for name, claim in sample_claims().items():
            _, answer = await remote.decide(framework, claim)
            for check in checks.CHECKS.values():
                assert await check.function(claim) in answer, (framework.name, name)


async def test_the_checks_overlap_in_the_other_process_and_one_trace(remote: Remote) -> None:
    claim = sample_claims()["broken-leg"]
    remote.stack.lab.plan(*(Fault(check, "delay", 0.3) for check in stack.CHECKS))
    for framework in remote.agents:
        since = remote.stack.lab.ledger()
        id, answer = await remote.decide(framework, claim)
        assert answer.startswith("Approved:"), answer
        ran = [entry for entry in remote.stack.lab.ledger()[len(since) :] if entry.step in stack.CHECKS]
        assert {entry.pid for entry in ran} == {remote.pid}
        spans = await remote.collector.trace(id)
        found = checks_of(spans)
        assert sorted(span.attribute("tour.step") or "" for span in found) == sorted(stack.CHECKS)
        assert max(span.start for span in found) < min(span.end for span in found)
        assert {span.service for span in spans} == {"Restate", CHECKS, framework.prefix()}
    remote.stack.lab.clear_plan()


async def test_only_the_check_that_fails_is_retried_in_the_other_language(remote: Remote) -> None:
    for framework in remote.agents:
        remote.stack.lab.plan(Fault("cost", "fail", times=2), Fault("fraud", "delay", 0.5))
        id, answer = await remote.decide(framework, sample_claims()["broken-leg"])
        remote.stack.lab.clear_plan()
        assert answer.startswith("Approved:"), answer
        spans = checks_of(await remote.collector.trace(id))
        counts = {check: [span.attribute("tour.step") for span in spans].count(check) for check in stack.CHECKS}
        assert counts == {"eligibility": 1, "cost": 3, "fraud": 1}


async def test_a_terminal_error_of_a_check_reaches_the_caller(remote: Remote) -> None:
    for framework in remote.agents:
        remote.stack.lab.plan(Fault("fraud", "terminal", 418, detail="the claims desk is closed"))
        _, answer = await remote.decide(framework, sample_claims()["broken-leg"])
        remote.stack.lab.clear_plan()
        assert answer == "418: the claims desk is closed"


def checks_of(spans: list[Span]) -> list[Span]:
    """The spans of the checks, which are named `eligibility` in Python and `run (eligibility)` in TypeScript."""
    return [span for span in spans if span.service == CHECKS and span.attribute("tour.step")]
