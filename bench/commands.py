"""`tour bench`: the whole benchmark, with its figures as tables and as a plot."""

import tempfile
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel
from rich.console import Console

from bench.measuring import PARTS, Extent
from tour import options
from tour.runtime import node
from tour.runtime.errors import TourError
from tour.runtime.frameworks import Framework
from tour.runtime.run import until_done

cli = typer.Typer()
console = Console()


@cli.callback(invoke_without_command=True)
def bench(
    only: options.Only = "",
    parts: Annotated[
        str, typer.Option(help=f"Only these parts, separated by commas: {', '.join(PARTS)}.", show_default="all")
    ] = ",".join(PARTS),
    claims: Annotated[int, typer.Option(min=5, help="The least number of claims in a block.")] = 40,
    out: Annotated[Path, typer.Option(help="The folder for the raw figures and the plot.")] = Path(".tour/bench"),
    into: Annotated[
        Path | None, typer.Option(help="Put what is measured into this file, too, which keeps its other parts.")
    ] = None,
) -> None:
    """Measure the cost of durability, other durable runtimes, growth, starts and streaming: about an hour."""
    chosen = tuple(part.strip() for part in parts.split(","))
    if unknown := [part for part in chosen if part not in PARTS]:
        raise TourError(f"There is no part {', '.join(unknown)}.", f"Choose from: {', '.join(PARTS)}")
    until_done(_bench(options.frameworks(only), chosen, Extent(claims=claims), out, into))


async def _bench(
    chosen: Sequence[Framework], parts: Sequence[str], extent: Extent, out: Path, into: Path | None
) -> None:
    needed = ("dbos", "temporalio", "matplotlib", *(["rotel"] if "tracing" in parts else []))
    if missing := [package for package in needed if not find_spec(package)]:
        raise TourError(
            f"The benchmark needs packages that the rest of the tour does not: {', '.join(missing)} and others.",
            "Run it as `uv run --all-groups tour bench`.",
        )
    from bench import plot, run, runtimes, show  # they import the peers, whose packages are optional

    out.mkdir(parents=True, exist_ok=True)
    chosen = await node.able(chosen, lambda line: console.print(line, highlight=False, soft_wrap=True))
    with tempfile.TemporaryDirectory(prefix="tour-bench-") as folder:
        measured = await run.measure(Path(folder), chosen, parts, extent, console, partial(_write, out / "bench.json"))
    if into:
        _write(into, run.put(measured, run.Bench.model_validate_json(into.read_bytes())))
    plot.plot(measured, out / "bench.svg")
    if measured.peers and any(runtimes.runtimes(measured.peers)):
        plot.plot_runtimes(measured, out / "runtimes.svg")
    for table in show.tables(measured):
        console.print(table)
    if measured.growth:
        console.print(f"A claim of a megabyte is refused: {measured.growth.refused}", highlight=False)
    console.print(f"Raw figures and plot: {out}/bench.json, {out}/bench.svg", highlight=False, soft_wrap=True)


def _write(file: Path, measured: BaseModel) -> None:
    file.write_text(measured.model_dump_json() + "\n")
