"""Why tool calls must not race for the journal: two tools of two steps each, without any model.

uv run restate_loop/naive_parallel.py

`naive` runs them with `asyncio.gather`, `in_turn` with `ToolCalls`. Each fails once at the end, so that Restate replays
it; the terminal shows the order of the steps in each attempt. `naive` never ends: kill it in the Restate UI.
"""

import asyncio
from collections import Counter

import restate
from restate.extensions import current_context

from durable.tool_calls import ToolCalls
from shared.serving import serve, service_name

SECONDS = {"a1": 0.4, "b1": 0.2, "a2": 0.0, "b2": 0.0}
attempts: Counter[str] = Counter()


async def step(name: str) -> str:
    ctx = current_context()
    assert ctx
    print(f"attempt {attempts[ctx.request().id]}: {name}", flush=True)

    async def work() -> str:
        await asyncio.sleep(SECONDS[name])
        return name

    return await ctx.run_typed(name, work)


async def tool(name: str) -> str:
    return await step(f"{name}1") + await step(f"{name}2")


naive_parallel = restate.Service(service_name("NaiveParallel"))


def fail_once(ctx: restate.Context) -> None:
    if attempts[ctx.request().id] == 1:
        raise RuntimeError("a failure after the tools have finished, which makes Restate replay them")


@naive_parallel.handler()
async def naive(ctx: restate.Context) -> list[str]:
    attempts[ctx.request().id] += 1
    results = await asyncio.gather(tool("a"), tool("b"))
    fail_once(ctx)
    return list(results)


@naive_parallel.handler()
async def in_turn(ctx: restate.Context) -> list[str]:
    attempts[ctx.request().id] += 1
    calls = ToolCalls(ctx, ["a", "b"])

    async def call(name: str) -> str:
        async with calls.turn(name):
            return await tool(name)

    results = await asyncio.gather(call("a"), call("b"))
    fail_once(ctx)
    return list(results)


if __name__ == "__main__":
    serve(naive_parallel)
