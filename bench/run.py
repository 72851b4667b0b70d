"""The benchmark in one run."""

import datetime
from collections.abc import Collection, Sequence
from pathlib import Path

from pydantic import BaseModel
from rich.console import Console

from bench.against_peers import Peers, peers
from bench.durability import Cost, durability
from bench.growth import Growth, growth
from bench.measuring import Extent
from bench.starting import Start, starting
from bench.tracing_cost import Traced, tracing_cost
from tour.report import Machine, machine, versions
from tour.runtime.frameworks import Framework


class Bench(BaseModel):
    """The results. A part that was not measured is empty."""

    made: datetime.date
    machine: Machine
    versions: dict[str, str]
    durability: list[Cost] = []
    peers: Peers | None = None
    growth: Growth | None = None
    start: list[Start] = []
    tracing: list[Traced] = []


async def measure(
    folder: Path, frameworks: Sequence[Framework], parts: Collection[str], extent: Extent, console: Console
) -> Bench:
    """Measure these parts, one after the other. Logs and journals are in `folder`. Raises: TourError."""
    bench = Bench(made=datetime.date.today(), machine=machine(), versions=versions())
    if "durability" in parts:
        bench.durability = await durability(folder / "durability", frameworks, extent, console)
    if "peers" in parts:
        bench.peers = await peers(folder / "peers", frameworks, extent, console)
    if "growth" in parts:
        bench.growth = await growth(folder / "growth", frameworks, extent, console)
    if "start" in parts:
        bench.start = await starting(folder / "start", frameworks, extent, console)
    if "tracing" in parts:
        bench.tracing = await tracing_cost(folder / "tracing", frameworks, extent, console)
    return bench
