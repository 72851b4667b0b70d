"""The child processes of the tour: started in their own process group, ended in order, never left behind."""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tour.errors import TourError

POLL = 0.02
"""Seconds between two looks at a process that has no way of telling when it is ready."""


@dataclass
class Process:
    """A child process; its output goes to the file `log`."""

    name: str
    log: Path
    child: asyncio.subprocess.Process

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def alive(self) -> bool:
        return self.child.returncode is None

    async def stop(self, grace: float = 5.0) -> None:
        """End it: SIGTERM, then SIGKILL after `grace` seconds. Does nothing when it has ended already."""
        if self.alive:
            self.child.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.child.wait(), grace)
        await self.kill()

    async def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        if self.alive:
            self.child.kill()
        await self.child.wait()

    def log_tail(self, lines: int = 12) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    async def until(self, ready: Callable[[], bool] | str, timeout: float = 60.0) -> None:
        """Wait until `ready()` holds, or until the address `ready` answers 200.

        Raises: TourError, with the end of the log, when the process ends first or `timeout` seconds have passed.
        """
        deadline = time.monotonic() + timeout
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            while not (await _answers(client, ready) if isinstance(ready, str) else ready()):
                if not self.alive or time.monotonic() > deadline:
                    state = "is not ready" if self.alive else f"ended with code {self.child.returncode}"
                    raise TourError(f"{self.name} {state}. It said:\n{self.log_tail()}", f"Its log: {self.log}")
                await asyncio.sleep(POLL)


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == 200
    except httpx.HTTPError:
        return False


@asynccontextmanager
async def running(
    name: str, command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """A child process for as long as the block runs; its environment is ours, and `env` on top."""
    process = await start(name, command, log, env)
    try:
        yield process
    finally:
        await process.stop()


async def start(name: str, command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None) -> Process:
    """Start a child process that outlives no tour: on Linux it ends with us, even when we are killed."""
    with log.open("ab") as output:
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(env or {})},
            process_group=0,  # a Ctrl-C in the terminal reaches only us, and we end the children in order
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
    return Process(name, log, child)


def _end_with_parent() -> None:
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def free_port() -> int:
    """A TCP port on loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def who_listens(port: int) -> str | None:
    """The program that listens on a loopback port, such as `node (pid 123)`; None when the port is free."""
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return None
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.pid and connection.laddr[1:] == (port,):
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return "another program"
