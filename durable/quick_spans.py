"""Makes a middleware of LangChain cheap: LangSmith looks after its spans where the agent runs, and not in threads.

langchain 1.4 puts a span around each call of a middleware, such as Restate's. With or without a LangSmith to send them
to, each span waits twice for a thread: six times in a claim. LangSmith has a setting for programs without threads,
which this module uses. Importing it is enough.
"""

from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVar

import langsmith

T = TypeVar("T")


async def _here(_: object, context: Context, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    return context.run(function, *args, **kwargs)


langsmith.set_runtime_overrides(aio_to_thread=_here)
