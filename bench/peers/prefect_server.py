"""A Prefect server for as long as a block runs: on loopback only, without telemetry.

    uv run python -m bench.peers.prefect_server

The settings are Prefect's defaults: SQLite in WAL mode with `synchronous=NORMAL`, in `PREFECT_HOME`. A Postgres, if
given, keeps its own.
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tour.runtime.errors import TourError
from tour.runtime.frameworks import ROOT
from tour.runtime.processes import Process, free_port, running, start

SCRIPT = ROOT / "bench" / "peers" / "prefect_agent.py"
QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "WARNING",
}


async def python(log: Path) -> Path:
    """The interpreter of Prefect's own environment, which is installed from its lock file.

    Raises: TourError when uv is missing, or a package cannot be installed.
    """
    uv, script = os.environ.get("UV", "uv"), ("--script", str(SCRIPT))
    synced = await start("uv", [uv, "sync", "--quiet", "--locked", *script], log)
    if await synced.child.wait() != 0:
        raise TourError(f"Prefect cannot be installed:\n{synced.log_tail()}", f"Its log: {log}")
    found = await asyncio.create_subprocess_exec(
        *(uv, "python", "find", *script), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    said, _ = await found.communicate()
    return Path(said.decode().strip())


@dataclass(frozen=True)
class PrefectServer:
    """A server, the variables with which an agent reaches it, and the interpreter for the agent."""

    process: Process
    env: dict[str, str]
    python: Path


@asynccontextmanager
async def serving(folder: Path, database: str = "") -> AsyncIterator[PrefectServer]:
    """A new server. Its data are in `folder`, or in the Postgres with the `postgresql://` URL `database`.

    That Postgres needs `pg_trgm`. Raises: TourError when Prefect cannot be installed, or the server does not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    env = {**QUIET, "PREFECT_HOME": str(folder)}
    if database:
        env["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database.replace("postgresql:", "postgresql+asyncpg:", 1)
    interpreter = await python(folder / "uv.log")
    command: list[str | Path] = [interpreter, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    command += ["--port", str(port)]
    async with running("The Prefect server", command, folder / "server.log", env) as process:
        url = f"http://127.0.0.1:{port}/api"
        await process.until(f"{url}/health")
        yield PrefectServer(process, {**env, "PEER_STORE": url, "PYTHONPATH": str(ROOT)}, interpreter)


async def _main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with serving(Path(folder)) as server:
            print(*(f"{name}={value}" for name, value in server.env.items()), flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
