"""The command `tour`."""

import asyncio
import json
import os
import re
import shutil
import sys
import tempfile
import webbrowser
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import httpx
import platformdirs
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from lab.ledger import Fault
from shared.claims import InsuranceClaim, invalid, sample_claims
from tour import chaos as chaos_
from tour import compare as compare_
from tour import report, show
from tour.runtime import doctor as doctor_
from tour.runtime import frameworks, restate_server, stack
from tour.runtime.errors import TourError
from tour.runtime.frameworks import FRAMEWORKS, PATTERNS, Framework
from tour.runtime.restate_server import Ports
from tour.runtime.run import until_done

cli = typer.Typer(
    add_completion=False,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    help="One agent on five SDKs, made durable by Restate. Without a command: one claim to all five, side by side.",
)
for command in sorted(entry_points(group="tour.commands")):  # of folders above this one: see pyproject.toml
    cli.add_typer(command.load(), name=command.name)
console = Console()

ModelLatency = Annotated[float, typer.Option(min=0, help="Seconds that an answer of the offline model takes.")]
StepLatency = Annotated[float, typer.Option(min=0, help="Seconds that each check is slowed down by.")]
Sample = Annotated[str, typer.Option(help="A claim of shared/samples, by name.")]
ClaimFile = Annotated[str, typer.Option(help="A file with a claim as JSON; `-` reads standard input.")]
Svg = Annotated[Path | None, typer.Option(help="Keep what is shown as a picture, in this SVG file.")]


@cli.callback(invoke_without_command=True)
def tour(
    context: typer.Context,
    sample: Sample = "broken-leg",
    claim: ClaimFile = "",
    only: frameworks.Only = "",
    model_latency: ModelLatency = 0.3,
    step_latency: StepLatency = 0.5,
    svg: Svg = None,
) -> None:
    """Boot what is missing, send one claim to all five at once, and show what came of it."""
    if context.invoked_subcommand is None:
        _picture(
            svg, "uv run tour", _compare(frameworks.chosen(only), _claim(sample, claim), model_latency, step_latency)
        )


@cli.command()
def compare(
    sample: Sample = "broken-leg",
    claim: ClaimFile = "",
    date: Annotated[str, typer.Option(help="Another date than the sample's, as YYYY-MM-DD.")] = "",
    category: Annotated[str, typer.Option(help="Another category.")] = "",
    reason: Annotated[str, typer.Option(help="Another reason.")] = "",
    amount: Annotated[float | None, typer.Option(help="Another amount, in US dollars.")] = None,
    place_of_service: Annotated[str, typer.Option(help="Another place of service.")] = "",
    only: frameworks.Only = "",
    repeat: Annotated[int, typer.Option(min=1, help="Send the claim so many times; shows medians.")] = 1,
    model_latency: ModelLatency = 0.3,
    step_latency: StepLatency = 0.5,
    fail: Annotated[list[str] | None, typer.Option(help="A check fails, as `fraud=2` times.")] = None,
    crash: Annotated[list[str] | None, typer.Option(help="`kill -9` of the agent before this check's work.")] = None,
    crash_after: Annotated[list[str] | None, typer.Option(help="The same after its work.")] = None,
    terminal: Annotated[list[str] | None, typer.Option(help="A check ends for good, as `cost=422`.")] = None,
    delay: Annotated[list[str] | None, typer.Option(help="Each check takes `1s` longer, or one: `fraud=1s`.")] = None,
    model_fault: Annotated[
        list[str] | None,
        typer.Option(help=f"The model fails once, or `500=2` times: {', '.join(compare_.MODEL_FAULTS)}."),
    ] = None,
    json_: Annotated[
        str, typer.Option("--json", help="Write the figures to this file as JSON; `-` prints just them.")
    ] = "",
    html: Annotated[
        Path | None, typer.Option(help="Write a report to this file, as one page that stands alone.")
    ] = None,
    patterns: Annotated[
        bool, typer.Option("--patterns", help="The checks three ways: one tool that fans out, three tools, one by one.")
    ] = False,
    findings: Annotated[
        Path | None, typer.Option(help="Write what was found to this file, as docs/comparison.md is; with --repeat.")
    ] = None,
    svg: Svg = None,
) -> None:
    """Compare the five on one claim: figures and timelines, with faults if you like, and what their code tells."""
    fields = {
        "date": date,
        "category": category,
        "reason": reason,
        "amount": amount,
        "placeOfService": place_of_service,
    }
    faults = compare_.faults(fail or (), crash or (), crash_after or (), terminal or (), delay or (), model_fault or ())
    if findings and (repeat < 2 or only or faults):
        raise TourError(
            "--findings compares all five, warm and undisturbed.", "Use --repeat 5, without --only and faults."
        )
    chosen = _claim(sample, claim, {name: value for name, value in fields.items() if value not in ("", None)})
    if patterns:
        if repeat > 1 or json_ or html or findings:
            raise TourError(
                "--patterns shows timelines, and nothing else.", "Leave out --repeat, --json, --html and --findings."
            )
        _picture(
            svg,
            "uv run tour compare --patterns",
            _patterns(frameworks.chosen(only), chosen, model_latency, step_latency, faults),
        )
        return
    console.quiet = json_ == "-"
    job = _compare(
        frameworks.chosen(only),
        chosen,
        model_latency,
        step_latency,
        faults,
        repeat,
        json_,
        html,
        findings,
        details=True,
    )
    _picture(svg, "uv run tour compare", job)


