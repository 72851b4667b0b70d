"""The service of test_tool_calls.py: tool programs, run in turns, and naively for contrast."""

import asyncio
from collections.abc import Callable, Coroutine

import restate
from pydantic import BaseModel
from restate.extensions import current_context

from durable.branches import branches
from shared.serving import serve
from tests.durable.programs import elsewhere, perform, together, work


class Batch(BaseModel):
    tag: str
    programs: list[list[list[object]]]
    limit: int | None = None
    naive: bool = False
    """Run them only with `asyncio.gather`."""


service = restate.Service("Batch")


@service.handler()
async def run(ctx: restate.Context, batch: Batch) -> list[str]:
    if batch.naive:
        results = list(await asyncio.gather(*(perform(program, batch.tag) for program in batch.programs)))
    else:
        results = await together(ctx, batch.programs, batch.tag, batch.limit)
    await work("afterwards", batch.tag)  # outside of any step: when it fails, all of it is replayed
    return results


@service.handler()
async def twice(ctx: restate.Context, key: str) -> list[list[str]]:
    """Branches of the same name, called twice with different work."""

    def branch(result: str) -> Callable[[], Coroutine[None, None, str]]:
        async def run() -> str:
            return await current().run_typed(result, lambda: result)

        return run

    return [await branches(ctx, {"a": branch(result), "b": branch(result)}, key) for result in ("first", "second")]


def current() -> restate.Context:
    context = current_context()
    assert context
    return context


if __name__ == "__main__":
    serve(service, elsewhere)
