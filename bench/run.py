"""The benchmark in one run."""

import datetime
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel
from rich.console import Console

from bench.against_peers import Peers, peers
from bench.durability import Cost, durability
from bench.growth import Growth, growth
from bench.languages import Languages, languages
from bench.least import Least, least
from bench.measuring import PARTS, Extent
from bench.pieces import Piece, pieces
from bench.settings import Setting, settings
from bench.starting import Start, starting
from bench.steps import Kind, steps
from bench.streaming_cost import Streaming, streaming_cost
from bench.tracing_cost import Traced, tracing_cost
from tour.report import Machine, machine, versions
from tour.runtime.frameworks import BY_NAME, Framework

Of = TypeVar("Of", bound=Cost | Start | Traced | Streaming)

BY_FRAMEWORK = ("durability", "start", "tracing", "streaming")
"""The parts whose results are those of one framework after the other."""


class Bench(BaseModel):
    """The results. A part that was not measured is empty."""

    made: datetime.date
    machine: Machine
    versions: dict[str, str]
    durability: list[Cost] = []
    pieces: list[Piece] = []
    settings: list[Setting] = []
    least: Least | None = None
    steps: list[Kind] = []
    languages: Languages | None = None
    peers: Peers | None = None
    growth: Growth | None = None
    start: list[Start] = []
    tracing: list[Traced] = []
    streaming: list[Streaming] = []


async def measure(
    folder: Path,
    frameworks: Sequence[Framework],
    parts: Collection[str],
    extent: Extent,
    console: Console,
    keep: Callable[[Bench], object],
) -> Bench:
    """Measure these parts, one after the other. Logs and journals are in `folder`.

    `keep` gets all results after each part: a part that fails loses no other. Raises: TourError.
    """
    python = [framework for framework in frameworks if not framework.on_node]
    measures: dict[str, Callable[[Path], Awaitable[object]]] = {
        "durability": lambda folder: durability(folder, frameworks, extent, console),
        "pieces": lambda folder: pieces(folder, extent, console),
        "settings": lambda folder: settings(folder, extent, console),
        "least": lambda folder: least(folder, extent, console),
        "steps": lambda folder: steps(folder, extent, console),
        "languages": lambda folder: languages(folder, frameworks, extent, console),
        "peers": lambda folder: peers(folder, frameworks, extent, console),
        "growth": lambda folder: growth(folder, frameworks, extent, console),
        "start": lambda folder: starting(folder, frameworks, extent, console),
        "tracing": lambda folder: tracing_cost(folder, python, extent, console),
        "streaming": lambda folder: streaming_cost(folder, frameworks, extent, console),
    }
    bench = Bench(made=datetime.date.today(), machine=machine(), versions=versions())
    for part in PARTS:
        if part in parts:
            console.print(f"Measuring: {part}", highlight=False)
            bench = bench.model_copy(update={part: await measures[part](folder / part)})
            keep(bench)
    return bench


def put(measured: Bench, earlier: Bench) -> Bench:
    """The earlier results with the parts that were measured now, a framework's in the place of that framework's.

    Day, machine and versions stay those of the earlier run.
    """
    parts = {part: (getattr(measured, part), getattr(earlier, part)) for part in PARTS}
    return earlier.model_copy(
        update={
            part: _replaced(before, now) if part in BY_FRAMEWORK else now
            for part, (now, before) in parts.items()
            if now
        }
    )


def _replaced(earlier: list[Of], measured: list[Of]) -> list[Of]:
    """Those of each framework, in the order of the frameworks."""
    now = {each.framework for each in measured}
    together = [*(each for each in earlier if each.framework not in now), *measured]
    order = list(BY_NAME)
    together.sort(key=lambda each: order.index(each.framework))
    return together
