"""Restate's turnstile of tool calls, guarded: ids that repeat would freeze the process.

`restate.ext.turnstile` 1.3.0 links each id to the next. Ids that repeat make a circle, and after a failing step it is
followed without an await and without an end. `durable.answers` gives each call an id of its own; where that is not
used, the invocation ends here. To import this module is enough.
"""

from restate import TerminalError
from restate.ext.turnstile import Turnstile

_init = Turnstile.__init__


def _guarded(self: Turnstile, ids: list[str]) -> None:
    refuse_repeated(ids)
    _init(self, ids)


def refuse_repeated(ids: list[str]) -> None:
    """Raises: TerminalError when two tool calls of a turn have the same id."""
    if len(set(ids)) < len(ids):
        raise TerminalError(f"the model gave several tool calls the same id: {', '.join(ids)}")


Turnstile.__init__ = _guarded  # type: ignore[method-assign]
