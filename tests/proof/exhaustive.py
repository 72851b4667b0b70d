"""Every order in which the steps of a handler can end, and a crash after every entry of the journal.

    uv run python -m tests.proof.exhaustive    # writes docs/orders.json

For each order, an invocation runs to its end. It runs again on a server that lets it suspend; and from each prefix of
its journal, as after a crash, with the rest of the order. No step with a result starts; no step is in flight when an
attempt ends; a step starts again only if it fails. All journals become equal, entry by entry, except after a failure,
because its retry may come later: then each replay still matches the journal.
"""

import json
import logging
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations, permutations
from typing import Any

import restate
from pydantic import BaseModel

from durable.branches import branches
from durable.held_steps import hold_failures
from tests.durable.programs import perform, together
from tests.proof.protocol import parsed
from tests.proof.simulated import DELIVER, TERMINAL, Choose, Invocation, Simulation, Violation, given
from tour.runtime.frameworks import ROOT


class Work(BaseModel):
    """Programs (tests/durable/programs.py), which each handler runs in its own way."""

    programs: list[Any]
    limit: int | None = None


service = restate.Service("Handlers", invocation_context_managers=[hold_failures])


@service.handler()
async def one_after_another(ctx: restate.Context, work: Work) -> list[str]:
    return [await perform(program, "") for program in work.programs]


@service.handler()
async def tool_calls(ctx: restate.Context, work: Work) -> list[str]:
    return await together(ctx, work.programs, "", work.limit)


@service.handler()
async def in_branches(ctx: restate.Context, work: Work) -> list[str]:
    return await branches(ctx, {str(at): partial(perform, each, "") for at, each in enumerate(work.programs)})


app = restate.app([service])


@dataclass(frozen=True)
class Case:
    """A handler, its programs, and the plans of failures with which they are tried."""

    title: str
    handler: str
    programs: list[Any]
    limit: int | None = None
    plans: tuple[dict[str, int], ...] = ({},)
    delays: bool = False

    @property
    def steps(self) -> list[str]:
        """The names of the steps: a letter and perhaps a number."""
        return re.findall(r"\b[a-e]\d?\b", json.dumps(self.programs))

    def invocation(self, plan: dict[str, int], **state: Any) -> Invocation:
        state.setdefault("journal", [given({"programs": self.programs, "limit": self.limit})])
        return Invocation(app, f"/invoke/Handlers/{self.handler}", fails=plan, **state)


@dataclass
class Tried:
    """The amounts tried of a case."""

    simulation: Simulation
    orders: int = 0
    crashes: int = 0
    attempts: int = 0
    entries: int = 0
    """The replayed journal entries."""
    seconds: float = 0
    """The CPU time."""

    def counts(self) -> dict[str, int]:
        """The amounts by name, without the time."""
        return {"orders": self.orders, "crashes": self.crashes, "attempts": self.attempts, "entries": self.entries}

    def run(self, invocation: Invocation, choose: Choose) -> Invocation:
        self.simulation.run(invocation, choose)
        self.attempts += invocation.attempts
        self.entries += invocation.replayed
        return invocation


def explore(case: Case) -> Tried:
    """Try a case. Raises: Violation, with the amounts tried."""
    logging.disable()
    sys.tracebacklimit = 0  # the SDK writes a traceback for each step that fails, which would take most of the time
    began, tried = time.process_time(), Tried(Simulation())
    try:
        for plan in case.plans:
            _explore(case, plan, tried)
    except Violation as violation:
        raise Violation(f"{violation} (after {tried.orders} orders, {tried.crashes} crashes)") from None
    finally:
        tried.simulation.close()
        logging.disable(logging.NOTSET)
        del sys.tracebacklimit
    tried.seconds = time.process_time() - began
    return tried


