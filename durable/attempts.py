"""The attempts of model calls, counted where they are made.

Restate counts the attempts of a step from the last entry of the journal, with those that never reached an agent. A
claim that has waited for its agent would have no attempt left, and end with the first error of an overloaded model. So
the `max_attempts` of a model call are counted here, in the process that makes it.
"""

from collections import OrderedDict
from datetime import timedelta

LONGEST_PAUSE = timedelta(seconds=2)
"""Between two attempts: Restate's own pauses grow with its own count."""

MOST = 10_000
"""Invocations that are counted at the same time. One that was killed is never heard of again, and forgotten so."""


class FailedAttempts:
    """By invocation, the attempts in a row in which a model call failed and none succeeded."""

    def __init__(self) -> None:
        self._counts = OrderedDict[str, tuple[int, object]]()

    def add(self, invocation: str, attempt: object) -> int:
        """Count this attempt, once for all its calls; returns the count."""
        count, last = self._counts.pop(invocation, (0, None))
        count += last is not attempt
        self._counts[invocation] = count, attempt
        if len(self._counts) > MOST:
            self._counts.popitem(last=False)
        return count

    def forget(self, invocation: str) -> None:
        """A model call has a result, or has failed for good."""
        self._counts.pop(invocation, None)


FAILED_ATTEMPTS = FailedAttempts()
