"""Start a Python program by forking a process that has already imported its packages: 0.2 s instead of 3 s.

The program is a separate process, which a `kill -9` ends. A restarted program comes from another zygote, with another
hash seed, as after a real start. Tests about starts use real starts; `REAL_STARTS=1 uv run pytest` makes all tests do
so.
"""

import asyncio
import itertools
import json
import os
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

from tests import zygote
from tour.runtime import processes
from tour.runtime.forking import possible as forking_is_possible
from tour.runtime.processes import POLL, Child

HOME = "TOUR_TESTS_ZYGOTES"
"""The variable with the folder of the zygotes' sockets. The folder's name begins with the pid of the zygotes' owner."""

KINDS = ("agents", "google.adk.agents", "pydantic_ai", "langchain.agents", "uvicorn", "openai")
"""A zygote imports at most one of these: an agent must not find another agent's SDK loaded."""


def possible() -> bool:
    """Whether this machine can fork as needed, and real starts are not requested."""
    return not os.environ.get("REAL_STARTS") and HOME in os.environ and forking_is_possible()


TOUR = "from tests import forking; forking.install(); from tour.cli import main; main()"
"""The command line as a program for `python -c`, with forked agents."""


def install(start: bool = True) -> None:
    """From now on, this process forks Python programs where possible.

    Without `start`, programs without a zygote get a real start.
    """
    if possible():
        processes.spawn = spawn if start else partial(spawn, start=False)


@contextmanager
def forking() -> Iterator[None]:
    """While the block runs, fork Python programs where possible."""
    before = processes.spawn
    install()
    try:
        yield
    finally:
        processes.spawn = before


async def spawn(command: Sequence[str | Path], log: Path, env: Mapping[str, str], start: bool = True) -> Child:
    """Like `processes.spawn`; a program that is not in Python gets a real start."""
    executable, *arguments = map(str, command)
    if executable != sys.executable or arguments[0] == "-c":
        return await processes.spawn_process(command, log, env)
    program = _file(arguments)
    path = _socket(program, log)
    if not start and not path.exists():
        return await processes.spawn_process(command, log, env)
    log.touch()  # a start opens it, too, before it returns
    forked = await _connected(path, program)
    await forked.ask(
        {
            "arguments": arguments,
            "env": {**os.environ, **env},
            "log": str(log),
            "cwd": str(Path.cwd()),
            "namespaces": f"/proc/{os.getpid()}/ns",
        }
    )
    return forked


class Forked(asyncio.Protocol):
    """A child of a zygote, with the interface of `asyncio.subprocess.Process`."""

    pid = 0
    returncode: int | None = None

    def __init__(self, log: Path) -> None:
        self._log = log
        self._received = b""
        self._started, self._ended = asyncio.Event(), asyncio.Event()

    async def ask(self, request: Mapping[str, object]) -> None:
        """Ask the zygote to fork. Raises: OSError if the zygote ends instead."""
        try:
            self._transport.write(json.dumps(request).encode() + b"\n")
            await self._started.wait()
        except asyncio.CancelledError:
            self._transport.close()
            raise
        if not self.pid:
            raise OSError(f"the zygote has ended, and said:\n{self._log.read_text()}")

    async def wait(self) -> int:
        """Wait until it has ended; returns its exit code."""
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, signum: int) -> None:
        os.kill(self.pid, signum)

    def terminate(self) -> None:
        self.send_signal(15)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            said = json.loads(line)
            if "pid" in said:
                self.pid = said["pid"]
                self._started.set()
            else:
                self._has_ended(said["returncode"])
                self._transport.close()

    def connection_lost(self, problem: Exception | None) -> None:
        self._started.set()
        self._has_ended(-9)  # the zygote has ended, and its children with it

    def _has_ended(self, code: int) -> None:
        if self.returncode is None:
            self.returncode = code
            self._ended.set()


async def _connected(path: Path, program: Path) -> Forked:
    log = path.with_suffix(".log")
    for attempt in itertools.count():
        try:
            _, forked = await asyncio.get_running_loop().create_unix_connection(partial(Forked, log), str(path))
        except OSError:
            if attempt == 0:
                owner = path.parent.name.partition("-")[0]
                with log.open("ab") as said:
                    starting = await asyncio.create_subprocess_exec(
                        *(sys.executable, zygote.__file__, path, owner, program),
                        stdin=DEVNULL,
                        stdout=said,
                        stderr=said,
                    )
                assert await starting.wait() == 0
            await asyncio.sleep(POLL)
        else:
            return forked
    raise AssertionError


def _file(arguments: Sequence[str]) -> Path:
    if arguments[0] == "-m":
        return zygote.ROOT / arguments[1].replace(".", "/") / "__main__.py"
    return Path(arguments[0]).resolve()


_before: dict[Path, int] = {}


def _socket(program: Path, log: Path) -> Path:
    number = _before[log] = (_before.get(log, 1) + 1) % 2
    return Path(os.environ[HOME]) / f"{_kind(program)}-{number}"


@cache
def _kind(program: Path) -> str:
    imported = {*zygote.packages(program)}
    return next((kind for kind in KINDS if kind in imported), "other")
