"""Shared by the approval cases: the agents, the bank, and a person's actions over HTTP."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from lab.bank import Bank
from tests.conformance.conftest import SERVERS
from tour.runtime import journal, processes, stack
from tour.runtime.approvals import Waiting, decide, service, waiting
from tour.runtime.frameworks import APPROVAL, FRAMEWORKS, ROOT, Framework, Pattern
from tour.runtime.processes import POLL, free_port
from tour.runtime.stack import Stack

HANDLERS = ("run", "outcome", "withdraw")
"""The handlers of a request for approval, besides `decide`."""

replaying = pytest.mark.parametrize("running", ["replaying"], indirect=True)


T = TypeVar("T")


@asynccontextmanager
async def approving(folder: Path, server: str) -> AsyncIterator[Stack]:
    """The agents of this pattern on this kind of server, and the bank's service as a separate process."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command: list[str | Path] = [sys.executable, ROOT / "lab/bank.py", "--port", str(port)]
    command += ["--ledger", str(folder / "funds.sqlite")]
    async with (
        processes.running("The funds service", command, folder / "funds.log") as bank,
        stack.running(
            folder,
            frameworks=FRAMEWORKS,
            pattern=APPROVAL,
            server_env=SERVERS[server],
            agent_env={"FUNDS_URL": url, "MODEL_TIMEOUT": "3"},
        ) as running,
    ):
        await bank.until(f"{url}/reservations")
        yield running


def funds(running: Stack, id: str) -> str:
    """`reserved`, `released` or `none`."""
    return Bank(running.folder / "funds.sqlite").all().get(id, "none")


async def requests(running: Stack, id: str, handler: str = "run") -> list[dict[str, Any]]:
    """The invocations of this handler of a claim's request for approval."""
    return await journal.query(
        running.admin,
        "SELECT id, status FROM sys_invocation WHERE target_service_name LIKE '%ClaimApproval'"
        f" AND target_service_key = '{id}' AND target_handler_name = '{handler}'",
    )


async def until_waiting(running: Stack, id: str) -> Waiting:
    async def found() -> Waiting | None:
        return (await waiting(running.admin)).get(id)

    claim = await until(found)
    assert claim
    return claim


async def until(condition: Callable[[], Awaitable[T]]) -> T:
    """The condition's first true value."""
    async with asyncio.timeout(60):
        while True:
            if value := await condition():
                return value
            await asyncio.sleep(POLL)


async def say(
    running: Stack,
    framework: Framework,
    id: str,
    approved: object = True,
    reason: str = "invoice seen",
    pattern: Pattern = APPROVAL,
    **more: object,
) -> httpx.Response:
    """Decide as a person."""
    return await decide(
        running.ingress, service(framework, pattern), id, {"approved": approved, "reason": reason, **more}
    )


async def settled(running: Stack, id: str, money: str) -> None:
    """Wait until the request has ended, and the money is in this state."""

    async def so_it_is() -> bool:
        handlers = [row for handler in HANDLERS for row in await requests(running, id, handler)]
        over = {row["status"] for row in handlers} <= {"completed"} and id not in await waiting(running.admin)
        return over and funds(running, id) == money

    await until(so_it_is)
