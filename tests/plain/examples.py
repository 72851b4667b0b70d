"""Examples of Hypothesis, drawn first and tried concurrently, because most of a claim's time is waiting."""

import os
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")

EXAMPLES = int(os.environ.get("EXAMPLES", 6))
"""The number of examples; by default the same ones in each run."""


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
