"""The reasons why a step ran again, from the journal and the ledger."""

from lab.ledger import Entry
from tour.runtime import evidence
from tour.runtime.evidence import Runs
from tour.runtime.journal import Invocation, Step

OLD, NEW = 100, 200
"""The process ids of an agent before and after a kill."""


def claim(finished: float | None) -> Invocation:
    """An invocation whose step `fraud` got its result at `finished` (s)."""
    step = Step(1, "fraud", 0.0, None if finished is None else finished * 1000, failed=False)
    return Invocation("inv_1", "completed", 0.0, 99_000.0, None, 5, 100, (step,))


def ran(at: float, end: str = "", pid: int = OLD) -> list[Entry]:
    """A run of the step that starts at `at` (s) and has this end half a second later; no end: it was killed."""
    start = Entry(at, pid, "any", "inv_1", "fraud", "start", "")
    return [start, Entry(at + 0.5, pid, "any", "inv_1", "fraud", "end", end)] if end else [start]


def of(*entries: list[Entry], finished: float | None = None, outages: tuple[tuple[float, float], ...] = ()) -> Runs:
    ledger = [entry for run in entries for entry in run]
    return evidence.runs(claim(finished), ledger, outages)["fraud"]


def test_a_step_that_runs_once() -> None:
    assert of(ran(1, "ok"), finished=1.5) == Runs(starts=1)


def test_a_step_that_failed_is_retried() -> None:
    assert of(ran(1, "failed"), ran(2, "failed"), ran(3, "ok"), finished=3.5) == Runs(starts=3, retried=2)


def test_a_step_whose_process_was_killed_is_interrupted() -> None:
    assert of(ran(1), ran(5, "ok", NEW), finished=5.5) == Runs(starts=2, interrupted=1)


def test_a_step_that_was_done_but_not_in_the_journal_is_interrupted() -> None:
    assert of(ran(1, "ok"), ran(5, "ok", NEW), finished=5.5) == Runs(starts=2, interrupted=1)


def test_a_step_in_flight_when_the_server_was_killed_is_interrupted() -> None:
    assert of(ran(1, "cancelled"), ran(5, "ok"), finished=5.5, outages=((1.2, 3.0),)) == Runs(starts=2, interrupted=1)


def test_a_step_that_ran_while_the_server_was_gone_is_interrupted() -> None:
    assert of(ran(1.5, "ok"), ran(5, "ok"), finished=5.5, outages=((1.2, 3.0),)) == Runs(starts=2, interrupted=1)


def test_a_step_abandoned_for_a_sibling_is_repeated() -> None:
    assert of(ran(1, "cancelled"), ran(5, "ok"), finished=5.5, outages=((9.0, 9.5),)) == Runs(starts=2, repeated=1)


def test_a_step_that_runs_after_its_result_is_in_the_journal_is_redone() -> None:
    assert of(ran(1, "ok"), ran(5, "ok"), finished=1.5) == Runs(starts=2, redone=1)
    assert of(ran(1, "ok"), ran(5, "ok", NEW), finished=1.5) == Runs(starts=2, redone=1), "a kill is no excuse"


def test_the_journals_clock_may_lag_behind() -> None:
    assert of(ran(1, "failed"), ran(2, "ok"), finished=1.999) == Runs(starts=2, retried=1)
    busy = of(ran(1, "ok"), ran(5, "ok", NEW), finished=4.9)
    assert busy == Runs(starts=2, interrupted=1), "5.5 by the ledger: the result of the run that ended nearest"


def test_recovery_is_from_the_first_fault_until_the_step_was_done() -> None:
    hit = [Entry(1.1, OLD, "any", "inv_1", "fraud", "injected", "fail")]
    ledger = [*ran(1, "failed"), *hit, *ran(3, "ok")]
    assert evidence.recovery(ledger, "inv_1") == 3.5 - 1.1
    assert evidence.recovery(ran(1, "ok"), "inv_1") is None
