"""The evidence on a claim, from two sources: Restate's journal, and the ledger of the lab.

The journal says when a step got its result; the ledger says when a process began to run a step, and when it ended.
A step is *finished* when its result is in the journal. Until then it may run more than once, and each run after the
first has a reason: the step failed, its process or the server was killed, or a sibling failed. The last is forbidden.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lab.ledger import Entry
from tour.runtime.journal import Invocation


@dataclass(frozen=True)
class Runs:
    """The number of runs of one step of a claim, by reason. `starts` is 1 plus the sum of the other four.

    `retried`: after a failure. `interrupted`: after a kill of its process or the server while the step was in flight,
    or not yet in the journal. `repeated`: for neither reason, such as a sibling's failure. `redone`: although the step
    was finished.
    """

    starts: int = 0
    retried: int = 0
    interrupted: int = 0
    repeated: int = 0
    redone: int = 0

    @property
    def needless(self) -> int:
        """The runs without a valid reason. Any such run breaks the promise."""
        return self.repeated + self.redone


def runs(
    invocation: Invocation, ledger: Iterable[Entry], outages: Sequence[tuple[float, float]] = ()
) -> dict[str, Runs]:
    """The runs of each step of the invocation that the lab observes, by the step's name.

    `outages` are the times (s since the epoch) from a kill of the server until it answered again. Two steps of the same
    name count as one: if the model asks for the tool twice, `redone` counts the second use.
    """
    finished = {step.name: step.end / 1000 for step in invocation.steps if step.end}
    entries: dict[str, list[Entry]] = {}
    for entry in ledger:
        if entry.invocation == invocation.id:
            entries.setdefault(entry.step, []).append(entry)
    return {step: _runs(found, finished.get(step), outages) for step, found in entries.items()}


CLOCK = 0.05
"""Seconds by which the journal's times may lag behind the ledger's, because the server's clock is coarse. On busy cores
it lags more, so a result in the journal is attributed to the run that ended nearest to it."""


def _runs(entries: Sequence[Entry], finished: float | None, outages: Sequence[tuple[float, float]]) -> Runs:
    counts = {"retried": 0, "interrupted": 0, "repeated": 0, "redone": 0}
    starts = [entry for entry in entries if entry.event == "start"]
    oks = [entry for entry in entries if entry.event == "end" and entry.detail == "ok"]
    journaled = min(oks, key=lambda end: abs(end.at - finished), default=None) if finished else None
    for before, after in pairwise(starts):
        ends = [entry for entry in entries if entry.event == "end" and entry.at <= after.at]
        done = journaled and journaled.at <= after.at  # otherwise the result in the journal is a later run's
        failed = any(end.detail == "failed" and end.at >= before.at and end.pid == before.pid for end in ends)
        if done and finished and after.at > finished + CLOCK:
            reason = "redone"
        elif failed:
            reason = "retried"
        elif before.pid != after.pid or any(before.at <= back and after.at >= gone for gone, back in outages):
            reason = "interrupted"
        else:
            reason = "repeated"
        counts[reason] += 1
    return Runs(len(starts), **counts)


def recovery(ledger: Iterable[Entry], invocation: str) -> float | None:
    """Seconds from the first fault in a step of the invocation until that step was done.

    If faults hit several steps, the longest of these times. None if they hit no step, or no such step is done.
    """
    injected: dict[str, float] = {}
    done: dict[str, float] = {}
    for entry in ledger:
        if entry.invocation == invocation and entry.event == "injected":
            injected.setdefault(entry.step, entry.at)
        elif entry.invocation == invocation and entry.event == "end" and entry.detail == "ok":
            done[entry.step] = entry.at
    times = [done[step] - at for step, at in injected.items() if step in done]
    return max(times, default=None)
