"""Keeps the common parts of two checks of a file warm: Restate, the offline model, and imported packages.

Each check has a new agent, journal and ledger. Its agent has a new service prefix, so that Restate tells the attempts
apart; its process is a spare one, which has imported the file's packages.
"""

import asyncio
import itertools
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tour.runtime import journal, named, processes, stack
from tour.runtime.agents import Agent, Say
from tour.runtime.frameworks import Framework, Pattern
from tour.runtime.processes import Child, Process, free_port, spawn_process
from tour.runtime.stack import Stack
from workshop.attempt import MODEL_LATENCY

SPARES = 3
"""The number of waiting processes: a check of chapters 0 to 9 starts a file this often, including kills."""


@asynccontextmanager
async def warm(program: Path, say: Say) -> AsyncIterator["Warm"]:
    """The warm parts for the checks of this file, while the block runs. Raises: TourError."""
    with tempfile.TemporaryDirectory(prefix="tour-workshop-") as folder:
        async with stack.running(Path(folder), frameworks=(), model_latency=MODEL_LATENCY, say=say) as running:
            spares = Spares(program.resolve(), Path(folder) / "spares.log", running.env("spare"))
            before, processes.spawn = processes.spawn, spares.spawn
            try:
                yield Warm(running, spares)
            finally:
                processes.spawn = before
                await spares.end()


@dataclass
class Warm:
    """A lasting stack, and the spare processes."""

    stack: Stack
    spares: "Spares"
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @asynccontextmanager
    async def stacks(self, framework: Framework | None, pattern: Pattern, say: Say) -> AsyncIterator[Stack]:
        """The stack as if it were new, with the agent of `framework`, if any (`Stacks` in workshop/attempt.py).

        Raises: TourError.
        """
        self._forget()
        if framework is None:
            yield self.stack
            return
        if pattern.streams:
            await self.stack.add(pattern)  # it has no agents: this starts the server of the streams
        framework = replace(framework, service_prefix=f"{framework.prefix()}-{next(self._numbers)}")
        env = self.stack.env(framework.prefix(pattern))
        agent = await stack.boot(framework, pattern, self.stack.folder, free_port(), env)
        try:
            await agent.ready()
            await stack.register(self.stack.admin, named.agent_url(agent.port))
            yield replace(self.stack, agents={framework.name: agent}, pattern=pattern)
        finally:
            await self._leave(agent, pattern)

    async def _leave(self, agent: Agent, pattern: Pattern) -> None:
        """End the agent and its invocations, which Restate would retry forever."""
        await agent.process.kill()
        prefix = agent.framework.prefix(pattern)
        open_ones = (
            f"SELECT id FROM sys_invocation WHERE target_service_name LIKE '{prefix}.%' AND status <> 'completed'"
        )
        for row in await journal.query(self.stack.admin, open_ones):
            await self.stack.admin.patch(f"/invocations/{row['id']}/kill")

    def _forget(self) -> None:
        self.stack.lab.forget()
        for left in ("lab.sqlite.registry", "program.log"):
            (self.stack.folder / left).unlink(missing_ok=True)


@dataclass
class Spares:
    """Processes that have imported the packages of `program` (workshop/spare.py), each with the pipe for its order."""

    program: Path
    log: Path
    env: Mapping[str, str]
    _waiting: list[tuple[Process, int]] = field(default_factory=list)

    async def fill(self) -> None:
        """Start the missing processes, which import in the background."""
        while len(self._waiting) < SPARES:
            command: list[str | Path] = [sys.executable, "-m", "workshop.spare", self.program]
            read, write = os.pipe()
            try:
                child = await spawn_process(command, self.log, self.env, stdin=read)
            except BaseException:
                os.close(write)
                raise
            finally:
                os.close(read)
            self._waiting.append((Process("A spare process", command, self.log, self.env, child), write))

    async def spawn(self, command: Sequence[str | Path], log: Path, env: Mapping[str, str]) -> Child:
        """Like `processes.spawn`, except that a spare process becomes the program if the command starts it."""
        if [*map(str, command)] == [sys.executable, str(self.program)]:
            while self._waiting:
                spare, orders = self._waiting.pop(0)
                with os.fdopen(orders, "w") as pipe:
                    if spare.alive:
                        log.touch()  # a normal start also opens it before it returns
                        pipe.write(json.dumps({"log": str(log), "env": dict(env)}))
                        return spare.child
        return await spawn_process(command, log, env)

    async def end(self) -> None:
        """End the waiting processes."""
        waiting, self._waiting = self._waiting, []
        for _, orders in waiting:
            os.close(orders)
        await asyncio.gather(*(spare.kill() for spare, _ in waiting))
