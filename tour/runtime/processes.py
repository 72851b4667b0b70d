"""The child processes of the tour: started in their own process group, ended in order, never left behind."""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import Any, Protocol

import httpx
import psutil

from tour.runtime.errors import TourError
from tour.runtime.zygote import PRCTL, end_with

POLL = 0.02
"""Seconds between two checks of whether a process is ready: it cannot report that itself."""


class Child(Protocol):
    """The part of `asyncio.subprocess.Process` used here."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    async def wait(self) -> int: ...
    def send_signal(self, signum: int, /) -> None: ...
    def terminate(self) -> None: ...


@dataclass
class Process:
    """A child process; its output goes to the file `log`."""

    name: str
    command: Sequence[str | Path]
    log: Path
    env: Mapping[str, str]
    child: Child

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def alive(self) -> bool:
        return self.child.returncode is None

    async def stop(self, grace: float = 5.0) -> None:
        """End the process and its children: SIGTERM, then SIGKILL after `grace` seconds, or at once when cancelled.

        Does nothing if the process has ended. An agent that waits for a model call (`DRAIN`) gets no longer.
        """
        self._signal(signal.SIGTERM)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.child.wait(), grace)
        finally:
            self._signal(signal.SIGKILL)
        await self.child.wait()

    async def restart(self) -> None:
        """Kill the process, unless it has ended, and restart its command. Raises: TourError."""
        await self.kill()
        self.child = (await start(self.name, self.command, self.log, self.env)).child

    async def kill(self) -> None:
        """End the process and its children with SIGKILL, as a crash would."""
        self._signal(signal.SIGKILL)
        await self.child.wait()

    def _signal(self, signum: signal.Signals) -> None:
        # Not child.send_signal(): it may reap a child that ends at that moment, and asyncio then reports code 255.
        if self.alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended (macOS: not permitted)
                os.killpg(self.pid, signum)

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    async def until(self, ready: Callable[[], bool] | str, timeout: float = 60.0, http2: bool = False) -> None:
        """Wait until `ready()` holds, or until the address `ready` answers 200; with `http2`, only over HTTP/2.

        Raises: TourError, with the end of the log, if the process ends first or `timeout` seconds have passed.
        """
        deadline = time.monotonic() + timeout
        async with _client(2, http2) as client:
            # A process that has ended is not ready, even if another program answers on its port.
            while not (await _answers(client, ready) if isinstance(ready, str) else ready()) or not self.alive:
                if not self.alive or time.monotonic() > deadline:
                    ended = f"ended with code {self.child.returncode}"
                    state = f"is not ready after {timeout:g} s" if self.alive else ended
                    said = f"It said:\n{tail}" if (tail := self.log_tail()) else "It said nothing."
                    raise TourError(f"{self.name} {state}. {said}", f"Its log: {self.log}")
                await asyncio.sleep(POLL)


async def silent(url: str, timeout: float, http2: bool = False) -> bool:
    """Whether a process does not answer in `timeout` seconds. A process that has ended refuses the connection."""
    async with _client(timeout, http2) as client:
        try:
            await client.get(url)
        except httpx.TimeoutException:
            return True
        except httpx.HTTPError:
            pass
        return False


def _client(timeout: float, http2: bool) -> httpx.AsyncClient:
    # Loopback needs no certificates, and loading them takes 60 ms of CPU.
    return httpx.AsyncClient(timeout=timeout, trust_env=False, verify=False, http1=not http2, http2=http2)


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    if not await _listens(httpx.URL(url)):  # takes a tenth of a request's CPU, which starting agents need
        return False
    try:
        return (await client.get(url)).status_code == 200
    except httpx.HTTPError:
        return False


async def _listens(url: httpx.URL) -> bool:
    try:
        _, writer = await asyncio.open_connection(url.host, url.port)
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def running(
    name: str, command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """A child process, while the block runs. `env` is added to our environment. Raises: TourError."""
    process = await start(name, command, log, env)
    try:
        yield process
    finally:
        await process.stop()


async def start(name: str, command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None) -> Process:
    """Start a child process. `env` is added to our environment, and its output is appended to `log`.

    On Linux the child ends with us, even if we are killed. Call this from the main thread: for Linux, the parent of a
    child is the thread that started it. A cancellation leaves no process. Raises: TourError if the command cannot run.
    """
    env = {"RESTATE_AUTH_TOKEN": "", **(env or {})}  # only we may use it
    try:
        child = await spawn(command, log, env)
    except OSError as error:
        raise TourError(
            f"{name} cannot be started: {error}", "Make sure that the file exists and may be executed."
        ) from error
    return Process(name, command, log, env, child)


async def spawn_process(
    command: Sequence[str | Path], log: Path, env: Mapping[str, str], stdin: int = asyncio.subprocess.DEVNULL
) -> Child:
    """Start a child process that ends with us. `stdin` is a file descriptor. Raises: OSError."""
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=stdin,
            stdout=output,
            stderr=output,
            env={**os.environ, **env},
            process_group=0,  # Ctrl-C in the terminal then reaches only us; we end the children in order
            preexec_fn=partial(end_with, os.getpid()) if PRCTL else None,
        )


spawn: Callable[[Sequence[str | Path], Path, Mapping[str, str]], Coroutine[Any, Any, Child]] = spawn_process
"""The function that starts a child. The tests and `tour workshop watch` replace it with a faster one."""


def free_port() -> int:
    """A free TCP port on loopback, different at each call and in each process. Raises: TourError."""
    while True:
        port = next(_ports)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


BLOCK = 100
PORTS = range(20_000, 32_700)
"""Linux and macOS do not use these for outgoing connections, so a port stays free until its server listens on it."""


def _reserved_ports() -> Iterator[int]:
    """The ports of one block after another. A block is ours while we hold the UDP port of its first number."""
    for first in SystemRandom().sample(PORTS[::BLOCK], len(PORTS) // BLOCK):
        reservation = socket.socket(type=socket.SOCK_DGRAM)
        try:
            reservation.bind(("127.0.0.1", first))
        except OSError:  # another process has it
            reservation.close()
        else:
            reservation.detach()  # stays open until this process ends
            yield from range(first, first + BLOCK)
    raise TourError(f"No port from {PORTS[0]} to {PORTS[-1]} is free.", "End the programs that listen there.")


_ports = _reserved_ports()


def who_listens(port: int) -> str | None:
    """The program that listens on a loopback port, such as `node (pid 123)`; None if the port is free."""
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return None
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.pid and connection.laddr[1:] == (port,):
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return "another program"
