"""The command `tour`."""

import re
from collections.abc import Coroutine, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from tour import boot, options, own, report, show
from tour import compare as compare_
from tour import upgrade as upgrade_
from tour.new import project
from tour.options import ClaimFile, Model, ModelLatency, Only, Sample, StepLatency, Svg
from tour.runtime import doctor as doctor_
from tour.runtime import stack
from tour.runtime.errors import TourError
from tour.runtime.frameworks import FAN_OUT, STREAMING
from tour.runtime.run import command_line, until_done

cli = typer.Typer(
    add_completion=False,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    help="One agent, built seven times and made durable by Restate. Without a command: one claim to all, side by side.",
)
for command in sorted(entry_points(group="tour.commands")):  # of folders above this one: see pyproject.toml
    cli.add_typer(command.load(), name=command.name)
console = Console()


@cli.callback(invoke_without_command=True)
def tour(
    context: typer.Context,
    sample: Sample = "broken-leg",
    claim: ClaimFile = "",
    only: Only = "",
    model: Model = None,
    model_latency: ModelLatency = 0.3,
    step_latency: StepLatency = 0.5,
    svg: Svg = None,
) -> None:
    """Start whatever is not running yet, send one claim to all agents at once, and show the results."""
    if context.invoked_subcommand is None:
        job = compare_.side_by_side(
            options.frameworks(only), options.claim(sample, claim), model_latency, step_latency, console
        )
        _picture(svg, "uv run tour", job)


@cli.command()
def compare(
    sample: Sample = "broken-leg",
    claim: ClaimFile = "",
    only: Only = "",
    repeat: Annotated[int, typer.Option(min=1, help="Send the claim this many times; shows medians.")] = 1,
    model: Model = None,
    model_latency: ModelLatency = 0.3,
    step_latency: StepLatency = 0.5,
    fail: Annotated[list[str] | None, typer.Option(help="A check fails: once (`fraud`) or twice (`fraud=2`).")] = None,
    crash: Annotated[
        list[str] | None, typer.Option(help="A check (`cost`) kills its agent with `kill -9`, before its work.")
    ] = None,
    crash_after: Annotated[list[str] | None, typer.Option(help="The same, after its work.")] = None,
    terminal: Annotated[
        list[str] | None, typer.Option(help="A check ends with an error that is not retried: `cost=422`.")
    ] = None,
    delay: Annotated[
        list[str] | None, typer.Option(help="All checks take longer (`1s`), or one does (`fraud=1s`).")
    ] = None,
    model_fault: Annotated[
        list[str] | None,
        typer.Option(help=f"The model fails once, or twice (`500=2`): {', '.join(compare_.MODEL_FAULTS)}."),
    ] = None,
    json_: Annotated[
        str, typer.Option("--json", help="Write the figures to this file as JSON; `-` prints only the JSON.")
    ] = "",
    html: Annotated[Path | None, typer.Option(help="Write a report to this file, as one self-contained page.")] = None,
    patterns: Annotated[
        bool,
        typer.Option(
            "--patterns",
            help="Run the checks every way: in one tool that fans out, as tool calls in parallel and one by one, by "
            "specialists, beside a person's decision, and by agents that stream.",
        ),
    ] = False,
    svg: Svg = None,
) -> None:
    """Compare the agents on one claim, with faults if you plan any: figures, timelines and facts from their code."""
    faults = compare_.faults(fail or (), crash or (), crash_after or (), terminal or (), delay or (), model_fault or ())
    if patterns and (repeat > 1 or json_ or html):
        raise TourError("--patterns shows only timelines.", "Leave out --repeat, --json and --html.")
    chosen = options.frameworks(only)
    sent = options.claim(sample, claim)
    if patterns:
        job = compare_.every_way(chosen, sent, model_latency, step_latency, console, faults)
        _picture(svg, "uv run tour compare --patterns", job)
    else:
        console.quiet = json_ == "-"
        files = report.Files(json_, html)
        job = compare_.side_by_side(
            chosen, sent, model_latency, step_latency, console, faults, repeat, files, details=True
        )
        _picture(svg, "uv run tour compare", job)


@cli.command()
def code(
    only: Only = "",
    region: Annotated[str, typer.Option(help="Only this region: tool, agent or service.")] = "",
) -> None:
    """Show the agents' code side by side, region by region. Lines that most of them share are dimmed."""
    for part in show.side_by_side(options.frameworks(only), region, console.width):
        console.print(part, highlight=False)


@cli.command()
def chaos(
    claims: Annotated[int, typer.Option(min=10, help="The number of claims, spread over all agents.")] = 25,
    seed: Annotated[int, typer.Option(help="The seed of the plan: the same seed gives the same storm.")] = 1,
    model: Model = None,
) -> None:
    """Break all agents with failing steps, model faults and `kill -9`, and judge: was the promise kept?"""
    from tour import chaos as chaos_  # only this command runs checks, which import Restate's SDK

    until_done(chaos_.run(claims, seed, console))


@cli.command()
def upgrade(only: Only = "restate_loop", model: Model = None) -> None:
    """Change an agent's code while claims wait for a person: beside the old code, in place of it, and back."""
    until_done(upgrade_.run(options.frameworks(only), console))


