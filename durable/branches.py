"""Concurrent branches of a handler: each takes durable steps one after another, as an agent does.

    reports = await branches(ctx, {"cost": lambda: report(cost, claim), "fraud": lambda: report(fraud, claim)})

For single steps, use `restate.gather`. Branches follow the rules of the tool calls of a turn (`tool_calls`): one branch
runs at a time, in an order that the journal decides, while the steps of all branches overlap.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from restate import Context

from durable.held_steps import holding
from durable.tool_calls import ToolCalls

Name = TypeVar("Name", bound=str)
T = TypeVar("T")

RESULTS = "branches"
"""The place in an invocation for the results of its branches, by key and name."""


async def branches(ctx: Context, work: Mapping[Name, Callable[[], Awaitable[T]]], key: str = "") -> list[T]:
    """The results of these branches, in their order. Each branch has its own Restate context as the current context.

    With a `key`, a branch that has a result does not run again in the same invocation: later calls with the key get
    that result. Two tool calls that ask at the same time run the branch twice.
    Raises: the first error of a branch, when all branches have ended.
    """
    kept: dict[str, dict[Name, T]] = holding(ctx).extension_data.setdefault(RESULTS, {})
    results = kept.setdefault(key, {}) if key else {}
    missing = [name for name in work if name not in results]
    calls = ToolCalls(ctx, [f"branch {name}" for name in missing], limit=len(missing))

    async def run(name: Name) -> None:
        async with calls.turn(f"branch {name}"):
            results[name] = await work[name]()

    await asyncio.gather(*map(run, missing))
    return [results[name] for name in work]
