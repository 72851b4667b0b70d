"""Do the tool calls of a turn overlap, and is the model's turn kept when the process is killed?"""

import re
from collections.abc import Sequence
from itertools import pairwise

from lab.ledger import Fault
from shared.weather import WEATHER
from tour.runtime.frameworks import PYTHON
from workshop.attempt import Attempt, Claim, Running, Wrong

CITIES = ("San Francisco", "New York", "Tokyo")
OTHERS = ("London", "Paris", "Berlin")


async def check(attempt: Attempt) -> None:
    """Ask for three cities, which take 0.5 s each; then for three others, and kill the process. Raises: Wrong."""
    async with attempt.running("ParallelToolAgent", PYTHON[-1]) as running:
        running.plan(Fault("weather", "delay", 0.5))
        prompt = _question(CITIES)
        seen = await _ended(running, await running.send({"message": prompt}), prompt)
        _answered(seen, CITIES)
        _overlap(seen, CITIES)
        attempt.holds("the tool calls overlap:")
        for line in seen.lines():
            attempt.say(f"    {line}")
        attempt.holds(f"the answer: {seen.answer}")

        running.plan(Fault("weather", "delay", 1))
        prompt = _question(OTHERS)
        id = await running.send({"message": prompt})
        await running.until(id, lambda seen: seen.runs["weather"] == len(OTHERS), "a start of all tool calls", prompt)
        running.plan()
        await running.kill()
        seen = await _ended(running, id, prompt)
    _answered(seen, OTHERS)
    if seen.runs["model 0"] > 1:
        raise Wrong("The model was asked for the same turn again.", *seen.lines(), *seen.starts("model"))
    attempt.holds("after the kill, the tool calls ran again; the model was not asked for that turn again:")
    for line in seen.starts("model"):
        attempt.say(f"    {line}")
    source = attempt.file.read_text()
    if re.search(r"asyncio\.gather\(|TaskGroup\(", source) and "ToolCalls(" not in source:
        attempt.say(
            "asyncio works here because a tool call is one step: all are in the journal before the first has ended. "
            "With a second step in a tool, a replay fails as in chapter 6."
        )


def _question(cities: Sequence[str]) -> str:
    return f"What is the weather in {' and '.join(cities)}?"


async def _ended(running: Running, id: str, prompt: str) -> Claim:
    try:
        seen = await running.ended(id, prompt)
    except Wrong as wrong:
        raise Wrong(_in_other_words(wrong.problem), *wrong.shown) from None
    if seen.invocation.error:
        raise Wrong(
            _in_other_words(f"The loop ends with an error: {seen.answer}"), *seen.lines()[-5:], f"answer: {seen.answer}"
        )
    return seen


def _in_other_words(problem: str) -> str:
    if "BadRequestError" in problem:
        return (
            "The model refuses the conversation: its message with the tool calls must be followed by one message with "
            "the role `tool` for each call, with the `tool_call_id` of that call."
        )
    if "the model gave no answer" in problem:
        return "The model asks for the same tool calls in every turn: it never sees their results."
    return problem


def _answered(seen: Claim, cities: Sequence[str]) -> None:
    missing = [city for city in cities if f"{city}: {WEATHER[city.lower()]}" not in seen.answer]
    if missing:
        raise Wrong(f"The answer leaves out the weather in {missing[0]}: {seen.answer}", *seen.lines())


def _overlap(seen: Claim, cities: Sequence[str]) -> None:
    steps = {step.name: step for step in seen.invocation.steps}
    for city in cities:
        if f"weather in {city}" not in steps:
            raise Wrong(f"weather in {city} is not a durable step: it is not in the journal.", *seen.lines())
    calls = [step for step in seen.invocation.steps if step.name.startswith("weather in ")]
    for before, after in pairwise(calls):
        if before.end and after.start >= before.end:
            raise Wrong(
                f"{after.name} starts only after {before.name} has ended: the tool calls run one after the other.",
                seen.line(before),
                seen.line(after, f"starts {after.start - before.end:.0f} ms later"),
            )
    if seen.at_once("weather") < len(cities):
        raise Wrong(
            "The steps are created together, but the work of a step starts when it is awaited, and here they are "
            "awaited one after the other.",
            *seen.starts("weather"),
        )
