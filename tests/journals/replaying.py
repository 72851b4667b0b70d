"""Replays of a journal, as the server would begin them after a crash, on a real agent process without a server."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.journals.corpus import Entry, Journal
from tests.proof import protocol
from tests.proof.protocol import parsed
from tour.runtime import node, stack
from tour.runtime.agents import Agent
from tour.runtime.processes import free_port, running


class Diverged(AssertionError):
    """Today's code does not match the journal."""

    def __init__(self, journal: Journal, at: int, known: int, found: str) -> None:
        entry = f"entry {at}, {journal.entries[at]}" if at < len(journal.entries) else "its end"
        super().__init__(
            f"{journal.framework.title}, {journal.pattern.title}: the journal that release {journal.release} recorded "
            f"diverges at {entry}. Replayed with its first {known} entries: {found}. Claims in flight would break: "
            "run the new version beside the old deployment (docs/upgrade.md), or restore the order of the steps."
        )


@asynccontextmanager
async def agent_of(journal: Journal, folder: Path, model: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of today's agent for a journal, with the offline model at this address. Raises: TourError."""
    await node.able([journal.framework], print)
    port, name = free_port(), journal.framework.prefix(journal.pattern)
    env = {
        "PORT": str(port),
        "HOST": "127.0.0.1",
        "TOUR_SERVICE_PREFIX": name,
        "FUNDS_LEDGER": str(folder / "funds.sqlite"),
        "OPENAI_BASE_URL": f"{model}/{name}/v1",
        "GOOGLE_GEMINI_BASE_URL": f"{model}/{name}",
        **journal.pattern.env,
    }
    script = journal.framework.script(journal.pattern)
    async with running(f"The agent {name}", stack.command(script), folder / "agent.log", env) as process:
        await Agent(port, process, journal.framework).ready()
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", http1=False, http2=True, trust_env=False, timeout=30
        ) as agent:
            yield agent


async def replay(journal: Journal, agent: httpx.AsyncClient, points: Iterable[int]) -> None:
    """Begin an attempt at each of these numbers of entries. Raises: Diverged; httpx.HTTPError."""
    for known in points:
        response = await agent.post(
            journal.path, content=journal.request(known), headers={"content-type": protocol.CONTENT_TYPE}
        )
        response.raise_for_status()
        _check(journal, known, [*protocol.frames(bytearray(response.content))])


def _check(journal: Journal, known: int, answer: list[tuple[int, bytes]]) -> None:
    """Assert that the attempt makes the next commands, at least up to the next result, and suspends or ends."""
    commands = [number for number, entry in enumerate(journal.entries) if entry.is_command]
    for type, content in answer:
        if type == protocol.ERROR:
            error = parsed("Error", content)
            at = commands[error.related_command_index] if error.related_command_index < len(commands) else known
            raise Diverged(journal, at, known, f"error {error.code}, {' '.join(error.message.split())}")
    made = [Entry(type, content) for type, content in answer if type >= protocol.INPUT]
    left = [number for number in commands if number >= known]
    for number, entry in zip(left, made, strict=False):
        recorded = journal.entries[number]
        if str(entry) != str(recorded) or (entry.type == protocol.OUTPUT and entry != recorded):
            raise Diverged(journal, number, known, f"the agent makes {_shown(entry)}")
    if len(made) > len(left):
        raise Diverged(journal, len(journal.entries), known, f"the agent makes {_shown(made[len(left)])} as well")
    results = [number for number, entry in enumerate(journal.entries) if number >= known and not entry.is_command]
    if len(made) < len(left) and left[len(made)] < min(results, default=len(journal.entries)):
        raise Diverged(journal, left[len(made)], known, "the agent does not make it")
    over = known == len(journal.entries) or len(made) == len(left)
    if not answer or answer[-1][0] != (protocol.END if over else protocol.SUSPENSION):
        raise Diverged(journal, known, known, f"the agent neither suspends nor ends: {[type for type, _ in answer]}")


def _shown(entry: Entry) -> str:
    if entry.type != protocol.OUTPUT:
        return str(entry)
    output = parsed("Output", entry.content)
    return f"Output {output.value.content.decode() or output.failure.message}"
