"""The kinds of step of a claim, on one SDK: a function, a service, an agent, an agent as a service, a person.

All of them take no time here, and the model and the person answer at once: the rest is their cost.
"""

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from pydantic import BaseModel
from rich.console import Console

from bench.measuring import Block, Extent, Side, one_at_a_time
from shared.checks import CHECKS
from shared.claims import sample_claims
from tour.runtime import journal, processes, stack
from tour.runtime.approvals import decide, service
from tour.runtime.errors import TourError
from tour.runtime.frameworks import APPROVAL, BY_NAME, FAN_OUT, REMOTE_CHECKS, ROOT, SPECIALISTS, Pattern
from tour.runtime.processes import POLL, free_port
from tour.runtime.stack import Stack

SDK = BY_NAME["openai_agents"]

SPECIALIST_SERVICES = Pattern(
    "specialist services",
    "agents as services",
    "../deploy/specialist_services.py",
    "SpecialistServicesClaimAgent",
    env={f"{check.specialty.upper()}_SPECIALIST": SDK.prefix() for check in CHECKS.values()},
)
KINDS = {
    "three functions": FAN_OUT,
    "three services": REMOTE_CHECKS,
    "three agents": SPECIALISTS,
    "three agents as services": SPECIALIST_SERVICES,
    "three functions and a person": APPROVAL,
}
"""The parts of the claim agent's tool, and the pattern that has them."""

NEEDS_A_PERSON = sample_claims()["round-emergency"]


class Kind(BaseModel):
    """A kind of step: the blocks of its claims, and the record of one claim.

    `invocations` are the claim's own and those that it leads to; `entries` and `bytes` are their journals'. The
    `agent_cpu` of a block is that of all processes but the server's.
    """

    title: str
    blocks: list[Block]
    invocations: int
    entries: int
    bytes: int
    model_calls: int


async def steps(folder: Path, extent: Extent, console: Console) -> list[Kind]:
    """Measure all kinds in turns, one claim at a time. Raises: TourError."""
    async with AsyncExitStack() as exits:
        running = await exits.enter_async_context(stack.running(folder, frameworks=[SDK]))
        port = str(free_port())
        env = running.env("") | {"PORT": port, "HOST": "127.0.0.1"}
        command: list[str | Path] = [sys.executable, ROOT / "deploy/check_services.py"]
        checks = await exits.enter_async_context(processes.running("The checks", command, folder / "checks.log", env))
        await checks.until(f"http://127.0.0.1:{port}/health")
        await stack.register(running.admin, f"http://127.0.0.1:{port}")
        for pattern in KINDS.values():
            await running.add(pattern)
        services = {
            REMOTE_CHECKS: checks.child.pid,
            SPECIALIST_SERVICES: running.agents_of(SPECIALISTS)[SDK.name].process.pid,
        }
        sides = [_side(running, pattern, services.get(pattern)) for pattern in KINDS.values()]
        blocks = await one_at_a_time(sides, extent, console, "Kinds of step")
        return [await _kind(running, title, measured) for title, measured in zip(KINDS, blocks, strict=True)]


def _side(running: Stack, pattern: Pattern, service: int | None) -> Side:
    async def send() -> None:
        await _decided(running, pattern)

    assert running.restate.process
    agent = running.agents_of(pattern)[SDK.name].process.pid
    return Side(send, agent, running.restate.process.pid, service)


async def _decided(running: Stack, pattern: Pattern) -> str:
    """The id of a claim's invocation, when it is decided. Raises: TourError when it ends with an error."""
    claim = NEEDS_A_PERSON if pattern == APPROVAL else sample_claims()["broken-leg"]
    id = await running.submit(SDK, claim, "", "", pattern=pattern)
    if pattern == APPROVAL:
        await _approve(running, id)
    answer = await running.answer(id)
    if not answer.startswith("Approved:"):
        raise TourError(f"A claim was not approved: {answer}", f"The logs are in {running.folder}.")
    return id


async def _approve(running: Stack, id: str) -> None:
    while True:
        said = await decide(running.ingress, service(SDK), id, {"approved": True, "reason": "seen"})
        if said.status_code != 404:  # nobody waits yet
            return
        await asyncio.sleep(POLL)


async def _kind(running: Stack, title: str, blocks: list[Block]) -> Kind:
    id = await _decided(running, KINDS[title])
    rows = await journal.query(
        running.admin,
        "SELECT id FROM sys_invocation WHERE completion_failure IS NULL"  # a decision before anybody was asked
        f" AND (id = '{id}' OR invoked_by_id = '{id}' OR target_service_key = '{id}')",
    )
    invocations = (await journal.read(running.admin, *(row["id"] for row in rows))).values()
    return Kind(
        title=title,
        blocks=blocks,
        invocations=len(invocations),
        entries=sum(each.entries for each in invocations),
        bytes=sum(each.size for each in invocations),
        model_calls=sum(len(each.model_calls) for each in invocations),
    )
