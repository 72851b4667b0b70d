"""`tour upgrade`: the code of an agent changes while claims wait for a person.

Version 2 is a copy of the agent's file with one change. It is deployed beside version 1, as it should be, and then in
place of it, as it should not be: the replay of a claim that waits meets another journal, error 570. The ways out are
tried one by one. Whatever is printed is read from Restate, the lab's ledger or the bank's.
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
from rich.text import Text

from lab.funds import Funds
from shared.claims import sample_claims
from tour.boot import say
from tour.runtime import journal, processes, stack
from tour.runtime.approvals import decide, waiting
from tour.runtime.errors import TourError
from tour.runtime.frameworks import APPROVAL, Framework
from tour.runtime.processes import POLL, free_port
from tour.runtime.stack import CHECKS, Agent, Stack
from tour.tables import FittedTable

STEPS = """\
        ctx.run_typed("eligibility", check_eligibility, claim=claim),
        ctx.run_typed("cost", compare_to_standard_rates, claim=claim),
        fraud := ctx.run_typed("fraud", check_fraud, claim=claim),
"""
"""The lines of version 1 that change."""

ELIGIBILITY, COST, FRAUD = STEPS.splitlines(keepends=True)

BEGUN = {"version 1": ("eligibility", "cost", "fraud"), "version 2": ("fraud", "eligibility", "cost")}
"""The order in which the code of each version begins the checks."""

ATTEMPTS = "4"

SETTINGS = {
    # After so many failed attempts Restate pauses an invocation. Its default is 70, the last of them hours later.
    "RESTATE_DEFAULT_RETRY_POLICY__MAX_ATTEMPTS": ATTEMPTS,
    "RESTATE_DEFAULT_RETRY_POLICY__ON_MAX_ATTEMPTS": "pause",
    # A claim that waits is suspended, and replayed when it goes on. Its default is a minute.
    "RESTATE_WORKER__INVOKER__INACTIVITY_TIMEOUT": "500ms",
}

IN_TIME = 30.0
"""Seconds in which each thing that is waited for has to happen."""

T = TypeVar("T")


def version_2(source: str) -> str:
    """Version 2 of an agent's file: it begins with the fraud check. Raises: ValueError when that cannot be edited."""
    if source.count(STEPS) != 1:
        raise ValueError(f"these lines are there {source.count(STEPS)} times, not once:\n{STEPS}")
    return source.replace(STEPS, FRAUD + ELIGIBILITY + COST)