@cli.command()
def code(
    only: frameworks.Only = "",
    region: Annotated[str, typer.Option(help="Only this region: tool, agent or service.")] = "",
) -> None:
    """The five agents' code side by side, region by region; what most of them share is dimmed."""
    for part in show.side_by_side(frameworks.chosen(only), region, console.width):
        console.print(part, highlight=False)


@cli.command()
def chaos(
    claims: Annotated[int, typer.Option(min=10, help="How many claims, over all five.")] = 25,
    seed: Annotated[int, typer.Option(help="The storm to let loose: the same seed, the same plan.")] = 1,
) -> None:
    """A storm of failing steps, model faults and `kill -9`, and the verdict: was the promise kept?"""
    until_done(_chaos(claims, seed))


@cli.command()
def up(only: frameworks.Only = "", model_latency: ModelLatency = 0.3, step_latency: StepLatency = 0.5) -> None:
    """Keep Restate (ports 8080 and 9070), the model and the agents running until Ctrl-C; prints the curl lines."""
    until_done(_up(frameworks.chosen(only), model_latency, step_latency))


@cli.command()
def web(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where the page is, on loopback; 0: a free port.")] = 8070,
    model_latency: ModelLatency = 0.6,
    step_latency: StepLatency = 1.0,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """A live page: send a claim to all five, break a check, kill an agent, and watch them recover."""
    until_done(_web(port, model_latency, step_latency, open_))


@cli.command()
def server() -> None:
    """Run just Restate in the foreground, on ports 8080 and 9070, until Ctrl-C."""
    until_done(_server())


@cli.command()
def register(
    url: Annotated[str, typer.Argument(help="Where the agent listens, such as http://localhost:9080")],
) -> None:
    """Register an agent that runs already with Restate."""
    until_done(_register(url))


@cli.command()
def doctor() -> None:
    """Say what is missing on this machine, and how to get it."""
    findings = list(doctor_.examine())
    for finding in findings:
        mark = {True: "[green]ok[/]", False: "[red]missing[/]", None: "[yellow]note[/]"}[finding.ok]
        console.print(f"{mark:<7} {finding.what}", soft_wrap=True, highlight=False)
        if finding.ok is not True:
            console.print(f"        {finding.remedy}", soft_wrap=True, highlight=False)
    raise typer.Exit(any(finding.ok is False for finding in findings))


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 an error that is explained, 130 stopped with Ctrl-C."""
    try:
        cli()
    except TourError as error:
        console.quiet = False  # with `--json -` it prints nothing else
        console.print("[bold red]Error:[/] " + escape(error.problem), soft_wrap=True, highlight=False)
        console.print(error.remedy, soft_wrap=True, highlight=False, markup=False)
        sys.exit(1)


def _picture(svg: Path | None, title: str, job: Coroutine[Any, Any, None]) -> None:
    console.record = svg is not None
    until_done(job)
    if svg:
        picture = console.export_svg(title=title)
        svg.write_text(re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL))  # they are on a web server


async def _compare(
    chosen: tuple[Framework, ...],
    claim: InsuranceClaim,
    model_latency: float,
    step_latency: float,
    faults: Sequence[Fault] = (),
    repeat: int = 1,
    json_: str = "",
    html: Path | None = None,
    findings: Path | None = None,
    *,
    details: bool = False,
) -> None:
    async with _stack(chosen, model_latency, step_latency) as running:
        model = running.model
        console.print(f"Claim: {claim.model_dump_json()}", soft_wrap=True, highlight=False)
        running.lab.plan(*faults)
        runs = await compare_.compare(running, chosen, claim, repeat, console)
    made = report.report_of(
        runs, claim=claim, model=model, model_latency=model_latency, step_latency=step_latency, faults=faults
    )
    console.print(show.figures(made, console.width))
    if faults:
        console.print(show.faults(made))
    console.print(show.timelines({f.title: f.runs[-1] for f in made.frameworks}, console.width))
    if repeat == 1:
        console.print("First claims of fresh processes: `--repeat 3` shows warm ones.", style="dim")
    if details:
        console.print(show.read_from_the_code(made))
    show.answers(made, console)
    if running.restate.process and running.restate.admin.endswith(f":{Ports().admin}"):
        console.print("The pages of the Restate UI open while `uv run tour up` runs: the journals are kept.")
    elif running.restate.process:
        console.print("Restate's usual ports were not taken: this run's journals, and so its pages, are gone.")
    if json_ == "-":
        print(made.model_dump_json(indent=2))
    elif json_:
        Path(json_).write_text(made.model_dump_json(indent=2) + "\n")
    if html:
        html.write_text(report.html(made))
        console.print(f"Report: {html}", soft_wrap=True, highlight=False)
    if findings:
        findings.write_text(report.findings(made))
        console.print(f"Findings: {findings}", soft_wrap=True, highlight=False)
    if not faults and any(run.verdict == "error" for made_runs in runs.values() for run in made_runs):
        raise typer.Exit(1)


async def _patterns(
    chosen: tuple[Framework, ...],
    claim: InsuranceClaim,
    model_latency: float,
    step_latency: float,
    faults: Sequence[Fault],
) -> None:
    runs: dict[str, dict[Framework, list[report.Run]]] = {}
    async with _stack(chosen, model_latency, step_latency) as running:
        running.lab.plan(*faults)
        for pattern in PATTERNS:
            _say(f"{pattern.title}: {pattern.file}")
            await running.add(pattern)
            runs[pattern.title] = await compare_.compare(running, chosen, claim, 2, console, pattern)
    for framework in chosen:
        console.print(f"\n{framework.title}", style="bold")
        console.print(show.timelines({title: made[framework][-1] for title, made in runs.items()}, console.width))


@asynccontextmanager
async def _stack(chosen: Sequence[Framework], model_latency: float, step_latency: float) -> AsyncIterator[stack.Stack]:
    """The stack on the usual ports, its journals kept; where they are taken, on free ones, its journals thrown away."""
    wanted = os.environ.get("TOUR_PORTS") != "free" and not os.environ.get("RESTATE_ADMIN_URL")
    usual = wanted and not Ports().holders()
    with tempfile.TemporaryDirectory(prefix="tour-") as folder:
        async with stack.running(
            Path(folder),
            data=_home() / "restate" if usual else None,
            frameworks=chosen,
            usual_ports=usual,
            model_latency=model_latency,
            step_latency=step_latency,
            say=_say,
        ) as running:
            console.print(f"Model: {running.model}. Each check is slowed down by {step_latency:g} s.", highlight=False)
            yield running


async def _chaos(claims: int, seed: int) -> None:
    if os.environ.get("RESTATE_ADMIN_URL"):
        raise TourError("The storm kills the Restate server.", "Unset RESTATE_ADMIN_URL: it uses one of its own.")
    folder = Path(tempfile.mkdtemp(prefix="tour-chaos-"))
    storm = chaos_.plan(claims, seed)
    console.print(f"{claims} claims, seed {seed}: {storm.faults} faults, {len(storm.kills)} kills", highlight=False)
    async with stack.running(folder, say=_say) as running:
        seen = await chaos_.rage(running, storm, console)
    verdict = await chaos_.judge(storm, seen)
    chaos_.show(verdict, seen.seconds, console)
    if not (verdict.kept and verdict.enough):
        console.print(f"Logs, journals and ledger: {folder}", highlight=False, soft_wrap=True)
        raise typer.Exit(1)
    shutil.rmtree(folder)


async def _up(chosen: tuple[Framework, ...], model_latency: float, step_latency: float) -> None:
    home = _home()
    async with stack.running(
        home / "up",
        data=home / "restate",
        frameworks=chosen,
        usual_ports=True,
        model_latency=model_latency,
        step_latency=step_latency,
        say=_say,
    ) as running:
        claim = sample_claims()["broken-leg"]
        console.print(f"Model: {running.model}. Logs: {running.folder}", highlight=False, soft_wrap=True)
        console.print(f"Restate UI: {running.restate.admin}/ui\n", highlight=False)
        for framework in chosen:
            body = framework.body(claim)
            console.print(
                f"curl {running.restate.ingress}/restate/call/{framework.path()} --json '{_json(body)}'\n",
                soft_wrap=True,
                highlight=False,
                markup=False,
            )
        console.print("Ctrl-C stops everything; the journals are kept.")
        await asyncio.Event().wait()


async def _web(port: int, model_latency: float, step_latency: float, open_: bool) -> None:
    from tour import web  # NiceGUI takes a second to import: just for those who want the page

    listener = web.port_of_page(port)
    async with _stack(FRAMEWORKS, model_latency, step_latency) as running:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        console.print(f"The page: {url}   Ctrl-C stops everything.", highlight=False)
        if open_ and not webbrowser.open(url):
            console.print("No browser can be opened from here: open that address yourself.")
        await web.serve(running, listener)


async def _server() -> None:
    home = _home()
    home.mkdir(parents=True, exist_ok=True)
    async with restate_server.serving(home / "restate", home / "restate.log", _say) as running:
        console.print(f"Restate: ingress {running.ingress}, admin and UI {running.admin}/ui", highlight=False)
        console.print("Register an agent with: uv run tour register http://localhost:9080")
        assert running.process
        await running.process.child.wait()
        raise TourError(f"Restate ended:\n{running.process.log_tail()}", f"Its log: {running.process.log}")


async def _register(url: str) -> None:
    admin = os.environ.get("RESTATE_ADMIN_URL", f"http://127.0.0.1:{Ports().admin}")
    async with httpx.AsyncClient(base_url=admin, timeout=30) as client:
        for name in await stack.register(client, url):
            console.print(f"registered {name}", highlight=False)


def _claim(sample: str, path: str, changed: Mapping[str, Any] = {}) -> InsuranceClaim:
    samples = sample_claims()
    if sample not in samples:
        raise TourError(f"There is no sample {sample}.", f"Choose from: {', '.join(samples)}")
    try:
        text = _json(samples[sample]) if not path else sys.stdin.read() if path == "-" else Path(path).read_text()
        given = json.loads(text)
        return InsuranceClaim.model_validate({**given, **changed} if isinstance(given, dict) else given)
    except OSError as error:
        raise TourError(f"The claim cannot be read: {error}", "Name a file with a claim as JSON, or `-`.") from error
    except ValueError as error:
        problem = invalid(error) if isinstance(error, ValidationError) else f"no JSON: {error}"
        raise TourError(f"This is no valid claim: {problem}", f"An example: {_json(samples['broken-leg'])}") from error


def _json(value: InsuranceClaim | dict[str, Any]) -> str:
    return json.dumps(value if isinstance(value, dict) else value.model_dump(mode="json"))


def _home() -> Path:
    return Path(os.environ.get("TOUR_HOME") or platformdirs.user_data_path("tour-of-agents"))


def _say(line: str) -> None:
    console.print(line, style="dim", soft_wrap=True, highlight=False)
