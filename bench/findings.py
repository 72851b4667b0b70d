"""Measures what docs/comparison.md says of each framework, in a run that is warm and undisturbed.

uv run python -m bench.findings && uv run python -m tests.docs.figures
"""

import asyncio
import statistics
import tempfile
from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel
from rich.console import Console

from bench import footprint, tokens
from bench.footprint import Footprint
from bench.tokens import Tokens
from shared.claims import sample_claims
from tour import code, compare, report
from tour.boot import booted
from tour.report import Machine
from tour.runtime.errors import TourError
from tour.runtime.frameworks import FRAMEWORKS, ROOT
from tour.runtime.run import command_line, until_done

FILE = ROOT / "docs" / "comparison.json"
MODEL_LATENCY, STEP_LATENCY = 0.3, 0.5


class Finding(BaseModel):
    """One framework. `added` is the time of a claim in s beyond the model calls and the checks.

    `journal` is in bytes. `lines` are those of the agent's file that are not blank, `helpers` those of its other files
    (`tour.code.Facts`).
    """

    title: str
    added: float
    journal: int
    lines: int
    helpers: int
    footprint: Footprint
    tokens: Tokens


class Findings(BaseModel):
    """All frameworks. Latencies are in s; `whole_journal` is in bytes (`bench.footprint.whole_journal`)."""

    made: date
    machine: Machine
    versions: dict[str, str]
    model: str
    step_latency: float
    frameworks: list[Finding]
    whole_journal: int


async def find(repeat: int, console: Console) -> Findings:
    """Send the claim to each framework this many times; the first time does not count. Raises: TourError."""
    claim = sample_claims()["broken-leg"]
    async with booted(FRAMEWORKS, MODEL_LATENCY, STEP_LATENCY, console) as running:
        if running.frameworks != list(FRAMEWORKS):
            raise TourError("The page compares all frameworks, and some are left out.", "Connect to the network once.")
        runs = await compare.compare(running, running.frameworks, claim, repeat, console)
        model = running.model
    with tempfile.TemporaryDirectory(prefix="tour-findings-") as folder:
        needed = await footprint.footprints(FRAMEWORKS, Path(folder))
        whole_journal = await footprint.whole_journal(Path(folder), claim)
        spent = await tokens.tokens_of(FRAMEWORKS, Path(folder) / "tokens", claim)
    found = []
    for framework, needs, used in zip(FRAMEWORKS, needed, spent, strict=True):
        _, *later = runs[framework]
        facts, last = code.facts(framework), later[-1]
        waited = last.model_calls * MODEL_LATENCY + STEP_LATENCY
        found.append(
            Finding(
                title=framework.title,
                added=statistics.median(run.total for run in later) / 1000 - waited,
                journal=last.journal_bytes,
                lines=facts.lines,
                helpers=facts.helpers,
                footprint=needs,
                tokens=used,
            )
        )
    return Findings(
        made=date.today(),
        machine=report.machine(),
        versions=report.versions(),
        model=model,
        step_latency=STEP_LATENCY,
        frameworks=found,
        whole_journal=whole_journal,
    )


cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@cli.command()
def main(
    repeat: Annotated[int, typer.Option(min=2, help="Send the claim this many times; the first one is cold.")] = 5,
    out: Annotated[Path, typer.Option(help="The file.")] = FILE,
) -> None:
    """Write docs/comparison.json from a run of all frameworks."""
    console = Console()

    async def write() -> None:
        found = await find(repeat, console)
        await asyncio.to_thread(out.write_text, found.model_dump_json(indent=1) + "\n")
        console.print(f"Findings: {out}", soft_wrap=True, highlight=False)

    until_done(write())


if __name__ == "__main__":
    command_line(cli, Console())
