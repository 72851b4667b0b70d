"""Two languages: the loop of our own in Python and the one in TypeScript, on Restate and without it, in turns."""

import datetime
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from pydantic import BaseModel
from rich.console import Console
from rich.progress import Progress

from bench.durability import durable_side, plain_side
from bench.measuring import Block, Extent, alternate, ratios, warm_up
from tour.runtime import stack
from tour.runtime.frameworks import BY_NAME, Framework

LOOPS = (BY_NAME["restate_loop"], BY_NAME["typescript_loop"])


class Loops(BaseModel):
    """Both loops at one concurrency: the blocks of the four sides, in order."""

    concurrency: int
    python: list[Block]
    python_plain: list[Block]
    typescript: list[Block]
    typescript_plain: list[Block]

    def durable_ratios(self, of: Callable[[Block], float]) -> list[float]:
        """Python over TypeScript, both on Restate, for each pair of neighbouring blocks."""
        return ratios(self.python, self.typescript, of)

    def plain_ratios(self, of: Callable[[Block], float]) -> list[float]:
        """The same without Restate."""
        return ratios(self.python_plain, self.typescript_plain, of)


class Languages(BaseModel):
    """The results. They have a day of their own: this part can be measured alone, and kept beside the others."""

    made: datetime.date
    loops: list[Loops]


async def languages(
    folder: Path, frameworks: Sequence[Framework], extent: Extent, console: Console
) -> Languages | None:
    """Measure both loops, unless one of them is not chosen. Raises: TourError."""
    if not {*LOOPS} <= {*frameworks}:
        return None
    measured = Languages(made=datetime.date.today(), loops=[])
    async with stack.running(folder, frameworks=LOOPS) as running, AsyncExitStack() as exits:
        sides = []
        for loop in LOOPS:
            sides += [durable_side(running, loop), await plain_side(running, loop, exits, folder)]
        await warm_up(sides)
        with Progress(console=console, transient=True) as progress:
            bar = progress.add_task("", total=len(extent.concurrency) * extent.blocks)
            for concurrency in extent.concurrency:
                progress.update(bar, description=f"both loops, {concurrency} at a time")
                python, python_plain, typescript, typescript_plain = await alternate(
                    sides, extent, concurrency, lambda: progress.advance(bar)
                )
                measured.loops.append(
                    Loops(
                        concurrency=concurrency,
                        python=python,
                        python_plain=python_plain,
                        typescript=typescript,
                        typescript_plain=typescript_plain,
                    )
                )
    return measured
