"""`tour upgrade`: the code of an agent changes while claims wait for a person.

Version 2 is a copy of the agent's file with one change. It is deployed beside version 1, as it should be, and then in
place of it, as it should not be: the replay of a waiting claim ends in a journal mismatch, error 570. The command tries
the ways out one by one. All output comes from Restate, the lab's ledger or the bank's.
"""

import asyncio
import difflib
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from lab.bank import Bank
from shared.claims import sample_claims
from tour.boot import say
from tour.runtime import journal, processes, stack
from tour.runtime.agents import Agent
from tour.runtime.approvals import decide, service, waiting
from tour.runtime.errors import TourError
from tour.runtime.frameworks import APPROVAL, Framework
from tour.runtime.journal import Invocation
from tour.runtime.processes import POLL, free_port
from tour.runtime.stack import CHECKS, Stack
from tour.tables import FittedTable

STEPS = "in CHECKS.items()}"
"""The end of the line of version 1 that changes."""

BEGUN = (CHECKS, CHECKS[::-1])
"""The order in which the code of each version begins the checks."""

SETTINGS = {
    # Restate pauses an invocation after this number of failed attempts. The default is 70.
    "RESTATE_DEFAULT_RETRY_POLICY__MAX_ATTEMPTS": "4",
    "RESTATE_DEFAULT_RETRY_POLICY__ON_MAX_ATTEMPTS": "pause",
    # After this time, a waiting claim is suspended, to be replayed later. The default is a minute.
    "RESTATE_WORKER__INVOKER__INACTIVITY_TIMEOUT": "500ms",
}

IN_TIME = 30.0
"""Seconds for each wait."""

T = TypeVar("T")


def version_2(source: str) -> str:
    """Version 2 of an agent's file, which begins with the fraud check. Raises: ValueError if it cannot be edited."""
    if source.count(STEPS) != 1:
        raise ValueError(f"expected once, found {source.count(STEPS)} times: {STEPS}")
    return source.replace(STEPS, "in reversed(CHECKS.items())}")


async def run(frameworks: Sequence[Framework], console: Console) -> None:
    """Change the code of this framework's agent while claims wait, and report whether each statement held.

    Raises: TourError; typer.Exit with code 1, logs and journals kept, if one did not hold.
    """
    if os.environ.get("RESTATE_ADMIN_URL"):
        raise TourError("The upgrade needs a separate Restate.", "Unset RESTATE_ADMIN_URL: then it starts one.")
    (framework, *more), began = frameworks, time.monotonic()
    if more or framework.on_node:
        raise TourError("The upgrade takes one framework, in Python.", "Choose one, such as --only restate_loop")
    folder = Path(tempfile.mkdtemp(prefix="tour-upgrade-"))
    async with (
        stack.running(
            folder, frameworks=[framework], pattern=APPROVAL, server_env=SETTINGS, say=say(console)
        ) as running,
        AsyncExitStack() as exits,
    ):
        upgrade = Upgrade(running, framework, console, exits)
        await upgrade.run()
    console.print()
    for statement, holds in upgrade.verdict.items():
        console.print(Text("holds     " if holds else "violated  ", "green" if holds else "bold red"), end="")
        console.print(statement, highlight=False)
    console.print(f"{framework.title}, {time.monotonic() - began:.0f} s", highlight=False)
    if not all(upgrade.verdict.values()):
        console.print(f"Logs, journals and ledger: {folder}", highlight=False, soft_wrap=True)
        raise typer.Exit(1)
    shutil.rmtree(folder)


