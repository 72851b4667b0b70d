"""Starts the stack for the command line: on the usual ports or on free ones, for one command or until Ctrl-C."""

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import platformdirs
from rich.console import Console

from shared.claims import sample_claims
from tour.runtime import named, restate_server, stack
from tour.runtime.agents import Say
from tour.runtime.errors import TourError
from tour.runtime.forking import first_starts
from tour.runtime.frameworks import Framework, Pattern
from tour.runtime.restate_server import Ports, Restate
from tour.runtime.stack import Stack


@asynccontextmanager
async def booted(
    frameworks: Sequence[Framework],
    model_latency: float,
    step_latency: float,
    console: Console,
    *,
    forked: bool = False,
) -> AsyncIterator[Stack]:
    """The stack of a command, while the block runs; latencies in seconds. Raises: TourError.

    `forked` starts it faster, where possible (tour/runtime/forking.py).

    The stack uses the usual ports and keeps its journals. If another program has one of Restate's ports, or
    `TOUR_PORTS` is `free`, the stack uses free ports, and deletes its journals. A Restate that the environment names
    keeps its own.
    """
    usual = os.environ.get("TOUR_PORTS") != "free" and bool(named.restate() or not Ports().holders())
    async with AsyncExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="tour-")))
        if forked:
            await exits.enter_async_context(first_starts())
        starting = stack.running(
            folder,
            data=home() / "restate" if usual else None,
            frameworks=frameworks,
            usual_ports=usual,
            model_latency=model_latency,
            step_latency=step_latency,
            say=say(console),
        )
        running = await exits.enter_async_context(starting)
        console.print(f"Model: {running.model}. Each check is slowed down by {step_latency:g} s.", highlight=False)
        yield running


async def up(
    frameworks: Sequence[Framework], pattern: Pattern, model_latency: float, step_latency: float, console: Console
) -> None:
    """Run the stack on the usual ports until cancelled; prints a curl line for each agent. Raises: TourError."""
    async with stack.running(
        home() / "up",
        data=home() / "restate",
        frameworks=frameworks,
        usual_ports=True,
        model_latency=model_latency,
        step_latency=step_latency,
        pattern=pattern,
        say=say(console),
    ) as running:
        claim = sample_claims()["broken-leg"]
        console.print(f"Model: {running.model}. Logs: {running.folder}", highlight=False, soft_wrap=True)
        console.print(f"Restate UI: {running.restate.admin}/ui\n", highlight=False)
        token = '-H "Authorization: Bearer $RESTATE_AUTH_TOKEN" ' if running.restate.headers else ""
        called = (
            f"-N {running.streams[0].url}/stream"
            if running.streams
            else f"{token}{running.restate.ingress}/restate/call"
        )
        for framework, agent in zip(running.frameworks, running.agents.values(), strict=True):
            console.print(
                f"# {framework.title}, pid {agent.process.pid}\n"
                f"curl {called}/{framework.path(pattern=pattern)} --json '{json.dumps(framework.body(claim))}'\n",
                soft_wrap=True,
                highlight=False,
                markup=False,
            )
        console.print("Ctrl-C stops everything; the journals are kept.")
        async with running.agents_kept(say(console)):
            await asyncio.Event().wait()


async def server(console: Console) -> None:
    """Run only Restate, on the usual ports, until cancelled. Raises: TourError when it does not start, or ends."""
    home().mkdir(parents=True, exist_ok=True)
    async with restate_server.serving(home() / "restate", home() / "restate.log", say(console)) as running:
        console.print(f"Restate: ingress {running.ingress}, admin and UI {running.admin}/ui", highlight=False)
        console.print("Register an agent with: uv run tour register http://localhost:9080")
        assert running.process
        await running.process.child.wait()
        raise TourError(f"Restate ended:\n{running.process.log_tail()}", f"Its log: {running.process.log}")


async def register(url: str, http1: bool, console: Console) -> None:
    """Register the agent at this address with the Restate of `RESTATE_ADMIN_URL`, or of `tour server`.

    With `http1`, Restate calls it over HTTP/1.1. Raises: TourError when one of them does not answer.
    """
    here = Restate(f"http://127.0.0.1:{Ports().ingress}", f"http://127.0.0.1:{Ports().admin}")
    async with (named.restate() or here).admin_client() as client:
        for name in await stack.register(client, url, http1=http1):
            console.print(f"registered {name}", highlight=False)


def home() -> Path:
    """The folder for journals and logs: `TOUR_HOME`, or the user's data folder."""
    return Path(os.environ.get("TOUR_HOME") or platformdirs.user_data_path("tour-of-agents"))


def say(console: Console) -> Say:
    """Prints the progress of a start, one line at a time."""
    return partial(console.print, style="dim", soft_wrap=True, highlight=False)
