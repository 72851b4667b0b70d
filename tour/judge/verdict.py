"""The promises of a durable agent, and the result of the trials for each."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise

from pydantic import BaseModel

from tour.judge.trials import Trial, shown
from tour.judge.world import Call, numbered
from tour.runtime.journal import Step


class Promise(BaseModel):
    """One promise. `holds` is None if nobody can see it from outside; `seen` says how, `broken` has the evidence."""

    name: str
    holds: bool | None
    seen: str
    broken: list[str] = []


class Cost(BaseModel):
    """The undisturbed invocation: entries and bytes of its journal, seconds until the answer, CPU seconds."""

    entries: int
    bytes: int
    seconds: float
    cpu: float


class Verdict(BaseModel):
    """The judge's verdict."""

    target: str
    answer: str
    steps: list[str]
    promises: list[Promise]
    cost: Cost
    trials: int
    unseen: list[str]

    @property
    def broken(self) -> list[Promise]:
        return [promise for promise in self.promises if promise.holds is False]

    @property
    def score(self) -> str:
        """The number of visible promises that hold, such as `5 of 6`."""
        visible = [promise for promise in self.promises if promise.holds is not None]
        return f"{len(visible) - len(self.broken)} of {len(visible)}"


def judge(
    target: str,
    first: Sequence[Trial],
    trials: Sequence[Trial],
    refusals: dict[str, int],
    with_calls: Collection[str],
) -> Verdict:
    """The verdict on these trials; `first` are two undisturbed ones.

    `refusals` has the status for each bad input, `with_calls` the names of the steps that make requests.
    """
    usual, again = first
    everything = [*first, *trials]
    crashes = [trial for trial in trials if trial.kills]
    failed = [trial for trial in trials if trial.plan.fail is not None]
    no_trial = "" if trials else "an undisturbed run did not end"
    stable = usual.answer == again.answer
    asked = {call.digest for call in usual.calls}
    same_requests = asked == {call.digest for call in again.calls}
    promises = [
        _promise(
            "it ends",
            f"in each of {len(everything)} trials",
            [f"{trial.title}: no answer in time{_why(trial)}" for trial in everything if not trial.answer],
        ),
        _promise(
            "a crash or a failure does not change the answer",
            _kills(usual, crashes),
            [f"{trial.title}: {shown(trial.answer)}" for trial in trials if trial.answer not in ("", usual.answer)],
        )
        if stable and (crashes or failed)
        else _unseen(
            "a crash or a failure does not change the answer",
            "nothing was killed" if stable else "two undisturbed runs have different answers",
        ),
        _promise(
            "a replay finds the same journal",
            "with a replay at each await, and after each kill",
            [line for trial in everything if (line := _mismatch(trial))],
        ),
        _promise(
            "a finished model call is not made again",
            f"{sum(call.what == 'model' for call in usual.calls)} calls, counted by the model's server",
            [line for trial in trials for line in _again(trial, usual, "model")],
        )
        if trials and any(call.what == "model" for call in usual.calls)
        else _unseen("a finished model call is not made again", no_trial or "no call came to the model's server"),
        _promise(
            "a replay sends the model the same request",
            "each request is compared with those of the undisturbed runs",
            [
                f"{trial.title}: {call.title}, request {number + 1}, is another one"
                for trial in trials
                for number, call in enumerate(trial.calls)
                if call.what == "model" and call.digest not in asked
            ][:5],
        )
        if trials and same_requests and asked
        else _unseen("a replay sends the model the same request", "undisturbed runs send different ones, or none"),
        _promise(
            "a finished HTTP request is not made again",
            f"{sum(call.what == 'http' for call in usual.calls)} requests, counted by the proxy",
            [line for trial in trials for line in _again(trial, usual, "http")],
        )
        if trials and any(call.what == "http" for call in usual.calls)
        else _unseen("a finished HTTP request is not made again", no_trial or "no request came to the proxy"),
        _promise(
            "only a request that fails is made again",
            f"{len(failed)} failures, with slow siblings",
            [
                line
                for trial in failed
                for what in ("model", "http")
                for line in _again(trial, usual, what, in_flight=True)
            ],
        )
        if failed and _side_by_side(step for step in usual.runs if step.name in with_calls)
        else _unseen("only a request that fails is made again", "no two steps that make requests run side by side"),
        _promise(
            "bad input is the caller's fault",
            f"{len(refusals)} bodies",
            [
                f"{body}: {'no answer, it is retried' if status == 0 else status}"
                for body, status in refusals.items()
                if not 400 <= status < 500
                and not (status == 200 and body == "an empty object")  # each field may have a default
            ],
        ),
    ]
    return Verdict(
        target=target,
        answer=usual.answer,
        steps=list(usual.steps),
        promises=promises,
        cost=Cost(entries=usual.entries, bytes=usual.size, seconds=again.seconds, cpu=again.cpu),
        trials=len(everything) + len(refusals),
        unseen=list(_never_seen(usual, crashes, with_calls)),
    )


