"""The least that durability costs one claim at a time, on Restate and on LangGraph: can Restate be the faster one?"""

from contextlib import AsyncExitStack
from pathlib import Path

from pydantic import BaseModel
from rich.console import Console

from bench.contenders import PEERS, running
from bench.durability import durable_side, plain_side
from bench.growth import LOOP, SERVICE
from bench.measuring import Block, Extent, one_at_a_time, p50
from bench.pieces import side_of
from tour.runtime import stack
from tour.runtime.frameworks import BY_NAME

LANGGRAPH = next(peer for peer in PEERS if peer.name == "langgraph.async")
"""LangGraph as it comes: the graph does not wait for its checkpoints."""

FRAMEWORK = BY_NAME[LANGGRAPH.sdk]


class Least(BaseModel):
    """One claim at a time: the agent without durability, on LangGraph and on Restate. The blocks of each, in order.

    `invocation` is not a claim, but the least that a claim on Restate needs: an invocation without a step.
    """

    plain: list[Block]
    langgraph: list[Block]
    restate: list[Block]
    invocation: list[Block]

    def added(self, blocks: list[Block]) -> list[float]:
        """What durability adds to the median latency, in ms, for each pair of neighbouring blocks."""
        return [p50(one) - p50(plain) for one, plain in zip(blocks, self.plain, strict=True)]


async def least(folder: Path, extent: Extent, console: Console) -> Least:
    """Measure all in turns. Raises: TourError."""
    async with AsyncExitStack() as exits:
        ours = await exits.enter_async_context(stack.running(folder / "restate", frameworks=[FRAMEWORK]))
        bare = await exits.enter_async_context(stack.running(folder / "bare", frameworks=[LOOP], pattern=SERVICE))
        theirs = await exits.enter_async_context(running(LANGGRAPH, folder / LANGGRAPH.name, ours.env))
        sides = [
            await plain_side(ours, FRAMEWORK, exits, folder),
            theirs.side,
            durable_side(ours, FRAMEWORK),
            side_of(bare, 0),
        ]
        blocks = await one_at_a_time(sides, extent, console, "The least of Restate and LangGraph")
    return Least(**dict(zip(Least.model_fields, blocks, strict=True)))
