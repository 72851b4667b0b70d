"""Every order in which the steps of a handler can end, and a crash after every entry of the journal.

    uv run python -m tests.proof.exhaustive

For each order, an invocation runs to its end. It runs again on a server that lets it suspend; and from each prefix of
its journal, as after a crash, with the rest of the order. No step starts that has a result; none is in flight when an
attempt ends; a step starts again only if it fails. Each journal becomes the same, entry by entry, but where a step
fails, whose retry may come later: then each replay still agrees with it.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Any

import restate
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from durable.branches import branches
from durable.held_steps import hold_failures
from tests.durable.programs import perform, together
from tests.proof.simulated import DELIVER, Choose, Invocation, Simulation, Violation, given


class Work(BaseModel):
    """Programs (tests/durable/programs.py), which a handler runs in a way of its own."""

    programs: list[Any]
    limit: int | None = None


service = restate.Service("Handlers", invocation_context_managers=[hold_failures])


@service.handler("one_after_another")
async def one_after_another(ctx: restate.Context, work: Work) -> list[str]:
    return [await perform(program, "") for program in work.programs]


@service.handler("tool_calls")
async def tool_calls(ctx: restate.Context, work: Work) -> list[str]:
    return await together(ctx, work.programs, "", work.limit)


@service.handler("in_branches")
async def in_branches(ctx: restate.Context, work: Work) -> list[str]:
    return await branches(ctx, {str(at): lambda each=each: perform(each, "") for at, each in enumerate(work.programs)})


app = restate.app([service])


@dataclass(frozen=True)
class Case:
    """A handler's work, and the plans of failures with which it is tried."""

    title: str
    handler: str
    work: Work
    plans: tuple[dict[str, int], ...] = ({},)
    delays: bool = False

    def invocation(self, plan: dict[str, int], **state: Any) -> Invocation:
        state = {"journal": [given(self.work.model_dump())]} | state
        return Invocation(app, f"/invoke/Handlers/{self.handler}", fails=plan, **state)


@dataclass
class Tried:
    """What was tried of a case."""

    simulation: Simulation
    orders: int = 0
    crashes: int = 0
    attempts: int = 0
    entries: int = 0
    """Of journals, that were replayed."""
    seconds: float = 0

    def run(self, invocation: Invocation, choose: Choose) -> Invocation:
        self.simulation.run(invocation, choose)
        self.attempts += invocation.attempts
        self.entries += invocation.replayed
        return invocation


def explore(case: Case) -> Tried:
    """Try a case. Raises: Violation."""
    began, tried = time.monotonic(), Tried(Simulation())
    for plan in case.plans:
        crashed = set[tuple[str, ...]]()
        for choose in every_order():
            tried.orders += 1
            whole = tried.run(case.invocation(plan, delays=case.delays), choose)
            require(Counter(whole.ended) == {step: 1 + max(plan.get(step, 0), 0) for step in whole.done}, whole)
            same(tried.run(case.invocation(plan, suspends=True), following(whole.ended)), whole, whole.ended)
            for at, number in enumerate(whole.ended_before, 2):
                known, ended, rest = whole.journal[:at], whole.ended[:number], whole.ended[number:]
                state = (*map(str, known), *sorted(ended), *rest)
                if state not in crashed:
                    crashed.add(state)
                    tried.crashes += 1
                    again = tried.run(case.invocation(plan, journal=known, ended=ended), following(rest))
                    same(again, whole, rest)
    tried.seconds = time.monotonic() - began
    return tried


def same(again: Invocation, whole: Invocation, rest: list[str]) -> None:
    """It has done what was left to do, and nothing else. Raises: Violation."""
    require(again.starts == Counter(rest), again)
    one, other = list(map(str, again.journal)), list(map(str, whole.journal))
    require(sorted(one) == sorted(other) if whole.fails else one == other, again)
    require(again.journal[-1] == whole.journal[-1], again)


