"""Input of the wrong type ends the invocation with 400 before the handler begins.

    service = restate.Service("Claims", invocation_context_managers=[hold_failures, checked_input(Claim)])

The SDK answers 500 if it cannot parse a Pydantic model. It accepts any JSON for a `str`, and gives the handler `None`
for an empty body: the handler then fails somewhere else, and Restate retries it forever.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from pydantic import TypeAdapter, ValidationError
from restate import TerminalError
from restate.extensions import current_context


def checked_input(kind: Any) -> Callable[[], AbstractAsyncContextManager[None]]:
    """Check that each request is JSON of this type; for the `invocation_context_managers` of a service."""
    adapter = TypeAdapter[Any](kind)

    @asynccontextmanager
    async def checked() -> AsyncIterator[None]:
        context = current_context()
        assert context
        try:
            adapter.validate_json(context.request().body)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(map(str, first["loc"])) or "body"
            raise TerminalError(f"invalid request: {field}: {first['msg']}", status_code=400) from None
        yield

    return checked
