"""The service that test_tool_calls.py tries: tool programs, run in turns, and naively beside that."""

import asyncio

import restate
from pydantic import BaseModel

from shared.serving import serve
from tests.durable.programs import elsewhere, perform, together, work


class Batch(BaseModel):
    tag: str
    programs: list[list[list[object]]]
    limit: int | None = None
    naive: bool = False
    """Run them with `asyncio.gather` alone."""


service = restate.Service("Batch")


@service.handler()
async def run(ctx: restate.Context, batch: Batch) -> list[str]:
    if batch.naive:
        results = list(await asyncio.gather(*(perform(program, batch.tag) for program in batch.programs)))
    else:
        results = await together(ctx, batch.programs, batch.tag, batch.limit)
    await work("afterwards", batch.tag)  # outside of any step: when it fails, all of it is replayed
    return results


if __name__ == "__main__":
    serve(service, elsewhere)
