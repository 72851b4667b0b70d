"""The process of an agent, or of another server: it is health-checked, and restarted when it ends or freezes."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from shared.watchdog import FROZEN, patience
from tour.runtime import named, processes
from tour.runtime.frameworks import Framework
from tour.runtime.processes import Process

Say = Callable[[str], None]


def quiet(line: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Restart:
    """A restart of a server: its time (s since the epoch), and the pid and exit code of the process that ended.

    No code: the process was killed because it did not answer.
    """

    at: float
    pid: int
    code: int | None

    @property
    def frozen(self) -> bool:
        return self.code in (None, FROZEN)

    @property
    def why(self) -> str:
        """The reason, such as `froze (exit code 70)`, with the server as the subject."""
        if self.code is None:
            return "froze (no answer)"
        if self.code < 0:
            return f"was killed ({signal.Signals(-self.code).name})"
        return f"froze (exit code {FROZEN})" if self.frozen else f"ended (exit code {self.code})"


@dataclass
class Server:
    """A process that answers on a port, and keeps the port over restarts."""

    port: int
    process: Process
    restarts: list[Restart] = field(default_factory=list, kw_only=True)
    """The restarts by `kept`."""

    @property
    def url(self) -> str:
        return named.url(self.process.env.get("HOST", named.LOOPBACK), self.port)

    @property
    def health(self) -> str:
        return f"{self.url}/health"

    @property
    def http2(self) -> bool:
        """Whether it speaks only HTTP/2, as Restate's server for Node does."""
        return str(self.process.command[-1]).endswith(".ts")

    async def ready(self) -> None:
        """Wait until it answers. Raises: TourError if it ends, or does not answer in 60 s."""
        await self.process.until(self.health, http2=self.http2)

    @asynccontextmanager
    async def kept(self, say: Say = quiet) -> AsyncIterator[None]:
        """While the block runs, restart it whenever it ends or stops answering; `say` gets a line about it."""
        keeping = asyncio.create_task(self._keep(say))
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def _keep(self, say: Say) -> None:
        while True:
            pid, code = self.process.pid, await self._gone()
            await asyncio.sleep(0.1)  # a planned crash may end it again at once
            await self.process.restart()
            self.restarts.append(Restart(time.time(), pid, code))
            again = f"restarted as pid {self.process.pid}"
            say(f"{self.process.name} {self.restarts[-1].why}: {again}, and its claims continue.")

    async def _gone(self) -> int | None:
        """Wait until it has ended, and return its exit code; None if it has twice not answered in `patience`.

        A server whose event loop stands still ends itself before that, and logs where it was.
        """
        child, silences = self.process.child, 0
        while silences < 2:
            try:
                return await asyncio.wait_for(child.wait(), patience() / 3)
            except TimeoutError:
                silent = await processes.silent(self.health, patience(), self.http2)
                silences = silences + 1 if silent else 0
        return None

    async def restart(self) -> None:
        """Kill it, unless it has ended, and restart it; Restate continues its claims. Raises: TourError."""
        await self.process.restart()
        await self.ready()


@dataclass
class Agent(Server):
    """The process of one framework's agent."""

    framework: Framework