@cli.command(context_settings={"allow_interspersed_args": False})
def judge(
    command: Annotated[
        list[str] | None,
        typer.Argument(
            help="The command that starts your service, after `--`; or an agent's file, such as my_agent.py."
        ),
    ] = None,
    url: Annotated[str, typer.Option(help="The address of a running service; it is not killed.")] = "",
    request: Annotated[
        str, typer.Option(help="`Service/handler`, or `Object/{key}/handler`; needed if there are several handlers.")
    ] = "",
    body: Annotated[str, typer.Option(help="A file with the request as JSON; without it, a sample claim.")] = "",
    text: Annotated[str, typer.Option(help="The request, for an agent that takes a text.")] = "",
    port: Annotated[int, typer.Option(help="The service's port; 0: a free one, in the variable PORT.")] = 0,
    json_: Annotated[
        str, typer.Option("--json", help="Write the verdict to this file as JSON; `-` prints only the JSON.")
    ] = "",
    html: Annotated[
        Path | None, typer.Option(help="Write the verdict to this file, as one self-contained page.")
    ] = None,
) -> None:
    """Try to break your durable agent from outside. Exits with 1 if a promise is broken."""
    from tour.judge import run as judge_  # only this command serves a world, which imports uvicorn

    console.quiet = json_ == "-"
    if bool(command) == bool(url):
        raise TourError("Give the command that starts your service, or its address.", "tour judge -- python agent.py")
    program: Sequence[str | Path] = command or []
    if len(program) == 1 and (file := Path(program[0])).suffix in (".py", ".ts"):
        program = stack.command(file)
    files = report.Files(json_, html)
    until_done(judge_.run(program, url, port, request, options.request(body, text), files, console))


@cli.command()
def up(
    only: Only = "",
    model: Model = None,
    model_latency: Annotated[
        float | None, typer.Option(min=0, help="Seconds that the offline model takes: 0.3, or 3 with --stream.")
    ] = None,
    step_latency: StepLatency = 0.5,
    stream: Annotated[
        bool, typer.Option("--stream", help="Run the agents that stream, and the server of their streams (port 8090).")
    ] = False,
) -> None:
    """Run Restate (ports 8080 and 9070), the model and the agents until Ctrl-C; prints the curl lines."""
    pattern, usual = (STREAMING, 3.0) if stream else (FAN_OUT, 0.3)
    latency = usual if model_latency is None else model_latency
    until_done(boot.up(options.frameworks(only), pattern, latency, step_latency, console))


@cli.command()
def web(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The page's port, on loopback; 0: a free port.")] = 8070,
    model: Model = None,
    model_latency: ModelLatency = 0.6,
    step_latency: StepLatency = 1.0,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Serve a live page: send a claim to all agents, break a check, kill an agent, and watch them recover."""
    from tour import web as web_  # NiceGUI takes a second to import, and only this command needs it

    until_done(web_.run(port, model_latency, step_latency, console, in_browser=open_))


@cli.command()
def server() -> None:
    """Run only Restate, in the foreground, on ports 8080 and 9070, until Ctrl-C."""
    until_done(boot.server(console))


@cli.command()
def register(
    url: Annotated[str, typer.Argument(help="The agent's address, such as http://localhost:9080")],
    http1: Annotated[bool, typer.Option("--http1", help="Call it over HTTP/1.1, for a proxy without HTTP/2.")] = False,
) -> None:
    """Register a running agent with Restate."""
    until_done(boot.register(url, http1, console))


@cli.command()
def new(
    folder: Annotated[Path, typer.Argument(help="The new folder, whose name the agent gets, such as ../my_agent.")],
    sdk: Annotated[str, typer.Option(help=f"The agent's SDK: {', '.join(project.SDKS)}.")],
) -> None:
    """Write a new project: a durable agent with one tool, and tests that kill it."""
    project.write(folder, sdk)
    console.print(f"{folder} has your agent. In that folder:\n", highlight=False, soft_wrap=True)
    for line in project.commands(folder.resolve().name, sdk):
        console.print(f"    {line}", highlight=False, soft_wrap=True, markup=False)


@cli.command("try")
def try_(
    agent: Annotated[Path, typer.Argument(help="The agent's file, such as my_agent.py.")],
    request: Annotated[str, typer.Argument(help="The request to the agent.")],
    model: Model = None,
) -> None:
    """Start your agent with a Restate and a model, send it one request, and show its steps and its answer."""
    until_done(own.ask(agent, request, console))


@cli.command()
def doctor() -> None:
    """Say what this machine lacks for the tour, and how to get it. Exits with 1 if the tour cannot run."""
    findings = list(doctor_.examine())
    for finding in findings:
        mark, color = {True: ("ok", "green"), False: ("missing", "red"), None: ("note", "yellow")}[finding.ok]
        console.print(f"[{color}]{mark:<7}[/] {finding.what}", soft_wrap=True, highlight=False)
        if finding.ok is not True:
            console.print(f"        {finding.remedy}", soft_wrap=True, highlight=False)
    raise typer.Exit(any(finding.ok is False for finding in findings))


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 an explained error, 130 stopped with Ctrl-C."""
    command_line(cli, console)


def _picture(svg: Path | None, title: str, job: Coroutine[Any, Any, None]) -> None:
    """Run the job, and save its output as a picture in the file `svg`, if given."""
    console.record = svg is not None
    until_done(job)
    if svg:
        picture = console.export_svg(title=title)
        # The font files are on a web server, so the picture does without them.
        svg.write_text(re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL), encoding="utf-8")