def require(holds: bool, invocation: Invocation) -> None:
    if not holds:
        raise Violation(f"started: {dict(invocation.starts)}; the journal: {', '.join(map(str, invocation.journal))}")


def every_order() -> Iterator[Choose]:
    """What chooses, for one run after another, until each order of choices has been taken."""
    path: list[int] = []
    while True:
        options: list[int] = []

        def choose(names: list[str], path: list[int] = path, options: list[int] = options) -> str:
            at = len(options)
            options.append(len(names))
            if at == len(path):
                path.append(0)
            return names[path[at]]

        yield choose
        while path and path[-1] + 1 == options[-1]:
            path.pop()
            options.pop()
        if not path:
            return
        path[-1] += 1


def following(order: list[str]) -> Choose:
    """What chooses the steps in this order, where they are in flight."""
    left = list(order)

    def choose(options: list[str]) -> str:
        if DELIVER in options:
            return DELIVER
        chosen = next((step for step in left if step in options), None)
        if chosen is None:
            raise Violation(f"{', '.join(options)} in flight, and left is {left}")
        left.remove(chosen)
        return chosen

    return choose


def steps(*names: str) -> list[Any]:
    return [["step", name] for name in names]


def tools(number: int, of: int) -> list[Any]:
    return [steps(*(f"{tool}{at}" for at in range(1, of + 1))) for tool in "abcd"[:number]]


def fan_out(width: int) -> Case:
    """Up to two failures: passing ones or terminal ones, of one step or of two."""
    names = "abcde"[:width]
    plans: list[dict[str, int]] = [{}]
    plans += [{name: times} for name in names for times in (1, 2, -1)]
    plans += [{one: 1, other: 1} for one, other in combinations(names, 2)]
    plans += [{one: -1, other: 1} for one, other in permutations(names, 2)]
    plans += [{one: -1, other: -1} for one, other in combinations(names, 2)]
    work = Work(programs=[[["gather", list(names)]]])
    return Case(f"a fan-out of {width}, up to 2 failures", "one_after_another", work, tuple(plans))


def failing(programs: list[Any]) -> tuple[dict[str, int], ...]:
    """Each step fails, one at a time: it passes, or it is terminal."""
    names = [name for program in programs for _, name in program]
    return tuple({name: times} for name in names for times in (1, -1))


CASES = [
    *map(fan_out, range(1, 6)),
    Case("3 tools × 2 steps", "tool_calls", Work(programs=tools(3, 2))),
    Case("3 tools × 3 steps", "tool_calls", Work(programs=tools(3, 3))),
    Case("4 tools × 2 steps", "tool_calls", Work(programs=tools(4, 2))),
    Case("3 tools × 2 steps, one fails", "tool_calls", Work(programs=tools(3, 2)), failing(tools(3, 2))),
    Case("3 tools × 2 steps, 2 tools at once", "tool_calls", Work(programs=tools(3, 2), limit=2)),
    Case("2 tools × 3 steps, results come late", "tool_calls", Work(programs=tools(2, 3)), delays=True),
    Case("2 tools, each a fan-out of 2 and a step", "tool_calls",
         Work(programs=[[["gather", ["a1", "a2"]], *steps("a3")], [["gather", ["b1", "b2"]], *steps("b3")]])),
    Case("3 branches × 2 steps", "in_branches", Work(programs=tools(3, 2))),
    Case("2 tools, one of which is an agent with 2 tools", "tool_calls",
         Work(programs=[[["turn", tools(2, 2)]], steps("c1", "c2")])),
]


def main() -> None:
    logging.disable()
    table = Table("case", *(f"[right]{each}" for each in ("orders", "crashes", "attempts", "entries replayed", "seconds")))
    for case in CASES:
        print(case.title, flush=True)
        t = explore(case)
        print(t.orders, t.crashes, t.attempts, t.entries, round(t.seconds, 1), flush=True)


if __name__ == "__main__":
    main()
