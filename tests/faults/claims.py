"""Claims under a fault: sent, brought to the fault's point, and judged. They may lose nothing."""

import json
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab.ledger import Fault
from shared.claims import InsuranceClaim
from tests.conformance.approvals import until
from tests.conformance.cases import asked
from tests.faults.proxy import Proxy, before_the_agents
from tests.nightly import by_night, selected
from tour.runtime import evidence, journal, processes, stack
from tour.runtime.agents import Agent
from tour.runtime.evidence import CLOCK, Runs
from tour.runtime.frameworks import BY_NAME, FAN_OUT, FRAMEWORKS, Framework, Pattern
from tour.runtime.journal import Invocation
from tour.runtime.processes import Process, free_port
from tour.runtime.stack import CHECKS, Stack

LANGUAGES = [BY_NAME["pydantic_ai_agent"], BY_NAME["typescript_loop"]]
"""One agent in each language: the effect of a fault depends on Restate's SDK, not on the agent's."""

each_language = pytest.mark.parametrize(
    "framework", [LANGUAGES[0], *by_night(LANGUAGES[1:])], ids=lambda framework: framework.name
)


def run_of(request: pytest.FixtureRequest) -> list[Framework]:
    """The frameworks whose cases of a file run."""
    named = selected(request, "framework")
    return [framework for framework in FRAMEWORKS if (framework,) in named]


IN_FLIGHT = 1.5
"""Seconds that a check takes that a fault is to hit."""

QUICK = {
    "RESTATE_WORKER__INVOKER__HTTP2_KEEP_ALIVE_INTERVAL": "1s",
    "RESTATE_WORKER__INVOKER__HTTP2_KEEP_ALIVE_TIMEOUT": "1s",
}
"""Settings of a server that counts a connection as dead after 2 s of silence. The default is a minute."""


Behind = tuple[Stack, dict[str, Proxy]]
"""The stack, and the proxy through which Restate reaches each agent, by framework."""


@asynccontextmanager
async def behind_proxies(
    folder: Path,
    frameworks: Sequence[Framework],
    server_env: Mapping[str, str],
    pattern: Pattern = FAN_OUT,
    agent_env: Mapping[str, str] | None = None,
) -> AsyncIterator[Behind]:
    """The frameworks' agents, each behind a proxy."""
    async with (
        stack.running(
            folder,
            frameworks=frameworks,
            pattern=pattern,
            server_env=server_env,
            agent_env={"MODEL_TIMEOUT": "3", **(agent_env or {})},
        ) as running,
        before_the_agents(running, pattern) as proxies,
    ):
        yield running, proxies


@contextmanager
def stopped(process: Process) -> Iterator[None]:
    """Stop the process while the block runs. It does not notice."""
    os.killpg(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGCONT)


@asynccontextmanager
async def another_process(running: Stack, agent: Agent) -> AsyncIterator[Agent]:
    """A second process of this agent, on another port."""
    port = free_port()
    name, env = f"{agent.process.name}, again", {**agent.process.env, "PORT": str(port)}
    log = running.folder / f"again-{port}.log"
    async with processes.running(name, agent.process.command, log, env) as process:
        another = Agent(port, process, agent.framework)
        await another.ready()
        yield another


async def submit(running: Stack, framework: Framework, claim: InsuranceClaim, pattern: Pattern | None = None) -> str:
    """Send a claim with a new idempotency key; returns the id of its invocation."""
    return await running.submit(framework, claim, claim.reason, claim.reason, claim.reason, pattern)


Send = Callable[[Stack, Framework, InsuranceClaim], Awaitable[str]]


async def half_done(
    running: Stack, framework: Framework, claim: InsuranceClaim, lasting: float = IN_FLIGHT, send: Send = submit
) -> str:
    """Send a claim; returns its id when one check is finished, and the others are in flight for some seconds."""
    running.lab.plan(*(Fault(check, "delay", lasting, about=claim.reason) for check in ("cost", "fraud")))
    id = await send(running, framework, claim)

    sql = f"SELECT id FROM sys_journal WHERE id = '{id}' AND entry_type = 'Notification: Run'"

    async def one_is_finished() -> bool:  # it and the model's first call
        return len(await journal.query(running.admin, sql)) == 2

    await until(one_is_finished)
    return id


async def entries(running: Stack, id: str) -> list[dict[str, Any]]:
    """The entries of an invocation's journal in Restate."""
    sql = f"SELECT index, entry_type, entry_json, appended_at FROM sys_journal WHERE id = '{id}' ORDER BY index"
    return await journal.query(running.admin, sql)


async def judged(
    running: Stack, framework: Framework, claim: InsuranceClaim, id: str, since: float, until: float | None = None
) -> dict[str, Runs]:
    """The runs of each check, with their reasons. Raises: AssertionError if the claim lost or repeated anything.

    The fault lasted from `since` to `until` (s since the epoch), or until now: steps in flight then may run again.
    """
    answer = await running.answer(id)
    assert answer.startswith("Approved:"), answer
    assert await submit(running, framework, claim) == id, "sent again, it is the same claim"
    assert await running.answer(id) == answer, "and has the same answer"
    (found,) = (await journal.read(running.admin, id)).values()
    assert_journal(found)
    runs = evidence.runs(found, running.lab.ledger(invocations=[id]), [(since, until or time.time())])
    assert sorted(runs) == sorted(CHECKS)
    assert all(each.needless == 0 for each in runs.values()), runs
    for turn, call in enumerate(found.model_calls):
        begun = [entry.at for entry in asked(running, claim) if entry.event == "start" and _turn(entry.detail) == turn]
        assert call.end
        assert max(begun) < call.end / 1000 + CLOCK, "a finished model call is not made again"
    return runs


IN_FLIGHT_AGAIN = {
    "eligibility": Runs(starts=1),
    "cost": Runs(starts=2, interrupted=1),
    "fraud": Runs(starts=2, interrupted=1),
}
"""The runs of a claim that was half done when the fault struck."""


async def recovered(
    running: Stack, framework: Framework, claim: InsuranceClaim, id: str, since: float, fault: str, within: float
) -> None:
    """Judge a half-done claim, and print how long it takes from now, which must be less than `within` seconds."""
    began = time.time()
    runs = await judged(running, framework, claim, id, since)
    waited = time.time() - began
    assert runs == IN_FLIGHT_AGAIN
    figure(fault, waited)
    assert waited < within


def assert_journal(found: Invocation) -> None:
    """Assert that each step is in the journal once, with a result, and that every replay matched the journal."""
    assert found.status == "completed"
    assert sorted(step.name for step in found.checks) == sorted(CHECKS)
    assert len(found.model_calls) == 2
    assert all(step.end and not step.failed for step in found.steps)
    assert 570 not in {failure.code for failure in found.failures}, found.failures


def _turn(detail: str) -> int:
    turn: int = json.loads(detail)["turn"]
    return turn


def figure(name: str, seconds: float, *more: object) -> None:
    """Print a duration: the figures in docs/guarantees.md come from here (`pytest -rP`)."""
    print(f"{name}: {seconds:.1f} s", *more)
