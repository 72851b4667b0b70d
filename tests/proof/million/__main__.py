"""Runs millions of steps, and says whether one was redone or repeated.

    uv run python -m tests.proof.million --steps 3000000 --out docs/million.json

Ctrl-C, a kill or a reboot loses only the current round: the same command resumes.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.proof.million.proof import Proof, Round
from tests.proof.million.raging import AGENTS, Raged, rage
from tests.proof.million.shrinking import smallest
from tests.proof.million.storm import Storm, plan
from tour.runtime.errors import TourError

ROUND = 50_000
"""The steps of a round, which has its own server, agents and evidence."""

TRIES = 3
"""The tries of a round whose server or agents do not start."""


def main(
    steps: Annotated[int, typer.Option(help="The number of steps, in rounds.")] = 3_000_000,
    seed: Annotated[str, typer.Option(help="The seed of all rounds.")] = "1",
    round_steps: Annotated[int, typer.Option("--round", help="The steps of a round.")] = ROUND,
    seconds: Annotated[float | None, typer.Option(help="Begin no round after so many seconds.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the figures there in the end.")] = None,
    plain: Annotated[bool, typer.Option(help="Without `hold_failures`: this must fail.")] = False,
    storm: Annotated[Path | None, typer.Option(help="Run this storm alone, which a failure has left.")] = None,
) -> None:
    """Prove that steps are neither redone nor repeated; exit with 1 if one is."""
    console = Console(soft_wrap=True, highlight=False)
    if storm:
        raged = asyncio.run(raging(Storm.model_validate_json(storm.read_text()), plain))
        console.print(*raged.verdict.redone, *raged.verdict.repeated, *raged.verdict.wrong, sep="\n")
        raise typer.Exit(0 if raged.verdict.kept else 1)
    proof, file = Proof.of(seed, round_steps, plain)
    asyncio.run(prove(proof, file, console, steps=steps, round_steps=round_steps, seconds=seconds, plain=plain))
    console.print(table(proof))
    if proof.failed:
        raise typer.Exit(1)
    if out:
        out.write_text(proof.report() + "\n")
        console.print(f"Written: {out}")


async def prove(
    proof: Proof, file: Path, console: Console, *, steps: int, round_steps: int, seconds: float | None, plain: bool
) -> None:
    """Run the missing rounds, until one fails. Raises: TourError."""
    end = time.monotonic() + seconds if seconds else float("inf")
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("steps, {task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=console, speed_estimate_period=600) as progress:
        bar = progress.add_task("", total=steps, completed=proof.steps)
        while proof.steps < steps and not proof.failed and time.monotonic() < end:
            number, done = len(proof.rounds), proof.steps
            size, name = min(round_steps, steps - done), f"{proof.seed}/{number}"
            storm = plan(size, name, AGENTS)

            def seen(answered: int, done: int = done) -> None:
                progress.update(bar, completed=done + answered, description=described(proof))

            raged = await begun(storm, plain, seen, console)
            proof.rounds.append(Round.of(name, size, storm, raged))
            proof.save(file)
            console.print(line(proof.rounds[-1]))
    for failed in proof.failed:
        console.print(*failed.violations, sep="\n")
        if not (left := file.with_suffix(".storm")).exists():
            whole = plan(failed.planned, failed.seed, AGENTS)
            storm = await smallest(whole, failed.violations, lambda smaller: breaks(smaller, plain, console))
            left.write_text(storm.model_dump_json())
        console.print("The smallest storm that fails:", left.read_text())
        console.print(f"Run it: uv run python -m tests.proof.million{' --plain' if plain else ''} --storm {left}")


async def begun(storm: Storm, plain: bool, seen: Callable[[int], None], console: Console) -> Raged:
    """Run a round; retry it if its processes do not start. Raises: TourError."""
    for _ in range(TRIES - 1):
        try:
            return await raging(storm, plain, seen)
        except* TourError as errors:
            console.print(f"The round begins again: {errors.exceptions[0]}")
    return await raging(storm, plain, seen)


async def raging(storm: Storm, plain: bool, seen: Callable[[int], None] = lambda steps: None) -> Raged:
    """Run a storm in a separate folder, which stays if the promise is broken."""
    folder = Path(tempfile.mkdtemp(prefix="million-"))
    raged = None
    try:
        raged = await rage(storm, folder, plain, seen)
    finally:
        if raged is None or raged.verdict.kept:
            shutil.rmtree(folder)
    return raged


async def breaks(storm: Storm, plain: bool, console: Console) -> bool:
    """Whether a smaller storm breaks the promise in one of two tries: the seed does not determine everything."""
    for _ in range(2 if storm.steps else 0):
        with tempfile.TemporaryDirectory(prefix="million-") as folder:
            if not (await rage(storm, Path(folder), plain)).verdict.kept:
                console.print(f"fails with {len(storm.steps)} steps and {len(storm.kills)} kills")
                return True
    return False


def described(proof: Proof) -> str:
    """The state of the proof, beside the bar."""
    rate = f"{proof.steps / proof.seconds:.0f} steps/s, " if proof.rounds else ""
    kills = proof.sum("agent_kills") + proof.sum("server_kills")
    broken = f"{proof.sum('redone')} redone, {proof.sum('repeated')} repeated"
    return f"{rate}{len(proof.rounds)} rounds, {kills} kills, {broken}"


def line(done: Round) -> str:
    """A round's figures."""
    return (
        f"round {done.seed}: {done.steps} steps in {done.seconds:.0f} s ({done.steps / done.seconds:.0f}/s), "
        f"{done.starts} starts, {done.failures} failed, {done.lost} lost in {done.agent_kills} kills of agents and "
        f"{done.server_kills} of the server; {done.redone} redone, {done.repeated} repeated, {done.wrong} wrong"
    )


def table(proof: Proof) -> Table:
    """The verdict, on one screen."""
    broken = proof.failed
    shown = Table("", "", title="BROKEN" if broken else "The promise was kept.", show_header=False)
    for name, figure in {
        "seed": proof.seed,
        "failed in round": ", ".join(each.seed for each in broken),
        "steps finished": f"{proof.steps:,}",
        "invocations": f"{proof.sum('invocations'):,}",
        "starts of steps": f"{proof.sum('starts'):,}",
        "failures planned, struck": f"{proof.sum('failures_planned'):,}, {proof.sum('failures'):,}",
        "kills of agents, of the server": f"{proof.sum('agent_kills'):,}, {proof.sum('server_kills'):,}",
        "starts lost in kills": f"{proof.sum('lost'):,}",
        "redone: started after its completion was received": str(proof.sum("redone")),
        "repeated: started again with neither a failure nor a kill": str(proof.sum("repeated")),
        "wrong: lost or wrong answers and results": str(proof.sum("wrong")),
        "so the rate is below, at 95 % (3/n)": "" if broken else f"{proof.bound:.1e}",
        "time": str(timedelta(seconds=round(proof.seconds))),
    }.items():
        if figure:
            shown.add_row(name, figure)
    return shown


if __name__ == "__main__":
    typer.run(main)
