"""Makes LangChain's middlewares cheap: LangSmith handles its spans in the agent's thread instead of other threads.

langchain 1.4 puts a span around each call of a middleware, such as Restate's. Even without a LangSmith server, each
span waits twice for a thread: six times in a claim. This module uses LangSmith's setting for programs without threads.
Importing it is enough.
"""

from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVar

import langsmith

T = TypeVar("T")


async def _here(_: object, context: Context, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    return context.run(function, *args, **kwargs)


langsmith.set_runtime_overrides(aio_to_thread=_here)
