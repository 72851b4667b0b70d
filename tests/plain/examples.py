"""The frameworks of a run, and examples of Hypothesis, drawn first and tried concurrently: a claim mostly waits."""

import os
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

from tests.nightly import in_turn, today
from tour.runtime.frameworks import FRAMEWORKS

T = TypeVar("T")

EXAMPLES = int(os.environ.get("EXAMPLES", 6))
"""The number of examples; by default the same ones in each run."""

_FIRST, *_OTHERS = FRAMEWORKS

TODAY = FRAMEWORKS if "EXAMPLES" in os.environ else (_FIRST, *in_turn(_OTHERS, 2, today()))
"""The frameworks of a run: the first, which finds a seeded fault, and two others, in turn; the night has all."""


def examples_of(strategy: SearchStrategy[T]) -> list[T]:
    """`EXAMPLES` values of a strategy."""
    drawn: list[T] = []

    @settings(
        max_examples=EXAMPLES,
        derandomize="EXAMPLES" not in os.environ,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=[*HealthCheck],
    )
    @given(strategy)
    def draw(value: T) -> None:
        drawn.append(value)

    draw()
    return drawn
