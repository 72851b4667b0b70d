"""Does a setting of the server that keeps durability make a step faster? Each runs against the embedded server."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel
from rich.console import Console

from bench.growth import LOOP, SERVICE, timed
from bench.measuring import Block, Extent, one_at_a_time
from bench.pieces import side_of
from tour.runtime import stack
from tour.runtime.stack import Stack

OURS = "the embedded server"

SETTINGS: Mapping[str, Mapping[str, str]] = {
    OURS: {},
    "24 partitions": {"RESTATE_DEFAULT_NUM_PARTITIONS": "24"},
    "the replicated log": {"RESTATE_BIFROST__DEFAULT_PROVIDER": "replicated"},
    "a log without compression": {"RESTATE_BIFROST__LOCAL__ROCKSDB_DISABLE_WAL_COMPRESSION": "true"},
    "commits that wait 1 ms for others": {"RESTATE_BIFROST__LOCAL__WRITER_BATCH_COMMIT_DURATION": "1ms"},
    "one command in a batch": {"RESTATE_WORKER__MAX_COMMAND_BATCH_SIZE": "1"},
    "queues of 64 entries": {
        "RESTATE_WORKER__INTERNAL_QUEUE_LENGTH": "64",
        "RESTATE_WORKER__INVOKER__IN_MEMORY_QUEUE_LENGTH_LIMIT": "64",
    },
    "8 threads": {"RESTATE_DEFAULT_THREAD_POOL_SIZE": "8"},
    "2 GB of memory for RocksDB": {"RESTATE_ROCKSDB_TOTAL_MEMORY_SIZE": "2GB"},
}
"""The variables of each server."""

NEW_CONNECTION = "a new connection for each request"

STEPS = 3
"""Parallel steps of an invocation, as in a claim."""


class Setting(BaseModel):
    """Invocations with `STEPS` steps that take no time, one at a time, under this setting."""

    name: str
    blocks: list[Block]


async def settings(folder: Path, extent: Extent, console: Console) -> list[Setting]:
    """Measure all in turns. Raises: TourError."""
    async with AsyncExitStack() as exits:
        servers: dict[str, Stack] = {}
        for number, (name, env) in enumerate(SETTINGS.items()):
            running = stack.running(folder / str(number), frameworks=[LOOP], pattern=SERVICE, server_env=env)
            servers[name] = await exits.enter_async_context(running)
        sides = {name: side_of(running, STEPS) for name, running in servers.items()}
        sides[NEW_CONNECTION] = replace(sides[OURS], send=_on_new_connections(servers[OURS]))
        blocks = await one_at_a_time([*sides.values()], extent, console, "Settings of the server")
    return [Setting(name=name, blocks=of) for name, of in zip(sides, blocks, strict=True)]


def _on_new_connections(running: Stack) -> Callable[[], Awaitable[None]]:
    async def send() -> None:
        async with running.restate.ingress_client() as ingress:
            await timed(replace(running, ingress=ingress), steps=STEPS)

    return send
