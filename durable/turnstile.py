"""Guards Restate's turnstile of tool calls: whatever a model asks for, no process freezes and no call hangs.

`restate.ext.turnstile` 1.3.0 makes each tool call of a turn wait for the call before it. Repeated ids form a circle,
which it follows forever without an await once a step fails. If the agent SDK does not run a call, such as one that
waits for a person's approval, the turnstile waits forever. Importing this module is enough.
"""

import asyncio
from collections.abc import Sequence

from restate import TerminalError
from restate.exceptions import SdkInternalException
from restate.ext.turnstile import Turnstile

from durable import parts

PATIENCE = 10.0
"""Seconds to wait for a call that the agent SDK has not started; then the calls behind it continue."""


def refuse_repeated(ids: Sequence[str]) -> None:
    """Raises: TerminalError when two tool calls of a turn have the same id, which `durable.answers` prevents."""
    if len(set(ids)) < len(ids):
        raise TerminalError(f"the model gave several tool calls the same id: {', '.join(ids)}")


parts.check(__name__)

_init, _allow, _cancel = Turnstile.__init__, Turnstile.allow_next_after, Turnstile.cancel_all_after


class _Guarded(Turnstile):
    """The methods that replace the turnstile's."""

    started: set[str]
    """The calls that the SDK has started and that have not ended."""

    def __init__(self, ids: list[str]) -> None:
        refuse_repeated(ids)
        _init(self, ids)
        self.started = set()

    async def wait_for(self, id: str) -> None:
        self.started.add(id)
        turn, ids = self.events[id], [*self.events]
        while not turn.is_set():
            try:
                async with asyncio.timeout(PATIENCE):
                    await turn.wait()
            except TimeoutError:
                if not self.started.intersection(ids[: ids.index(id)]):
                    break  # the calls before it have ended, or will not come
        if self.canceled:
            raise SdkInternalException from None

    def allow_next_after(self, id: str) -> None:
        self.started.discard(id)
        _allow(self, id)

    def cancel_all_after(self, id: str) -> None:
        self.started.discard(id)
        _cancel(self, id)


for _name in ("__init__", "wait_for", "allow_next_after", "cancel_all_after"):
    setattr(Turnstile, _name, vars(_Guarded)[_name])
