"""Do the tool calls of a turn overlap, and is the turn that asked for them kept when the process is killed?"""

import re
from collections.abc import Sequence
from itertools import pairwise

from lab.ledger import Fault
from shared.weather import WEATHER
from tour.runtime.frameworks import FRAMEWORKS
from workshop.attempt import Attempt, Claim, Running, Wrong

CITIES = ("San Francisco", "New York", "Tokyo")
OTHERS = ("London", "Paris", "Berlin")


async def check(attempt: Attempt) -> None:
    """Three cities are asked for, which take 0.5 s each; then three others, with a kill. Raises: Wrong."""
    async with attempt.running("ParallelToolAgent", FRAMEWORKS[-1]) as running:
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
        await running.kill()
        seen = await _ended(running, id, prompt)
    _answered(seen, OTHERS)
    if seen.runs["model 0"] > 1:
        raise Wrong("The model is asked again what it has answered already.", *seen.lines(), *seen.starts("model"))
    attempt.holds("after the kill the tool calls ran again, and the model was not asked again which ones it wants:")
    for line in seen.starts("model"):
        attempt.say(f"    {line}")
    source = attempt.file.read_text()
    if re.search(r"asyncio\.gather\(|TaskGroup\(", source) and "ToolCalls(" not in source:
        attempt.say(
            "asyncio does well here, since a tool call is one step: all are in the journal before the first has ended. "
            "Give a tool a second step, and a replay fails as in chapter 6."
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
            "The model refuses the conversation: after its own message, with the tool calls, it wants one message of "
            "the role tool for each call, with the tool_call_id of that call."
        )
    if "the model gave no answer" in problem:
        return "The model asks for the same tool calls in every turn: it never gets to see the results."
    return problem


def _answered(seen: Claim, cities: Sequence[str]) -> None:
    missing = [city for city in cities if f"{city}: {WEATHER[city.lower()]}" not in seen.answer]
    if missing:
        raise Wrong(f"The answer does not tell the weather in {missing[0]}: {seen.answer}", *seen.lines())


def _overlap(seen: Claim, cities: Sequence[str]) -> None:
    steps = {step.name: step for step in seen.invocation.steps}
    for city in cities:
        if f"weather in {city}" not in steps:
            raise Wrong(f"weather in {city} is no durable step: it is not in the journal.", *seen.lines())
    calls = [step for step in seen.invocation.steps if step.name.startswith("weather in ")]
    for before, after in pairwise(calls):
        if before.end and after.start >= before.end:
            raise Wrong(
                f"{after.name} does not start before {before.name} has ended: the tool calls run one after the other.",
                seen.line(before),
                seen.line(after, f"starts {after.start - before.end:.0f} ms after that"),
            )
    if seen.at_once("weather") < len(cities):
        raise Wrong(
            "The steps are made together, but the work of a step begins when it is awaited, and they are awaited one "
            "after the other.",
            *seen.starts("weather"),
        )
