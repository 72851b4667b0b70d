"""Record the journals of this release: a claim for each framework and pattern, on the tour's stack.

    uv run python -m tests.journals.record

The entries come from Restate's table `sys_journal`. The Start message, with the seed of an invocation's random numbers,
is in no table: a proxy between Restate and the agent reads it.
"""

import asyncio
import tempfile
from pathlib import Path

import httpx
from hyperframe.frame import DataFrame, Frame

from shared.claims import sample_claims
from tests.faults.proxy import Proxy, before_the_agents
from tests.journals.corpus import PATTERNS, RELEASE, Entry, Journal, type_of
from tests.proof import protocol
from tour.runtime import journal, stack
from tour.runtime.approvals import approving_all
from tour.runtime.frameworks import FAN_OUT, Framework, Pattern
from tour.runtime.stack import Stack

CLAIM = sample_claims()["broken-leg"]
_PREFACE = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")


def start_of(invocation: str, proxy: Proxy) -> bytes:
    """The Start message of an invocation's first attempt, which reached the agent through this proxy."""
    for connection in proxy.connections:
        for stream in _streams(bytes(connection.sent[_PREFACE:])):
            type, content = next(protocol.frames(stream), (-1, b""))
            if type == protocol.START and protocol.parsed("Start", content).debug_id == invocation:
                return content
    raise LookupError(f"The server has sent no Start message of {invocation}.")


def _streams(sent: bytes) -> list[bytearray]:
    """The contents of the requests on an HTTP/2 connection."""
    streams: dict[int, bytearray] = {}
    while len(sent) >= 9:
        frame, length = Frame.parse_frame_header(memoryview(sent[:9]))
        if isinstance(frame, DataFrame):
            frame.parse_body(memoryview(sent[9 : 9 + length]))
            streams.setdefault(frame.stream_id, bytearray()).extend(frame.data)
        sent = sent[9 + length :]
    return [*streams.values()]


async def recorded(running: Stack, framework: Framework, pattern: Pattern, proxy: Proxy) -> Journal:
    """The journal of one claim. Raises: httpx.HTTPError."""
    invocation = await running.submit(framework, CLAIM, "journals", "journals", pattern=pattern)
    answer = await running.answer(invocation)
    return Journal(
        RELEASE,
        framework,
        pattern,
        f"/invoke/{framework.service(pattern)}/run",
        start_of(invocation, proxy),
        await entries(running.admin, invocation, answer),
    )


async def entries(admin: httpx.AsyncClient, invocation: str, answer: str) -> tuple[Entry, ...]:
    """The entries of a claim that has ended."""
    sql = f"SELECT entry_type, raw FROM sys_journal WHERE id = '{invocation}' ORDER BY index"
    found = [Entry(type_of(row["entry_type"]), bytes.fromhex(row["raw"])) for row in await journal.query(admin, sql)]
    if not found or found[-1].type != protocol.OUTPUT:
        raise LookupError(f"The claim {invocation} has no output in its journal. It ended with {answer}")
    return tuple(found)


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="journals-") as folder:
        async with (
            stack.running(Path(folder), pattern=FAN_OUT, say=print) as running,
            approving_all(running.admin, running.ingress, "seen"),
        ):
            for pattern in PATTERNS.values():
                await running.add(pattern)
                async with before_the_agents(running, pattern) as proxies:
                    for name, agent in running.agents_of(pattern).items():
                        made = await recorded(running, agent.framework, pattern, proxies[name])
                        made.write()
                        print(f"{made}: {len(made.entries)} entries")


if __name__ == "__main__":
    asyncio.run(main())
