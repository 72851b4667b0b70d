"""The benchmark in one run."""

import datetime
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel
from rich.console import Console

from bench.against_peers import Peers, peers
from bench.durability import Cost, durability
from bench.growth import Growth, growth
from bench.languages import Languages, languages
from bench.least import Least, least
from bench.measuring import Extent
from bench.pieces import Piece, pieces
from bench.settings import Setting, settings
from bench.starting import Start, starting
from bench.steps import Kind, steps
from bench.streaming_cost import Streaming, streaming_cost
from bench.tracing_cost import Traced, tracing_cost
from tour.report import Machine, machine, versions
from tour.runtime.frameworks import BY_NAME, Framework

Of = TypeVar("Of", bound=Cost | Start | Traced | Streaming)


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
    folder: Path, frameworks: Sequence[Framework], parts: Collection[str], extent: Extent, console: Console
) -> Bench:
    """Measure these parts, one after the other. Logs and journals are in `folder`. Raises: TourError."""
    bench = Bench(made=datetime.date.today(), machine=machine(), versions=versions())
    if "durability" in parts:
        bench.durability = await durability(folder / "durability", frameworks, extent, console)
    if "pieces" in parts:
        bench.pieces = await pieces(folder / "pieces", extent, console)
    if "settings" in parts:
        bench.settings = await settings(folder / "settings", extent, console)
    if "least" in parts:
        bench.least = await least(folder / "least", extent, console)
    if "steps" in parts:
        bench.steps = await steps(folder / "steps", extent, console)
    if "languages" in parts:
        bench.languages = await languages(folder / "languages", frameworks, extent, console)
    if "peers" in parts:
        bench.peers = await peers(folder / "peers", frameworks, extent, console)
    if "growth" in parts:
        bench.growth = await growth(folder / "growth", frameworks, extent, console)
    if "start" in parts:
        bench.start = await starting(folder / "start", frameworks, extent, console)
    if "tracing" in parts:
        python = [framework for framework in frameworks if not framework.on_node]
        bench.tracing = await tracing_cost(folder / "tracing", python, extent, console)
    if "streaming" in parts:
        bench.streaming = await streaming_cost(folder / "streaming", frameworks, extent, console)
    return bench


def put(measured: Bench, earlier: Bench) -> Bench:
    """The earlier results with the parts that were measured now, a framework's in the place of that framework's.

    Day, machine and versions stay those of the earlier run.
    """
    both = earlier.model_copy()
    both.pieces = measured.pieces or earlier.pieces
    both.settings = measured.settings or earlier.settings
    both.least = measured.least or earlier.least
    both.steps = measured.steps or earlier.steps
    both.languages = measured.languages or earlier.languages
    both.peers = measured.peers or earlier.peers
    both.growth = measured.growth or earlier.growth
    both.durability = _replaced(earlier.durability, measured.durability)
    both.start = _replaced(earlier.start, measured.start)
    both.tracing = _replaced(earlier.tracing, measured.tracing)
    both.streaming = _replaced(earlier.streaming, measured.streaming)
    return both


def _replaced(earlier: list[Of], measured: list[Of]) -> list[Of]:
    """Those of each framework, in the order of the frameworks."""
    now = {each.framework for each in measured}
    together = [*(each for each in earlier if each.framework not in now), *measured]
    order = list(BY_NAME)
    together.sort(key=lambda each: order.index(each.framework))
    return together
