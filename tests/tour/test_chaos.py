"""The storm's plan, and that its verdict can fail."""

from dataclasses import replace

import pytest

from lab.ledger import Entry
from shared.claims import sample_claims
from tour import chaos
from tour.chaos import Outcome, Storm, Verdict, Witnessed
from tour.runtime.frameworks import FRAMEWORKS
from tour.runtime.journal import Invocation, Step

STORM = chaos.plan(10, seed=1)
ANSWER = "Approved: eligible; reasonable; low risk: no signals (score 0)."


def test_the_same_seed_the_same_storm() -> None:
    assert chaos.plan(50, 7) == chaos.plan(50, 7)
    assert chaos.plan(50, 7) != chaos.plan(50, 8)


def test_a_storm_kills_agents_and_the_server_and_reaches_every_framework() -> None:
    storm = chaos.plan(200, 1)
    victims = [victim for _, victim in storm.kills]
    assert victims.count("restate") >= 2
    assert len(victims) - victims.count("restate") >= 5
    assert len({order.framework for order in storm.orders}) == len(FRAMEWORKS)
    assert {fault.kind for order in storm.orders for fault in order.faults} >= {"fail", "crash-before", "status", "cut"}
    assert all(after < 200 for after, _ in storm.kills)


def seen() -> Witnessed:
    """One correctly decided claim."""
    order = replace(STORM.orders[0], claim=sample_claims()["broken-leg"], faults=())
    journal = Invocation("inv_1", "completed", 0, 1000, None, 5, 100, (Step(1, "fraud", 0, 2_000, False),))
    ledger = [
        Entry(1.0, 9, order.framework.prefix(), "inv_1", "fraud", "start", ""),
        Entry(2.0, 9, order.framework.prefix(), "inv_1", "fraud", "end", "ok"),
    ]
    return Witnessed([Outcome(order, "inv_1", (ANSWER, ANSWER))], {"inv_1": journal}, ledger, 1, [], [], [], 1.0)


async def judge(witnessed: Witnessed) -> Verdict:
    return await chaos.judge(Storm((), ()), witnessed)


async def test_a_promise_that_was_kept() -> None:
    verdict = await judge(seen())
    assert verdict.kept
    assert verdict.enough


@pytest.mark.parametrize(
    ("statement", "change"),
    [
        ("answered exactly once", lambda it: {"outcomes": [replace(it.outcomes[0], answers=(ANSWER, None))]}),
        ("answered exactly once", lambda it: {"outcomes": [replace(it.outcomes[0], answers=("Approved: all.",) * 2)]}),
        ("answered exactly once", lambda it: {"outcomes": [replace(it.outcomes[0], answers=(None, None))]}),
        ("answered exactly once", lambda it: {"invocations": 2}),
        ("no finished step", lambda it: {"ledger": [*it.ledger, replace(it.ledger[0], at=5.0)]}),
        ("no sibling", lambda it: {"ledger": [replace(it.ledger[0], at=0.5), *it.ledger]}),
        ("no invocation left", lambda it: {"left": ["inv_2"]}),
    ],
)
async def test_a_promise_that_was_broken(statement: str, change: object) -> None:
    assert callable(change)
    witnessed = seen()
    verdict = await judge(replace(witnessed, **change(witnessed)))
    broken = [name for name, violations in verdict.violations.items() if violations]
    assert len(broken) == 1
    assert statement in broken[0]


async def test_a_storm_in_which_too_little_went_wrong() -> None:
    verdict = await chaos.judge(STORM, seen())
    assert not verdict.enough