@dataclass
class Upgrade:
    """One run. `verdict` has each statement and whether it held; `exits` ends the processes that are started here."""

    running: Stack
    framework: Framework
    console: Console
    exits: AsyncExitStack
    verdict: dict[str, bool] = field(default_factory=dict)

    async def run(self) -> None:
        """Run all parts in order. Raises: TourError; httpx.HTTPError."""
        old, version_1 = self.running.agents[self.framework.name], self.framework.script(APPROVAL)
        changed = self.running.folder / "version_2.py"
        changed.write_text(version_2(version_1.read_text()))

        self.heading("Version 2 beside version 1")
        self.diff(version_1.read_text(), changed.read_text())
        first, *others = [await self.send(number) for number in range(1, 6)]
        self.line("Claims 1 to 5 wait for a person on version 1.")
        new = await self.serve("version_2", changed, free_port())
        deployments = {await self.deployment(agent): agent for agent in (old, new)}
        newer = await self.send(6)
        self.line("Version 2 is registered at another address, and claim 6 waits on it.")
        self.line("A person approves claims 1 and 6:")
        await self.finish_on_their_code(first, newer, deployments)

        deployment, latest = deployments
        self.heading("May version 1 be removed?")
        await self.until(self.all_suspended)
        kept = not await self.remove_if_drained(deployment)
        code = (await self.running.admin.delete(f"/deployments/{deployment}")).status_code
        self.line(f"Restate leaves this to you: its DELETE answers {code} without `force=true`.")

        self.heading("Version 2 in place of version 1")
        await old.process.stop()
        in_place, elsewhere = await asyncio.gather(
            self.serve("version_2_in_place", changed, old.port),
            self.serve("version_1_elsewhere", version_1, free_port()),
        )
        self.line(f"Version 2 listens on :{old.port}, where version 1 was. A person approves claims")
        self.line("2 to 5. Their replay fails on every attempt, until Restate pauses them:")
        for id in others:
            await self.approve(id)
        failures = [await self.until_paused(id) for id in others]
        self.quote(failures[0])
        self.verdict["in place, each replay ends in a journal mismatch: 570"] = all(
            failure.startswith("[570]") for failure in failures
        )

        self.heading("The ways out")
        killed, resumed, back, moved = others
        await self.cancel_kill_and_restart(killed)
        await self.resume_on_another_deployment(resumed, elsewhere, latest, new)
        await self.put_the_old_code_back(back, old, in_place)
        await self.move_the_deployment(moved, deployment, old, elsewhere)
        self.verdict["with the old code they finish, and nothing is repeated"] = all(
            [await self.finished_once(id) for id in (resumed, back, moved)]
        )

        self.heading("May version 1 be removed now?")
        self.verdict["version 1 is removed when nothing is pinned to it, not before"] = (
            kept and await self.remove_if_drained(deployment)
        )

    async def finish_on_their_code(self, first: str, newer: str, deployments: dict[str, Agent]) -> None:
        rows, held = [], True
        for number, id, expected, begun in zip("16", (first, newer), deployments, BEGUN, strict=True):
            await self.approve(id)
            answer = await self.running.answer(id)
            (row,) = await self.query(f"SELECT pinned_deployment_id AS pinned FROM sys_invocation WHERE id = '{id}'")
            (invocation,) = (await journal.read(self.running.admin, id)).values()
            checks = tuple(step.name for step in invocation.checks)
            held &= answer.startswith("Approved:") and row["pinned"] == expected and checks == begun
            port = f":{deployments[row['pinned']].port}"
            rows.append((number, row["pinned"], port, ", ".join(checks), _times(self.ran(id))))
        headings = ["claim", "deployment", "port", "checks in the journal", "ran"]
        self.console.print(FittedTable(headings, rows, left=headings))
        self.verdict["a claim finishes on the code that began it"] = held

    async def remove_if_drained(self, deployment: str) -> bool:
        """Remove the deployment unless an open invocation is pinned to it; returns whether it is gone."""
        pinned = await self.query(
            f"SELECT id FROM sys_invocation WHERE pinned_deployment_id = '{deployment}' AND status != 'completed'"
        )
        if not pinned:
            await self.running.admin.delete(f"/deployments/{deployment}?force=true")
        code = (await self.running.admin.get(f"/deployments/{deployment}")).status_code
        self.line(
            f"{len(pinned)} open invocations are pinned to it: {'no' if pinned else 'yes'}. Its GET answers {code}."
        )
        return code == 404

    async def cancel_kill_and_restart(self, id: str) -> None:
        """Try the ways out that do without the old code."""
        (invocation,) = (await journal.read(self.running.admin, id)).values()
        await self.running.admin.patch(f"/invocations/{id}/cancel")
        again = await self.until_paused(id, known=len(_failures(invocation)))
        self.line(f"claim 2  cancel: the replay that undoes things fails, too: {again[:5]}, and paused.")
        await self.running.admin.patch(f"/invocations/{id}/kill")
        answer = await self.running.answer(id)
        money = Bank(self.running.folder / "funds.sqlite").all().get(id)
        self.line(f"         kill: the answer is {answer!r}. The money is still {money}.")
        new = (await self.running.admin.patch(f"/invocations/{id}/restart-as-new")).json()["new_invocation_id"]
        await self.until(lambda: self.waits(new))
        await self.approve(new)
        restarted, ran = await self.running.answer(new), self.ran(id) + self.ran(new)
        self.line("         restart-as-new: a new claim, for which the person is asked again.")
        self.line(f"         {_verdict(restarted)}; in all, each check ran {_times(ran)}.")
        self.verdict["a cancel does not end it; a restart asks and checks again"] = (
            again.startswith("[570]")
            and answer == "409: killed"
            and money == "reserved"
            and restarted.startswith("Approved:")
            and ran == Counter(dict.fromkeys(CHECKS, 2))
        )

    async def resume_on_another_deployment(self, id: str, elsewhere: Agent, latest: str, new: Agent) -> None:
        there = await self.deployment(elsewhere)
        await self.resume(id, f"?deployment={there}")
        await self.answered(f"claim 3  resume on another deployment, with the old code on :{elsewhere.port}.", id)
        taken = await self.latest() == there
        await stack.register(self.running.admin, f"http://127.0.0.1:{new.port}")
        self.line("         New claims go there, too, until version 2 is registered again.")
        self.verdict["what is registered last gets the new claims"] = taken and await self.latest() == latest
        await self.running.admin.delete(f"/deployments/{there}?force=true")

    async def put_the_old_code_back(self, id: str, old: Agent, in_place: Agent) -> None:
        await in_place.process.stop()
        await old.restart()
        await self.resume(id)
        await self.answered(f"claim 4  put the old code back on :{old.port}, and resume.", id)

    async def move_the_deployment(self, id: str, deployment: str, old: Agent, elsewhere: Agent) -> None:
        await old.process.stop()
        address = {"uri": f"http://127.0.0.1:{elsewhere.port}"}
        (await self.running.admin.patch(f"/deployments/{deployment}", json=address)).raise_for_status()
        await self.resume(id)
        await self.answered(f"claim 5  move the deployment to the old code on :{elsewhere.port}, and resume.", id)

    async def answered(self, way: str, id: str) -> None:
        self.line(way)
        self.line(f"         {_verdict(await self.running.answer(id))}; each check ran {_times(self.ran(id))}.")

    async def resume(self, id: str, where: str = "") -> None:
        (await self.running.admin.patch(f"/invocations/{id}/resume{where}")).raise_for_status()

    async def serve(self, name: str, script: Path, port: int) -> Agent:
        """The agent in this file, on this port. Raises: TourError."""
        env = {**self.running.agents[self.framework.name].process.env, "PORT": str(port)}
        process = await self.exits.enter_async_context(
            processes.running(f"The agent {name}", stack.command(script), self.running.folder / f"{name}.log", env)
        )
        agent = Agent(port, process, self.framework)
        await agent.ready()
        return agent

    async def deployment(self, agent: Agent) -> str:
        """The id of the agent's deployment, registered if necessary. Raises: httpx.HTTPError."""
        uri = f"http://127.0.0.1:{agent.port}"
        response = await self.running.admin.post("/deployments", json={"uri": uri, "force": False})
        id: str = response.raise_for_status().json()["id"]
        return id

    async def send(self, number: int) -> str:
        """Send a claim that needs a person's decision; returns its id when it waits."""
        reason = f"a broken leg, claim {number}"
        claim = sample_claims()["broken-leg"].model_copy(update={"amount": 6000.0, "reason": reason})
        id = await self.running.submit(self.framework, claim, f"user{number}", "upgrade")
        await self.until(lambda: self.waits(id))
        return id

    async def approve(self, id: str) -> None:
        decision: dict[str, object] = {"approved": True, "reason": "invoice seen"}
        (await decide(self.running.ingress, service(self.framework), id, decision)).raise_for_status()

    async def waits(self, id: str) -> bool:
        return id in await waiting(self.running.admin)

    async def all_suspended(self) -> bool:
        rows = await self.query("SELECT status FROM sys_invocation WHERE status != 'completed'")
        return all(row["status"] == "suspended" for row in rows)

    async def until_paused(self, id: str, known: int = 0) -> str:
        """Wait until Restate has paused this claim, after more than `known` failures; returns the last one.

        Raises: TourError if the claim is answered instead.
        """

        async def paused() -> str:
            (invocation,) = (await journal.read(self.running.admin, id)).values()
            if invocation.status == "completed":
                raise TourError(
                    "A claim was answered; its replay should have ended in a journal mismatch.",
                    f"Logs: {self.running.folder}",
                )
            failed = _failures(invocation)
            return failed[-1] if invocation.status == "paused" and len(failed) > known else ""

        return await self.until(paused)

    async def latest(self) -> str:
        """The deployment that gets new claims."""
        service = self.framework.service(APPROVAL)
        (row,) = await self.query(f"SELECT deployment_id FROM sys_service WHERE name = '{service}'")
        return str(row["deployment_id"])

    def ran(self, id: str) -> Counter[str]:
        """How often each check has begun, according to the lab's ledger."""
        ledger = self.running.lab.ledger(invocations=[id])
        return Counter(entry.step for entry in ledger if entry.event == "start")

    async def finished_once(self, id: str) -> bool:
        answer = await self.running.answer(id)
        return answer.startswith("Approved:") and self.ran(id) == Counter(CHECKS)

    async def query(self, sql: str) -> list[dict[str, Any]]:
        return await journal.query(self.running.admin, sql)

    async def until(self, condition: Callable[[], Awaitable[T]]) -> T:
        """The condition's first true value. Raises: TourError if there is none in time."""
        try:
            async with asyncio.timeout(IN_TIME):
                while True:
                    if value := await condition():
                        return value
                    await asyncio.sleep(POLL)
        except TimeoutError as error:
            raise TourError(
                f"A claim is not where it should be after {IN_TIME:g} s.", f"Logs: {self.running.folder}"
            ) from error

    def heading(self, text: str) -> None:
        self.console.print(f"\n[bold]{text}[/]", highlight=False)

    def line(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False)

    def quote(self, text: str) -> None:
        self.console.print(Padding(Text(text, "dim"), (0, 0, 0, 2)))

    def diff(self, before: str, after: str) -> None:
        lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=1, lineterm="")
        for line in list(lines)[3:]:  # skips the file names and line numbers
            color = {"+": "green", "-": "red"}.get(line[0], "dim")
            self.console.print(Text(line, color))


def _times(ran: Counter[str]) -> str:
    """How often each check ran: `once`, or a number for each."""
    counts = {ran[check] for check in CHECKS}
    return {1: "once", 2: "twice"}.get(min(counts), str(counts)) if len(counts) == 1 else str(dict(ran))


def _failures(invocation: Invocation) -> list[str]:
    return [f"[{failure.code}] {failure.message}" for failure in invocation.failures if failure.message]


def _verdict(answer: str) -> str:
    """The first word of an answer, such as `Approved`."""
    return answer.partition(":")[0]
