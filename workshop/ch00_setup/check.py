"""Is everything installed, and is `greet` a durable step?"""

from tour.runtime import doctor
from workshop.attempt import Attempt, Wrong


async def check(attempt: Attempt) -> None:
    """The doctor finds nothing missing, and `greet` is a step in the journal. Raises: Wrong."""
    missing = [finding for finding in doctor.examine() if finding.ok is False]
    if missing:
        raise Wrong(missing[0].what, missing[0].remedy)
    attempt.holds("this machine has everything it needs")

    async with attempt.running("Hello") as running:
        seen = await running.ended(await running.send("class"))
    if seen.answer != "Hello, class!":
        raise Wrong(f"The answer should be 'Hello, class!', but it is {seen.answer!r}.", *seen.lines())
    if [step.name for step in seen.invocation.steps] != ["greet"]:
        raise Wrong("The answer is right, but `greet` is not a durable step: it is not in the journal.", *seen.lines())
    attempt.holds(f"the answer: {seen.answer}")
    attempt.holds("`greet` is a durable step:")
    for line in seen.lines():
        attempt.say(f"    {line}")
