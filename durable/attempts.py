"""The attempts of model calls, counted where they are made.

Restate counts a step's attempts from the last journal entry, including attempts that never reached an agent. A claim
that has waited for its agent would have no attempt left, and end with the first error of an overloaded model. So this
module counts the `max_attempts` of a model call, in the process that makes it.
"""

from collections import OrderedDict
from datetime import timedelta

LONGEST_PAUSE = timedelta(seconds=2)
"""The longest pause between two attempts; Restate's pauses grow with Restate's count."""

MOST = 10_000
"""The number of invocations that are counted. Beyond it the oldest, such as a killed one, is forgotten."""


class FailedAttempts:
    """For each invocation, the consecutive attempts in which a model call failed and none succeeded."""

    def __init__(self) -> None:
        self._counts = OrderedDict[str, tuple[int, object]]()

    def add(self, invocation: str, attempt: object) -> int:
        """Count this attempt, only once if several of its calls fail; returns the count."""
        count, last = self._counts.pop(invocation, (0, None))
        count += last is not attempt
        self._counts[invocation] = count, attempt
        if len(self._counts) > MOST:
            self._counts.popitem(last=False)
        return count

    def forget(self, invocation: str) -> None:
        """Reset the count: a model call has a result, or has failed permanently."""
        self._counts.pop(invocation, None)


FAILED_ATTEMPTS = FailedAttempts()
