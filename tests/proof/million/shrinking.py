"""Shrinks a storm that breaks the promise: leaves out steps and kills as long as it still does."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from tests.proof.million.storm import Storm

T = TypeVar("T")


async def smallest(storm: Storm, violations: Sequence[str], fails: Callable[[Storm], Awaitable[bool]]) -> Storm:
    """A small storm that still fails. The search begins with the invocations in the violations, if they fail alone."""
    named = sorted({int(match[1]) for said in violations if (match := re.match(r"\((\d+)", said))})
    for numbers in (named[:1], named):
        fewer = storm.of([*storm.kills, *(each for each in storm.steps if each[0] in numbers)])
        if await fails(fewer):
            storm = fewer
            break
    if await fails(storm.of(storm.steps)):
        storm = storm.of(storm.steps)
    kills = await _fewest(storm.kills, lambda kept: fails(storm.of([*kept, *storm.steps])))
    storm = storm.of([*kills, *storm.steps])
    steps = await _fewest(storm.steps, lambda kept: fails(storm.of([*storm.kills, *kept])))
    return storm.of([*storm.kills, *steps])


async def _fewest(parts: Sequence[T], fails: Callable[[Sequence[T]], Awaitable[bool]]) -> Sequence[T]:
    """A minimal set of parts that still fails: leaves out long and short runs of parts, down to single ones."""
    size = len(parts)
    while size:
        at = 0
        while at < len(parts):
            fewer = [*parts[:at], *parts[at + size :]]
            if await fails(fewer):
                parts = fewer
            else:
                at += size
        size //= 2
    return parts
