"""Does a replay create the steps in the same order, and do the two experts still work at the same time?"""

from lab.ledger import Fault
from tour.runtime.frameworks import PYTHON
from tour.runtime.journal import Step
from workshop.attempt import Attempt, Claim, Wrong

DELAYS = {"visit": {"a": 0.9, "b": 0.3}, "estimate": {"a": 0.4, "b": 0.8}}
"""The duration of each step, in seconds: `b` finishes the visit first."""


async def check(attempt: Attempt) -> None:
    """The visits end out of order; then `settle` fails once, and Restate replays the handler. Raises: Wrong."""
    async with attempt.running("DamageService", PYTHON[-1]) as running:
        running.plan(
            *(
                Fault(step, "delay", seconds, about=f"'{expert}'")
                for step, experts in DELAYS.items()
                for expert, seconds in experts.items()
            ),
            Fault("settle", "fail"),
        )
        seen = await running.ended(await running.send("burst pipe"))

    if "SDK created futures" in seen.answer:
        raise Wrong("restate.gather takes the futures that ctx.run_typed returns, not coroutines.", seen.answer)
    if seen.invocation.error:
        raise Wrong(f"The handler ends with an error: {seen.answer}", *seen.lines())
    steps = {step.name: step for step in seen.invocation.steps}
    for name in (*(f"{step} {expert}" for step, experts in DELAYS.items() for expert in experts), "settle"):
        if name not in steps:
            raise Wrong(f"{name} is not a durable step: it is not in the journal.", *seen.lines())
    for work, experts in DELAYS.items():
        if seen.runs[work] > len(experts):
            raise Wrong(f"{work} was started {seen.runs[work]} times for two experts.", *seen.starts(work))
        _overlap(seen, work, *sorted((steps[f"{work} {expert}"] for expert in experts), key=lambda step: step.index))

    attempt.holds("the replay matched the journal: settle failed once, and nothing else ran again")
    for line in seen.starts("settle"):
        attempt.say(f"    {line}")
    attempt.holds("the visits overlap, and so do the estimates")
    for step in seen.invocation.steps:
        attempt.say(f"    {seen.line(step, _wait(step, steps))}")
    if seen.answer != "paid 1000 dollars":
        raise Wrong(f"The mean of the estimates is 1000 dollars, but the answer is: {seen.answer}", *seen.lines())
    attempt.holds(f"the answer: {seen.answer}")


def _overlap(seen: Claim, work: str, before: Step, after: Step) -> None:
    deterministic = "This is deterministic, but no longer parallel"
    if before.end and after.start >= before.end:
        raise Wrong(
            f"{deterministic}: {after.name} starts only after {before.name} has ended.",
            seen.line(before),
            seen.line(after, f"starts {after.start - before.end:.0f} ms later"),
        )
    if seen.at_once(work) < 2:
        raise Wrong(
            f"{deterministic}: the work of a step starts when it is awaited, and here one {work} is awaited after "
            "the other.",
            *seen.starts(work),
        )


def _wait(step: Step, steps: dict[str, Step]) -> str:
    """A note on an estimate that started long after its visit had ended."""
    visit = steps.get(step.name.replace("estimate", "visit"))
    if visit is None or visit is step or not visit.end or step.start - visit.end < 200:
        return ""
    return f"could have started {(step.start - visit.end) / 1000:.2f} s earlier"