async def run(frameworks: Sequence[Framework], console: Console) -> None:
    """Change the code of the first of these frameworks' agents while claims wait, and say whether the rule held.

    Raises: TourError; typer.Exit with code 1, logs and journals kept, when something did not hold.
    """
    if os.environ.get("RESTATE_ADMIN_URL"):
        raise TourError("The upgrade needs a Restate of its own.", "Unset RESTATE_ADMIN_URL: then it starts one.")
    framework, began = frameworks[0], time.monotonic()
    if framework.on_node:
        raise TourError(f"{framework.title} runs on Node.", "Choose a framework in Python, such as --only restate_loop")
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
    """One run. `verdict` says of each statement whether it held; `exits` ends the processes that are started here."""

    running: Stack
    framework: Framework
    console: Console
    exits: AsyncExitStack
    verdict: dict[str, bool] = field(default_factory=dict)

    async def run(self) -> None:
        old = self.running.agents[self.framework.name]
        source = self.framework.script(APPROVAL).read_text()
        changed = self.running.folder / "version_2.py"
        changed.write_text(version_2(source))

        self.heading("Version 2 beside version 1")
        self.diff(source, changed.read_text())
        first = await self.deployment(old)
        waits, *others = [await self.send(number) for number in range(1, 6)]
        new = await self.serve("version_2", changed, free_port())
        second = await self.deployment(new)
        newer = await self.send(6)
        self.line("Claims 1 to 5 wait for a person on version 1. Version 2 is registered at")
        self.line("another address, and claim 6 waits on it. A person approves claims 1 and 6.")
        await self.approve(waits)
        await self.approve(newer)
        answers = [await self.running.answer(id) for id in (waits, newer)]
        await self.table({"1": waits, "6": newer}, {first: old, second: new})
        self.verdict["a claim finishes on the code that began it"] = (
            all(answer.startswith("Approved:") for answer in answers)
            and await self.begun(waits) == (first, BEGUN["version 1"])
            and await self.begun(newer) == (second, BEGUN["version 2"])
        )

        self.heading("May version 1 be removed?")
        open_ = await self.pinned(first)
        self.line(f"{open_} invocations are pinned to it: not yet.")
        refused = (await self.running.admin.delete(f"/deployments/{first}")).status_code
        self.line(f"Restate does not count them: DELETE /deployments/{{id}} answers {refused} without `force`,")
        self.line("and with it breaks what is open.")

        self.heading("Version 2 in place of version 1")
        await self.until(self.all_suspended)
        await old.process.stop()
        in_place = await self.serve("in_place", changed, old.port)
        self.line(f"Version 2 now listens on version 1's port, {old.port}. A person approves claims 2 to 5.")
        for id in others:
            await self.approve(id)
        stuck = [await self.until(lambda id=id: self.paused(id)) for id in others]  # type: ignore[misc]
        self.line(f"After {ATTEMPTS} attempts each, Restate pauses them ({len(stuck)} of {len(others)}). It says:")
        self.quote(stuck[0])
        self.verdict["in place, the replay meets another journal: 570"] = all("[570]" in each for each in stuck)

        self.heading("The ways out")
        killed, moved, back, patched = others
        await self.cancel_kill_and_restart(killed)
        await self.resume_elsewhere(moved, new)
        await self.put_back(back, old, in_place)
        await self.move_the_deployment(patched, first, old)
        self.verdict["the old code, wherever it runs, finishes them and repeats nothing"] = all(
            [await self.finished_once(id) for id in (moved, back, patched)]
        )

        self.heading("And now?")
        left = await self.pinned(first)
        removed = (await self.running.admin.delete(f"/deployments/{first}?force=true")).status_code if not left else 0
        gone = (await self.running.admin.get(f"/deployments/{first}")).status_code
        self.line(f"{left} invocations are pinned to version 1: it is removed ({removed}), and not found ({gone}).")
        self.verdict["version 1 is removed when nothing is pinned to it, and not before"] = (
            open_ > 0 and left == 0 and gone == 404
        )

    async def cancel_kill_and_restart(self, id: str) -> None:
        """The ways that need no old code."""
        await self.running.admin.patch(f"/invocations/{id}/cancel")
        await self.until(lambda: self.paused(id))
        await self.running.admin.patch(f"/invocations/{id}/kill")
        answer = await self.running.answer(id)
        money = Funds(self.running.folder / "funds.sqlite").all().get(id)
        again = (await self.running.admin.patch(f"/invocations/{id}/restart-as-new")).json()["new_invocation_id"]
        await self.until(lambda: self.waits(again))
        await self.approve(again)
        restarted = await self.running.answer(again)
        ran = self.ran(id) + self.ran(again)
        self.line("claim 2  cancel: the replay that would undo things meets 570, too: paused again.")
        self.line(f"         kill: {answer}. Nothing is undone: its money is still {money}.")
        self.line("         restart-as-new: another claim. The person is asked again, and")
        self.line(f"         the checks ran {_times(ran)}.")
        self.verdict["cancelling does not help, and a restart asks and checks again"] = (
            answer == "409: killed"
            and money == "reserved"
            and restarted.startswith("Approved:")
            and ran == Counter(dict.fromkeys(CHECKS, 2))
        )

    async def resume_elsewhere(self, id: str, new: Agent) -> None:
        """The old code at another address, as a deployment of its own."""
        old = await self.serve("version_1_elsewhere", self.framework.script(APPROVAL), free_port())
        there = await self.deployment(old)
        await self.resume(id, f"?deployment={there}")
        await self.answered("3", id, f"resumed on another deployment with the old code, :{old.port}")
        # Its registration has made the old code the latest one: new claims would go there.
        await stack.register(self.running.admin, f"http://127.0.0.1:{new.port}")
        await self.running.admin.delete(f"/deployments/{there}?force=true")
        await old.process.stop()

    async def put_back(self, id: str, old: Agent, in_place: Agent) -> None:
        await in_place.process.stop()
        await old.restart()
        await self.resume(id)
        await self.answered("4", id, f"the old code is back on its port, :{old.port}; resumed")

    async def move_the_deployment(self, id: str, first: str, old: Agent) -> None:
        """The old code at another address, to which its deployment moves with all that is pinned to it."""
        await old.process.stop()
        elsewhere = await self.serve("version_1_moved", self.framework.script(APPROVAL), free_port())
        address = f"http://127.0.0.1:{elsewhere.port}"
        (await self.running.admin.patch(f"/deployments/{first}", json={"uri": address})).raise_for_status()
        await self.resume(id)
        await self.answered("5", id, f"the deployment is moved to the old code, :{elsewhere.port}; resumed")

    async def answered(self, number: str, id: str, way: str) -> None:
        answer = (await self.running.answer(id)).partition(":")[0]
        self.line(f"claim {number}  {way}:")
        self.line(f"         {answer}; the checks ran {_times(self.ran(id))}.")

    async def resume(self, id: str, where: str = "") -> None:
        (await self.running.admin.patch(f"/invocations/{id}/resume{where}")).raise_for_status()

    async def serve(self, name: str, script: Path, port: int) -> Agent:
        """The agent in this file, on this port. Raises: TourError."""
        env = {**self.running.agents[self.framework.name].process.env, "PORT": str(port)}
        process = await self.exits.enter_async_context(
            processes.running(f"The agent {name}", stack.command(script), self.running.folder / f"{name}.log", env)
        )
        agent = Agent(self.framework, port, process)
        await agent.ready()
        return agent

    async def deployment(self, agent: Agent) -> str:
        """The id of the agent's deployment, which is registered unless it is. Raises: httpx.HTTPError."""
        uri = f"http://127.0.0.1:{agent.port}"
        response = await self.running.admin.post("/deployments", json={"uri": uri, "force": False})
        id: str = response.raise_for_status().json()["id"]
        return id

    async def send(self, number: int) -> str:
        """A claim of which a person decides; returns its id when it waits."""
        reason = f"a broken leg, claim {number}"
        claim = sample_claims()["broken-leg"].model_copy(update={"amount": 6000.0, "reason": reason})
        id = await self.running.submit(self.framework, claim, f"user{number}", "upgrade")
        await self.until(lambda: self.waits(id))
        return id

    async def approve(self, id: str) -> None:
        service = f"{self.framework.prefix(APPROVAL)}.ClaimApproval"
        decision: dict[str, object] = {"approved": True, "reason": "invoice seen"}
        (await decide(self.running.ingress, service, id, decision)).raise_for_status()

    async def waits(self, id: str) -> bool:
        return id in await waiting(self.running.admin)

    async def all_suspended(self) -> bool:
        rows = await self.query("SELECT status FROM sys_invocation WHERE status != 'completed'")
        return all(row["status"] == "suspended" for row in rows)

    async def paused(self, id: str) -> str:
        """The failure for which Restate has paused this claim; empty while it is not paused."""
        if not await self.query(f"SELECT id FROM sys_invocation WHERE id = '{id}' AND status = 'paused'"):
            return ""
        (invocation,) = (await journal.read(self.running.admin, id)).values()
        failure = next(failure for failure in reversed(invocation.failures) if failure.message)
        return f"[{failure.code}] {failure.message}"

    async def pinned(self, deployment: str) -> int:
        """The number of open invocations that only this deployment can finish."""
        rows = await self.query(
            f"SELECT id FROM sys_invocation WHERE pinned_deployment_id = '{deployment}' AND status != 'completed'"
        )
        return len(rows)

    async def begun(self, id: str) -> tuple[str, tuple[str, ...]]:
        """The deployment of this claim, and its checks in the order of the journal."""
        (row,) = await self.query(f"SELECT pinned_deployment_id AS pinned FROM sys_invocation WHERE id = '{id}'")
        (invocation,) = (await journal.read(self.running.admin, id)).values()
        return row["pinned"], tuple(step.name for step in invocation.checks)

    def ran(self, id: str) -> Counter[str]:
        """How often each check has begun, as the lab's ledger has it."""
        ledger = self.running.lab.ledger()
        return Counter(entry.step for entry in ledger if entry.invocation == id and entry.event == "start")

    async def finished_once(self, id: str) -> bool:
        answer = await self.running.answer(id)
        return answer.startswith("Approved:") and self.ran(id) == Counter(CHECKS)

    async def query(self, sql: str) -> list[dict[str, Any]]:
        return await journal.query(self.running.admin, sql)

    async def until(self, condition: Callable[[], Awaitable[T]]) -> T:
        """The first value of this that is true. Raises: TourError when there is none in time."""
        try:
            async with asyncio.timeout(IN_TIME):
                while not (value := await condition()):
                    await asyncio.sleep(POLL)
                return value
        except TimeoutError as error:
            raise TourError(
                f"A claim is not where it should be after {IN_TIME:g} s.", f"Logs: {self.running.folder}"
            ) from error

    def heading(self, text: str) -> None:
        self.console.print(f"\n[bold]{text}[/]", highlight=False)

    def line(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False)

    def quote(self, text: str) -> None:
        for line in text.splitlines():
            self.console.print(Text(f"  {line}", "dim"), soft_wrap=False)

    def diff(self, before: str, after: str) -> None:
        lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=1, lineterm="")
        for line in list(lines)[3:]:  # after the names of the files and the numbers of the lines
            color = {"+": "green", "-": "red"}.get(line[0], "dim")
            self.console.print(Text(line, color))

    async def table(self, claims: dict[str, str], deployments: dict[str, Agent]) -> None:
        rows = []
        for number, id in claims.items():
            deployment, steps = await self.begun(id)
            rows.append((number, deployment, str(deployments[deployment].port), ", ".join(steps), _times(self.ran(id))))
        headings = ["claim", "deployment", "port", "checks in the journal", "ran"]
        self.console.print(FittedTable(headings, rows, left=headings))


def _times(ran: Counter[str]) -> str:
    """How often each check ran: `once`, or a number for each."""
    counts = {ran[check] for check in CHECKS}
    return {1: "once", 2: "twice"}.get(min(counts), str(counts)) if len(counts) == 1 else str(dict(ran))
