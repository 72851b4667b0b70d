"""A Prefect server for as long as a block runs: on loopback only, without telemetry.

    uv run python -m bench.peers.prefect_server

The settings are Prefect's defaults: SQLite in WAL mode with `synchronous=NORMAL`, in `PREFECT_HOME`. A Postgres, if
given, keeps its own.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.peers import environments
from tour.runtime.frameworks import ROOT
from tour.runtime.processes import Process, free_port, running

SCRIPT = ROOT / "bench" / "peers" / "prefect_agent.py"
QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "WARNING",
}


@dataclass(frozen=True)
class PrefectServer:
    """A server, and the variables with which an agent reaches it."""

    process: Process
    env: dict[str, str]


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
    interpreter = await environments.python(SCRIPT, folder / "uv.log")
    command: list[str | Path] = [interpreter, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    command += ["--port", str(port)]
    async with running("The Prefect server", command, folder / "server.log", env) as process:
        url = f"http://127.0.0.1:{port}/api"
        await process.until(f"{url}/health")
        yield PrefectServer(process, {**env, "PEER_STORE": url, "PYTHONPATH": str(ROOT)})


async def _main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with serving(Path(folder)) as server:
            print(*(f"{name}={value}" for name, value in server.env.items()), flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
