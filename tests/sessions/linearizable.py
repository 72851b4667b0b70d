"""Is a history linearizable? The search of Wing and Gong, with Lowe's cache of refuted states.

J. Wing and C. Gong, Testing and Verifying Concurrent Objects, 1993; G. Lowe, Testing for Linearizability, 2017.
Porcupine (Go) and Knossos (Clojure) search in the same way. PyPI has no library that does.
"""

import math
from collections.abc import Callable, Hashable, Iterable
from typing import Protocol, TypeVar

PENDING = math.inf
"""The return time of an operation that never returned: it takes effect at any time after its call, or never."""


class Timed(Protocol):
    """An operation: the times of its call and its return at its client. All clients share one clock."""

    @property
    def called(self) -> float: ...
    @property
    def returned(self) -> float: ...
    def __hash__(self) -> int: ...


Operation = TypeVar("Operation", bound=Timed)
State = TypeVar("State", bound=Hashable)


def linearization(
    history: Iterable[Operation], start: State, step: Callable[[State, Operation], State | None]
) -> list[Operation] | None:
    """An order in which the operations can have taken effect, one by one; None if there is none.

    Each operation takes effect between its call and its return. `step` is the sequential object: the state after an
    operation, or None if the operation's answer does not fit the state. The search is as deep as the history is long,
    up to some hundreds of operations.
    """
    refuted = set[tuple[tuple[Operation, ...], State]]()

    def search(left: tuple[Operation, ...], state: State) -> list[Operation] | None:
        if all(operation.returned == PENDING for operation in left):
            return []
        if (left, state) in refuted:
            return None
        first_return = min(operation.returned for operation in left)
        for at, operation in enumerate(left):
            if operation.called > first_return:  # so were those after it: none of them can be the next
                break
            after = step(state, operation)
            rest = None if after is None else search(left[:at] + left[at + 1 :], after)
            if rest is not None:
                return [operation, *rest]
        refuted.add((left, state))
        return None

    return search(tuple(sorted(history, key=lambda operation: operation.called)), start)
