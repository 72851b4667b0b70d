"""The user's agent, with a Restate and an offline model: asked once, or killed by the tests of its project."""

import asyncio
import os
import re
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console

from lab.ledger import Lab
from shared.variables import reach_loopback_directly
from tour.runtime import journal, named, node, processes, provider, restate_server, stack
from tour.runtime.agents import Say, quiet
from tour.runtime.errors import TourError
from tour.runtime.processes import Process, free_port
from tour.runtime.provider import Provider
from tour.runtime.restate_server import Ports


@dataclass(frozen=True)
class Own:
    """A running agent, registered with a Restate. Its service has one handler, which takes and returns a string."""

    process: Process
    url: str
    path: str
    """The part of its handler's address after `/restate/call/`; the key of a Virtual Object is `me`."""
    admin: httpx.AsyncClient
    ingress: httpx.AsyncClient
    model: str
    """A description of the model that answers."""
    lab: Lab

    async def send(self, request: str) -> str:
        """Send a request without waiting for its answer; returns the id of its invocation. Raises: httpx.HTTPError."""
        response = await self.ingress.post(f"/restate/send/{self.path}", json=request)
        response.raise_for_status()
        invocation: str = response.json()["invocationId"]
        return invocation

    async def answer(self, invocation: str) -> str:
        """Wait for the answer of an invocation. Raises: TourError if it ends with an error; httpx.HTTPError."""
        response = await self.ingress.get(f"/restate/invocation/{invocation}/attach")
        if response.status_code != 200:
            raise TourError(
                f"The agent answers {response.status_code}: {response.text}", f"Its log: {self.process.log}"
            )
        return str(response.json())

    async def finished(self, invocation: str, *steps: str, timeout: float = 30.0) -> None:
        """Wait until the journal has the results of these steps, by name. Raises: TimeoutError; httpx.HTTPError."""
        deadline = time.monotonic() + timeout
        while not {*steps} <= {step.name for step in await self.steps(invocation) if step.end}:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{', '.join(steps)} have not finished. The agent said:\n{self.process.log_tail()}")
            await asyncio.sleep(processes.POLL)

    async def steps(self, invocation: str) -> tuple[journal.Step, ...]:
        """The steps in the journal. Raises: httpx.HTTPError."""
        return (await journal.read(self.admin, invocation))[invocation].steps

    async def crash(self) -> None:
        """End the agent with `kill -9`, and start it again. Raises: TourError."""
        await self.process.restart()
        await _answers(self.process, self.url)

    def model_calls(self) -> int:
        """The number of calls to the offline model."""
        return sum(entry.event == "start" for entry in self.lab.ledger() if entry.step == "model")

    def said(self, pattern: str) -> Counter[str]:
        """The count of each match of a regular expression, or of its group, in the agent's output."""
        return Counter(re.findall(pattern, self.process.log.read_text()))


@asynccontextmanager
async def running(
    script: Path, folder: Path, *, offline: bool = True, model_latency: float = 0.3, say: Say = quiet
) -> AsyncIterator[Own]:
    """The agent in this file, while the block runs, on free ports of loopback; logs are in `folder`.

    `offline` ignores the keys of providers, and a Restate that the environment names. The offline model takes
    `model_latency` seconds for an answer.
    Raises: TourError if a part cannot be started.
    """
    if not script.exists():
        raise TourError(f"There is no file {script}.", "Name the agent's file, such as my_agent.py.")
    reach_loopback_directly()
    if offline:
        provider.choose(Provider.OFFLINE)
    await _install_packages(script.parent, say)
    async with AsyncExitStack() as exits:
        lab = Lab(folder / "lab.sqlite")
        exits.callback(lab.close)
        watched = {"TOUR_LAB": str(folder / "lab.sqlite")}
        model, variables, model_ready = stack.start_model(exits, folder, model_latency, watched, ())
        serving = restate_server.serving if offline else named.serving
        restate = await exits.enter_async_context(
            serving(folder / "restate", folder / "restate.log", say, ports=Ports.free())
        )
        host, port = named.LOOPBACK if offline else named.agents_listen_on(), free_port()
        url = named.url(host, port)
        env = {**_keys(), **variables(script.stem), "HOST": host, "PORT": str(port), "PYTHONUNBUFFERED": "1"}
        starting = processes.running("The agent", stack.command(script), folder / "agent.log", env)
        process = await exits.enter_async_context(starting)
        await asyncio.gather(model_ready(), _answers(process, url))
        admin = await exits.enter_async_context(restate.admin_client())
        ingress = await exits.enter_async_context(restate.ingress_client())
        name = (await stack.register(admin, url if offline else named.agent_url(port)))[0]
        yield Own(process, url, await _path(admin, name), admin, ingress, model, lab)


async def ask(script: Path, request: str, console: Console) -> None:
    """Send one request to the agent in this file, and print its answer and its steps. Raises: TourError."""

    def say(line: str) -> None:
        console.print(line, style="dim", soft_wrap=True, highlight=False)

    with tempfile.TemporaryDirectory(prefix="tour-") as folder:
        say("Starting Restate, the model and the agent")
        async with running(script, Path(folder), offline=False, say=say) as agent:
            console.print(f"Model: {agent.model}", highlight=False)
            invocation = await agent.send(request)
            answer = await agent.answer(invocation)
            for step in await agent.steps(invocation):
                console.print(f"  {step.name:<20}{step.duration / 1000:6.1f} s", highlight=False, markup=False)
            console.print(answer, highlight=False, markup=False, soft_wrap=True)


def _keys() -> dict[str, str]:
    """A local model server needs no key, but the clients require one."""
    google = os.environ.get("GEMINI_API_KEY") or "none"
    needed = {"OPENAI_API_KEY": "none", "GOOGLE_API_KEY": google, "OPENAI_AGENTS_DISABLE_TRACING": "1"}
    return {name: os.environ.get(name) or value for name, value in needed.items()}


async def _answers(process: Process, url: str) -> None:
    await process.until(f"{url}/health", http2=str(process.command[-1]).endswith(".ts"))


async def _path(admin: httpx.AsyncClient, name: str) -> str:
    service = (await admin.get(f"/services/{name}")).raise_for_status().json()
    return "/".join([name, *(["me"] if service["ty"] == "VirtualObject" else []), service["handlers"][0]["name"]])


async def _install_packages(home: Path, say: Say) -> None:
    """Install the packages of the lock in this folder, unless there is no lock or they exist. Raises: TourError."""
    if not (home / "package-lock.json").exists() or (home / "node_modules").exists():
        return
    say("Installing the agent's packages with npm (once)")
    with tempfile.TemporaryDirectory(dir=home, prefix=".installing-") as folder:
        installed = Path(folder) / "node_modules"
        await node.npm_ci("the agent's packages", home, Path(folder), installed)
        installed.rename(home / "node_modules")