def _explore(case: Case, plan: dict[str, int], tried: Tried) -> None:
    crashed = set[tuple[str, ...]]()
    for choose in every_order():
        tried.orders += 1
        whole = tried.run(case.invocation(plan, delays=case.delays), choose)
        require(Counter(whole.ended) == {step: 1 + max(plan.get(step, 0), 0) for step in whole.done}, whole)
        if TERMINAL not in plan.values():
            answer = parsed("Output", whole.journal[-1].content).value.content.decode()
            require(set(re.findall(r"\w+", answer)) == whole.done == set(case.steps), whole)
        same(tried.run(case.invocation(plan, suspends=True), following(whole.ended)), whole, whole.ended)
        for at, number in enumerate(whole.ended_before, 2):
            known, ended, rest = whole.journal[:at], whole.ended[:number], whole.ended[number:]
            state = (*map(str, known), *sorted(ended), *rest)
            if state not in crashed:
                crashed.add(state)
                tried.crashes += 1
                same(tried.run(case.invocation(plan, journal=known, ended=ended), following(rest)), whole, rest)


def same(again: Invocation, whole: Invocation, rest: list[str]) -> None:
    """Check that the run has done exactly the remaining work. Raises: Violation."""
    require(again.starts == Counter(rest), again)
    one, other = list(map(str, again.journal)), list(map(str, whole.journal))
    later = whole.fails or again.suspends  # a retry comes later, and so does a result when the handler is suspended
    require(sorted(one) == sorted(other) if later else one == other, again)
    require(again.journal[-1] == whole.journal[-1], again)


def require(holds: bool, invocation: Invocation) -> None:
    if not holds:
        raise Violation(f"started: {dict(invocation.starts)}; the journal: {', '.join(map(str, invocation.journal))}")


def every_order() -> Iterator[Choose]:
    """The chooser of each run, until each order of choices has been taken."""
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
    """A chooser of the steps in this order, once they are in flight."""
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


def steps(tool: str, number: int) -> list[Any]:
    return [["step", f"{tool}{at}"] for at in range(1, number + 1)]


def tools(number: int, length: int) -> list[Any]:
    return [steps(tool, length) for tool in "abcd"[:number]]


def fan(tool: str) -> list[Any]:
    return [["gather", [f"{tool}1", f"{tool}2"]], ["step", f"{tool}3"]]


def fan_out(width: int, *, terminal: bool) -> Case:
    """Up to two failures, of one step or of two, including terminal ones."""
    names = "abcde"[:width]
    plans: list[dict[str, int]] = [{}]
    plans += [{name: times} for name in names for times in (1, 2)]
    plans += [{one: 1, other: 1} for one, other in combinations(names, 2)]
    if terminal:
        plans += [{name: TERMINAL} for name in names]
        plans += [{one: TERMINAL, other: 1} for one, other in permutations(names, 2)]
        plans += [{one: TERMINAL, other: TERMINAL} for one, other in combinations(names, 2)]
    title = f"a fan-out of {width}, up to 2 failures{', terminal ones too' if terminal else ''}"
    return Case(title, "one_after_another", [[["gather", list(names)]]], plans=tuple(plans))


ONE_FAILS = tuple({step: times} for step in ("a1", "a2", "b1", "b2", "c1", "c2") for times in (1, TERMINAL))

CASES = [
    *(fan_out(width, terminal=width < 5) for width in range(1, 6)),
    Case("3 tools of 2 steps", "tool_calls", tools(3, 2)),
    Case("3 tools of 3 steps", "tool_calls", tools(3, 3)),
    Case("4 tools of 2 steps", "tool_calls", tools(4, 2)),
    Case("3 tools of 2 steps, one fails", "tool_calls", tools(3, 2), plans=ONE_FAILS),
    Case("3 tools of 2 steps, 2 tools at once", "tool_calls", tools(3, 2), limit=2),
    Case("2 tools of 3 steps, results come late", "tool_calls", tools(2, 3), delays=True),
    Case("2 tools, each a fan-out of 2 and a step", "tool_calls", [fan("a"), fan("b")]),
    Case("2 tools: an agent with 2 tools of 2 steps, 2 steps", "tool_calls", [[["turn", tools(2, 2)]], steps("c", 2)]),
    Case("3 branches of 2 steps", "in_branches", tools(3, 2)),
]


COUNTS = ROOT / "docs/orders.json"
"""The counts of each case, by its title."""


def main() -> None:
    counts = {}
    for case in CASES:
        tried = explore(case)
        counts[case.title] = tried.counts()
        print(case.title, *(f"{number:,} {name}" for name, number in tried.counts().items()), sep=", ", flush=True)
    rows = (f" {json.dumps(title)}: {json.dumps(of)}" for title, of in counts.items())
    COUNTS.write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main()
