"""Writes docs/comparison.md: the comparison of all frameworks, from a run that is warm and undisturbed.

uv run python -m bench.findings --repeat 5
"""

import asyncio
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import jinja2
import typer
from rich.console import Console

from bench import footprint, tokens
from bench.footprint import Footprint
from bench.tokens import Tokens
from shared.claims import sample_claims
from tour import compare, report
from tour.boot import booted
from tour.report import Report
from tour.runtime.errors import TourError
from tour.runtime.frameworks import FRAMEWORKS, ROOT
from tour.runtime.run import command_line, until_done

TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")), trim_blocks=True, lstrip_blocks=True
)
MODEL_LATENCY, STEP_LATENCY = 0.3, 0.5


CONFORMANCE = ROOT / "docs" / "conformance.json"


def findings(made: Report, needs: Sequence[Footprint], used: Sequence[Tokens], whole_journal: int) -> str:
    """The findings as Markdown: the content of docs/comparison.md. Takes two or more runs of each framework.

    `needs` and `used` are those of the frameworks, in the same order; `whole_journal` is in bytes.
    """
    rows: list[dict[str, Any]] = []
    for framework, needed, spent in zip(made.frameworks, needs, used, strict=True):
        _, *later = framework.runs
        total = statistics.median(run.total for run in later)
        rows.append(
            {
                "name": framework.name,
                "title": framework.title,
                "needs": needed,
                "tokens": spent,
                "added": total - (later[-1].model_calls * made.model_latency + made.step_latency) * 1000,
                "last": later[-1],
            }
        )
    return TEMPLATES.get_template("comparison.md").render(
        report=made,
        rows=rows,
        of={row["name"]: row for row in rows},
        prices=tokens.prices(),
        documented=documented(),
        whole_journal=whole_journal,
        heaviest=max(rows, key=lambda row: row["last"].journal_bytes),
        lightest=min(rows, key=lambda row: row["last"].journal_bytes),
        frugal=min(rows, key=lambda row: row["tokens"].read),
    )


def documented() -> dict[str, str]:
    """How many cases of each promise the documented pattern passes on the SDKs in Python, such as `3 to 16 of 16`."""
    passed: dict[str, list[tuple[int, int]]] = {}
    for agent in json.loads(CONFORMANCE.read_text())["agents"].values():
        for promise, cases in agent["documented"].items():
            passed.setdefault(promise, []).append((list(cases.values()).count(None), len(cases)))
    return {promise: _of(counts) for promise, counts in passed.items()}


def _of(counts: list[tuple[int, int]]) -> str:
    least, most, cases = min(counts)[0], max(counts)[0], max(of for _, of in counts)
    return f"{least} of {cases}" if least == most else f"{least} to {most} of {cases}"


async def write(file: Path, repeat: int, console: Console) -> None:
    """Compare, and write the file. Raises: TourError."""
    claim = sample_claims()["broken-leg"]
    async with booted(FRAMEWORKS, MODEL_LATENCY, STEP_LATENCY, console) as running:
        if running.frameworks != list(FRAMEWORKS):
            raise TourError("The page compares all frameworks, and some are left out.", "Connect to the network once.")
        runs = await compare.compare(running, running.frameworks, claim, repeat, console)
        made = report.report_of(
            runs,
            claim=claim,
            model=running.model,
            model_latency=MODEL_LATENCY,
            step_latency=STEP_LATENCY,
            faults=(),
        )
    with tempfile.TemporaryDirectory(prefix="tour-findings-") as folder:
        needed = await footprint.footprints(FRAMEWORKS, Path(folder))
        journal = await footprint.whole_journal(Path(folder), claim)
        used = await tokens.tokens_of(FRAMEWORKS, Path(folder) / "tokens", claim)
    await asyncio.to_thread(file.write_text, findings(made, needed, used, journal), encoding="utf-8")
    console.print(f"Findings: {file}", soft_wrap=True, highlight=False)


cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@cli.command()
def main(
    repeat: Annotated[int, typer.Option(min=2, help="Send the claim this many times; the first one is cold.")] = 5,
    out: Annotated[Path, typer.Option(help="The file.")] = ROOT / "docs" / "comparison.md",
) -> None:
    """Write docs/comparison.md from a run of all frameworks."""
    console = Console()
    until_done(write(out, repeat, console))


if __name__ == "__main__":
    command_line(cli, Console())
