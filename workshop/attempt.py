"""One attempt at an exercise: the learner's file runs as a process on a real Restate server.

A chapter's check drives an `Attempt`: it starts the file, plans faults, and kills the process. It reports each fact
that `holds`, or raises `Wrong` with the lines of the journal or the ledger that show the mistake.
"""

import ast
import asyncio
import json
import re
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from rich.console import Console

from lab.ledger import Entry, Fault
from offline_model.faults import STEP as MODEL
from offline_model.faults import digest
from tour import report, show
from tour.runtime import journal, processes, stack
from tour.runtime.agents import Agent, Say
from tour.runtime.errors import TourError
from tour.runtime.frameworks import FAN_OUT, PYTHON, Framework, Pattern
from tour.runtime.journal import Invocation, Step
from tour.runtime.processes import Process
from tour.runtime.stack import CHECKS, Stack

PATIENCE = 30.0
"""Seconds that a claim may take, faults included, before the check gives up."""

MODEL_LATENCY = 0.1
"""The offline model's latency, in seconds."""


class Wrong(Exception):
    """The exercise is not solved: the problem in the learner's terms, and the lines that show it."""

    def __init__(self, problem: str, *shown: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.shown = shown


@dataclass(frozen=True)
class Claim:
    """The outcome of one claim. `runs`: the number of starts of each step and each turn of the model (`model 0`)."""

    answer: str
    invocation: Invocation
    runs: Mapping[str, int]
    ledger: tuple[Entry, ...]

    def line(self, step: Step, note: str = "") -> str:
        """The step's line of the journal, with times in seconds since the claim arrived."""
        ended = f"{self._since(step.end)}" if step.end else "no result"
        width = max([14, *(len(json.dumps(other.name)) for other in self.invocation.steps)])
        line = f"journal #{step.index:<2} run {json.dumps(step.name):<{width}} {self._since(step.start)} → {ended}"
        return f"{line}   ← {note}" if note else line

    def _since(self, moment: float) -> str:
        return f"{(moment - self.invocation.created) / 1000:.2f} s"

    def lines(self, **notes: str) -> list[str]:
        """The lines of all steps; `notes` are appended to the steps with these names."""
        lines = [self.line(step, notes.get(step.name, "")) for step in self.invocation.steps]
        return lines or [f"journal: {self.invocation.entries} entries, none of them a step"]

    def checks(self) -> tuple[Step, ...]:
        """The steps of the three checks, in the order of the journal. Raises: Wrong unless each is there once."""
        found = Counter(step.name for step in self.invocation.steps)
        for name in CHECKS:
            if not found[name]:
                raise Wrong(f"{name} is not a durable step: it is not in the journal.", *self.lines())
        if (calls := max(found[name] for name in CHECKS)) > 1:
            raise Wrong(
                f"The model called the tool {times(calls)}: it could not use the first result. Does the tool return "
                "values, or futures?",
                *self.lines(),
            )
        return tuple(step for step in self.invocation.steps if step.name in CHECKS)

    def at_once(self, *steps: str) -> int:
        """The largest number of these steps that worked at the same time, by the ledger.

        The journal has a step from its creation on, but the work of a step starts when it is awaited. After a kill the
        number is too large: in the ledger, a step that was in flight never ends.
        """
        changes = [{"start": 1, "end": -1}.get(entry.event, 0) for entry in self.ledger if entry.step in steps]
        return max(accumulate(changes), default=0)

    def starts(self, step: str) -> list[str]:
        """The ledger's lines on a step: each start, and how it ended."""
        return ledger_lines([entry for entry in self.ledger if entry.step == step])


def same_answer(attempt: "Attempt", claim: Claim) -> None:
    """Report the decision on the claim `broken-leg`. Raises: Wrong when it disagrees with the checks."""
    if not claim.answer.startswith("Approved: eligible; reasonable"):
        raise Wrong(f"The broken leg should be approved, but the answer is: {claim.answer or 'empty'}", *claim.lines())
    attempt.holds(f"the answer: {claim.answer}")


def times(number: int) -> str:
    """The number as an adverb: once, twice, 3 times."""
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def ledger_lines(entries: Sequence[Entry]) -> list[str]:
    """The ledger's lines, with times in seconds since the first. The line of a check names the agent's process."""
    return [
        f"ledger {entry.at - entries[0].at:5.2f} s  {_name(entry)} {entry.event}"
        + ("" if entry.step == MODEL else f" ({entry.detail})" if entry.detail else f", pid {entry.pid}")
        for entry in entries
    ]


def _name(entry: Entry) -> str:
    """The step, or the turn of the model: `model 0`."""
    if entry.step != MODEL or entry.event != "start":
        return entry.step
    return f"{MODEL} {json.loads(entry.detail)['turn']}"


@dataclass
class Running:
    """The learner's running agent."""

    stack: Stack
    agent: Agent
    attempt: "Attempt"
    back: asyncio.Event
    """Set at each restart of the agent."""

    def plan(self, *faults: Fault) -> None:
        """Replace the planned faults by these."""
        self.stack.lab.clear_plan()
        self.stack.lab.plan(*faults)

    async def kind(self) -> str:
        """The kind of the service: `Service` or `VirtualObject`; empty if no service has the expected name."""
        response = await self.stack.admin.get(f"/services/{self.agent.framework.service(self.stack.pattern)}")
        return str(response.json().get("ty", ""))

    async def send(self, body: Any, key: str = "", headers: Mapping[str, str] | None = None) -> str:
        """Send a request to the handler `run`; returns its invocation id. Raises: Wrong if Restate refuses it."""
        path = self.agent.framework.path(key, self.stack.pattern)
        response = await self.stack.ingress.post(f"/restate/send/{path}", json=body, headers=headers)
        if response.status_code >= 300:
            raise Wrong(f"Restate refused the request: {response.text}", f"POST /restate/send/{path}")
        id: str = response.json()["invocationId"]
        return id

    async def ended(self, id: str, prompt: str = "") -> Claim:
        """Wait for the answer of an invocation. Raises: Wrong if the learner's code fails or never ends."""
        answering = asyncio.create_task(self.stack.answer(id))
        try:
            async with asyncio.timeout(PATIENCE):
                while not answering.done():
                    await asyncio.wait({answering}, timeout=0.2)
                    self._watch_for_errors((await journal.read(self.stack.admin, id)).get(id))
        except TimeoutError:
            seen = await self.look(id, "", prompt)
            failed = [f"journal: attempt failed with {f.code}: {f.message}" for f in seen.invocation.failures[-1:]]
            raise Wrong(f"There is no answer after {PATIENCE:g} s.", *seen.lines(), *failed) from None
        finally:
            answering.cancel()
        return await self.look(id, answering.result(), prompt)

    async def look(self, id: str, answer: str = "", prompt: str = "") -> Claim:
        """The records of an invocation so far, from the journal and the ledger."""
        invocation = (await journal.read(self.stack.admin, id))[id]
        entries = tuple(self.stack.lab.ledger(invocations=[id, digest(prompt)]))
        return Claim(answer, invocation, starts(entries), entries)

    async def until(self, id: str, seen: Callable[[Claim], bool], event: str, prompt: str = "") -> Claim:
        """Wait until `seen` holds. Raises: Wrong if that takes too long, or the invocation ends first."""
        claim = await self.look(id, prompt=prompt)
        for _ in range(int(PATIENCE / 0.05)):
            if seen(claim):
                return claim
            self._watch_for_errors(claim.invocation)
            if claim.invocation.completed:
                break
            await asyncio.sleep(0.05)
            claim = await self.look(id, prompt=prompt)
        raise Wrong(f"Never seen: {event}.", *claim.lines())

    async def kill(self) -> None:
        """Kill the learner's process with `kill -9`, and restart it."""
        self.back.clear()
        self.attempt.say(f"kill -9 {self.agent.process.pid}")
        await self.agent.process.kill()
        await self.back.wait()
        self.agent.restarts.clear()
        await self.agent.ready()

    async def until_killed(self, id: str) -> None:
        """Wait until a planned crash kills the learner's process in this invocation, and restart it. Raises: Wrong."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not self.agent.restarts:
                    self._watch_for_errors((await journal.read(self.stack.admin, id)).get(id))
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise Wrong("Your agent never reached the step at which it is killed.") from None
        self._watch_for_errors(None)
        self.attempt.say(f"kill -9 {self.agent.restarts.pop().pid}")
        await self.agent.ready()

    def draw(self, title: str, claim: Claim) -> None:
        """Draw the claim's timeline."""
        self.draw_all({title: claim})

    def draw_all(self, claims: Mapping[str, Claim]) -> None:
        """Draw the timelines of claims that arrived at the same time, on one scale."""
        runs = {
            title: report.run_of(claim.answer, claim.invocation, claim.ledger, (0, 0), "")
            for title, claim in claims.items()
        }
        self.attempt.console.print(show.timelines(runs, self.attempt.console.width))

    def _watch_for_errors(self, invocation: Invocation | None) -> None:
        """Raises: Wrong for an error of the learner's own code, which Restate would retry forever."""
        if any(restart.frozen for restart in self.agent.restarts):
            in_file = rf'File "[^"]*{re.escape(self.attempt.file.name)}", (line \d+) in (\w+)'
            frame = re.search(in_file, self.agent.process.log.read_text(errors="replace"))
            raise Wrong(
                "Your agent froze: its event loop stood still.",
                *([f"{self.attempt.file.name}, {frame[1]}, in {frame[2]}"] if frame else []),
            )
        if not invocation:
            return
        _watch_for_mismatch(invocation)
        own = [f for f in invocation.failures if f.trace and "planned by the lab" not in f.message]
        if not own:
            return
        in_file = rf'^  File "[^"]*{re.escape(self.attempt.file.name)}", (line \d+), in .+\n +(.+)$'
        where = [f"{self.attempt.file.name}, {at}: {code}" for at, code in re.findall(in_file, own[-1].trace, re.M)]
        raise Wrong(
            f"Your code raises {own[-1].message}"
            + (": this is a future, not its value; await it." if "DurableFuture" in own[-1].message else ""),
            *where[-1:],
            f"journal: attempt failed with {own[-1].code}: {own[-1].message.strip().splitlines()[0]}",
        )


def _watch_for_mismatch(invocation: Invocation) -> None:
    """Raises: Wrong if a replay does not match the journal. Such an error has no traceback, and no retry can pass."""
    found = next((failure.message for failure in invocation.failures if failure.code == 570), None)
    if found is None:
        return
    difference = " ".join(found.partition("Difference:")[2].split()) or found
    names = re.search(r"^\s*name: (.+) != (.+)$", found, re.MULTILINE)
    raise Wrong(
        f"A replay asks for {names[2]} where the journal has {names[1]}."
        if names
        else "A replay does not match the journal of the first attempt.",
        *Claim("", invocation, {}, ()).lines(**({names[1]: f"the replay asks for {names[2]}"} if names else {})),
        f"journal: attempt failed with 570: {difference}",
    )


def starts(entries: Sequence[Entry]) -> Mapping[str, int]:
    """The number of starts of each step and each turn of the model (`model 0`)."""
    return Counter(_name(entry) for entry in entries if entry.event == "start")


Stacks = Callable[[Framework | None, Pattern, Say], AbstractAsyncContextManager[Stack]]
"""A stack with the agent of a framework, or with none."""


@asynccontextmanager
async def new_stack(framework: Framework | None, pattern: Pattern, say: Say) -> AsyncIterator[Stack]:
    """A new stack: Restate, the offline model, and the agent. Raises: TourError."""
    with tempfile.TemporaryDirectory(prefix="tour-workshop-") as folder:
        frameworks = [framework] if framework else []
        async with stack.running(
            Path(folder), frameworks=frameworks, pattern=pattern, model_latency=MODEL_LATENCY, say=say
        ) as running:
            yield running


@dataclass
class Attempt:
    """An attempt at the exercise in `file`."""

    file: Path
    console: Console = field(default_factory=Console)
    stacks: Stacks = new_stack

    def say(self, line: str) -> None:
        self.console.print(line, style="dim", soft_wrap=True, highlight=False)

    def holds(self, fact: str) -> None:
        """Report one fact that is correct."""
        self.console.print(f"[green]✓[/] {fact}", soft_wrap=True, highlight=False)

    @asynccontextmanager
    async def running(
        self,
        service: str = FAN_OUT.service,
        framework: Framework = PYTHON[0],
        *,
        streams: bool = False,
    ) -> AsyncIterator[Running]:
        """Run Restate, the offline model, and the learner's file, which serves `service`.

        With `streams`, the server of the claims' streams runs, too. Raises: Wrong if the file does not run, or serves
        another name.
        """
        self._compile()
        pattern = Pattern("exercise", "your agent", str(self.file.resolve()), service, streams=streams)
        back = asyncio.Event()
        try:
            async with (
                self.stacks(framework, pattern, self.say) as running,
                running.agents_kept(lambda line: back.set()),
            ):
                yield Running(running, running.agents[framework.name], self, back)
        except TourError as error:
            if str(framework.name) not in error.problem:  # not the learner's fault
                raise
            raise Wrong(f"{self.file.name} does not run: {error.problem}") from error

    @asynccontextmanager
    async def script(self) -> AsyncIterator[tuple[Stack, Process]]:
        """Run the learner's file as a plain program, with the offline model and the lab, but without an agent.

        Raises: Wrong if the file does not run.
        """
        self._compile()
        async with self.stacks(None, FAN_OUT, self.say) as running:
            command: list[str | Path] = [sys.executable, self.file.resolve()]
            log = running.folder / "program.log"
            async with processes.running("your program", command, log, running.env("plain")) as process:
                yield running, process

    def constant(self, name: str) -> Any:
        """The literal that the file assigns to `name`, without running the file. Raises: Wrong."""
        for node in self._compile().body:
            target = (
                node.targets[0]
                if isinstance(node, ast.Assign)
                else node.target
                if isinstance(node, ast.AnnAssign)
                else None
            )
            if isinstance(target, ast.Name) and target.id == name and node.value:  # type: ignore[attr-defined]
                try:
                    return ast.literal_eval(node.value)  # type: ignore[attr-defined]
                except ValueError:
                    raise Wrong(
                        f"{name} should hold only plain values.", f"{self.file.name}, line {node.lineno}"
                    ) from None
        raise Wrong(f"{self.file.name} no longer has {name}.")

    def imports(self) -> set[str]:
        """The modules and names that the file imports, without running the file. Raises: Wrong."""
        found = set()
        for node in ast.walk(self._compile()):
            if isinstance(node, ast.Import):
                found |= {name.name for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                found |= {f"{node.module}.{name.name}" for name in node.names}
        return found

    def _compile(self) -> ast.Module:
        try:
            return ast.parse(self.file.read_text(), self.file.name)
        except SyntaxError as error:
            raise Wrong("This is not valid Python.", *traceback.format_exception_only(error)) from None