def _promise(name: str, seen: str, broken: list[str]) -> Promise:
    return Promise(name=name, holds=not broken, seen=seen, broken=broken)


def _side_by_side(steps: Iterable[Step]) -> bool:
    """Whether two steps are in flight at once."""
    ordered = sorted(steps, key=lambda step: step.start)
    return any(before.end is None or after.start < before.end for before, after in pairwise(ordered))


def _kills(usual: Trial, crashes: Sequence[Trial]) -> str:
    """The number and the places of the kills."""
    entries = {trial.killed_at for trial in crashes} & {*range(1, usual.entries)}
    runs = numbered(step.name for step in usual.runs)
    hit = sum(any(run in trial.in_flight for trial in crashes) for run in runs)
    answers = sum(trial.plan.hold is not None for trial in crashes)
    return (
        f"{len(crashes)} kills: after {len(entries)} of {usual.entries - 1} entries, in the middle of {hit} of "
        f"{len(runs)} steps, before {answers} of {len(usual.calls)} answers"
    )


def _never_seen(usual: Trial, crashes: Sequence[Trial], with_calls: Collection[str]) -> Iterator[str]:
    """The things that are not visible from outside, or that no kill hit."""
    runs = numbered(step.name for step in usual.runs)
    missed = dict.fromkeys(run[0] for run in runs if not any(run in trial.in_flight for trial in crashes))
    if crashes and missed:
        yield f"a kill in the middle of {', '.join(missed)}: none hit it"
    together = sorted({*range(1, usual.entries)} - {trial.killed_at for trial in crashes})
    if crashes and together:
        yield f"a kill right after entry {', '.join(map(str, together))}: none hit it"
    if silent := list(dict.fromkeys(step.name for step in usual.runs if step.name not in with_calls)):
        yield f"whether {', '.join(silent)} ran twice, or can fail alone: no HTTP request is made there"
    yield "requests over HTTPS, and those of clients that do not use HTTP_PROXY"


def _unseen(name: str, why: str) -> Promise:
    return Promise(name=name, holds=None, seen=why)


def _why(trial: Trial) -> str:
    return f"; its last attempt: {shown(trial.failures[-1].message)}" if trial.failures else ""


def _mismatch(trial: Trial) -> str:
    """The first journal mismatch of a trial, with the step that it names."""
    for failure in trial.failures:
        if failure.code == 570 or "mismatch" in failure.message.lower():
            named = " ".join(line.strip() for line in failure.message.splitlines() if "!=" in line)
            step = f"at {failure.step}: " if failure.step else ""
            return f"{trial.title}: 570, {step}{named or shown(failure.message)}"
    return ""


def _again(trial: Trial, usual: Trial, what: str, *, in_flight: bool = False) -> list[str]:
    """The calls that were repeated although they had been answered; `in_flight`: those answered after a failure."""
    lines, most = [], Counter(call.digest for call in usual.calls)
    failure = max((call.failed for call in trial.calls), default=0.0)
    for digest, calls in _by_digest(call for call in trial.calls if call.what == what).items():
        answered = sum(call.answered > 0 for call in calls)
        late = any(call.journaled and calls[-1].attempt > call.attempt for call in calls)
        after = 0 < failure < min((call.answered for call in calls if call.answered), default=0.0)
        if after == in_flight and (late or answered > max(most[digest], 1) + trial.kills):
            lines.append(f"{trial.title}: {calls[0].title} was made {len(calls)} times")
    return lines


def _by_digest(calls: Iterable[Call]) -> dict[str, list[Call]]:
    found: dict[str, list[Call]] = {}
    for call in calls:
        found.setdefault(call.digest, []).append(call)
    return found
