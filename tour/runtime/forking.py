"""Starts the Python programs of a comparison a third faster: by forks of a process that has imported what they share.

Only on Linux: a fork of a process with macOS's libraries does not work reliably. Only the first start of a program is
a fork: a restart after a crash takes as long as elsewhere.
"""

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tour.runtime import processes
from tour.runtime.processes import Child, Process, spawn_process
from tour.runtime.restate_server import SERVER
from tour.runtime.zygote import PRCTL


@asynccontextmanager
async def first_starts() -> AsyncIterator[None]:
    """While the block runs, the first start of a Python program is a fork, if the zygote is there to do it."""
    if processes.spawn is not spawn_process or not possible() or not _adopt_orphans(True):
        yield
        return
    ours, its = socket.socketpair()
    ours.setblocking(False)
    command: list[str | Path] = [sys.executable, "-m", "tour.runtime.zygote"]
    child = await spawn_process(command, Path(os.devnull), {}, stdin=its.fileno())
    zygote = Process("The process that forks", command, Path(os.devnull), {}, child)
    its.close()
    processes.spawn = _Zygote(ours).spawn
    try:
        yield
    finally:
        processes.spawn = spawn_process
        _adopt_orphans(False)
        ours.close()
        await zygote.kill()


def possible() -> bool:
    """Whether the system tells of the end of a process that another one has forked."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):  # another system, or a kernel before 5.3
        return False
    return True


@dataclass
class _Zygote:
    orders: socket.socket
    _started: set[Path] = field(default_factory=set)
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def spawn(self, command: Sequence[str | Path], log: Path, env: Mapping[str, str]) -> Child:
        executable, *arguments = map(str, command)
        if log in self._started:
            return await spawn_process(command, log, env)
        self._started.add(log)
        if executable != sys.executable:
            return await spawn_process(command, log, {"NODE_COMPILE_CACHE": str(SERVER.home.parent / "node"), **env})
        order = {"arguments": arguments, "log": str(log), "env": {**os.environ, **env}, "parent": os.getpid()}
        loop, pid = asyncio.get_running_loop(), b""
        with contextlib.suppress(ConnectionError):
            async with self._asking:
                await loop.sock_sendall(self.orders, json.dumps(order).encode() + b"\n")
                pid = await loop.sock_recv(self.orders, 4)
        if not pid:  # it has ended
            return await spawn_process(command, log, env)
        log.touch()  # a start opens it, too, before it returns
        return _Forked(int.from_bytes(pid))


class _Forked:
    """A forked process, which is our child; it has the interface of `asyncio.subprocess.Process`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = asyncio.Event()
        self._fd = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._fd, self._reap)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
        self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self._ended.set()

    async def wait(self) -> int:
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, signum: int, /) -> None:
        os.kill(self.pid, signum)

    def terminate(self) -> None:
        self.send_signal(15)


def _adopt_orphans(yes: bool) -> bool:
    """Become the parent of orphans among our descendants, or cease to; returns whether the kernel has agreed."""
    return bool(PRCTL and PRCTL(_PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0) == 0)


_PR_SET_CHILD_SUBREAPER = 36
