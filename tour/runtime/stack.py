"""The processes that a run of the tour needs, started in parallel: Restate, the offline model, the agents.

The stack uses a Restate that `RESTATE_INGRESS_URL` and `RESTATE_ADMIN_URL` name, and a provider whose key or base URL
is set. It starts the rest on loopback, and ends it.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from lab.ledger import Fault, Lab
from shared import checks
from shared.claims import InsuranceClaim
from shared.variables import google_at, openai_at, trim
from tour.runtime import journal, named, node, provider
from tour.runtime.agents import Agent, Say, Server, quiet
from tour.runtime.errors import TourError
from tour.runtime.frameworks import FAN_OUT, FRAMEWORKS, PATTERNS, ROOT, Framework, Pattern
from tour.runtime.processes import free_port, start, who_listens
from tour.runtime.restate_server import Ports, Restate

CHECKS = tuple(checks.CHECKS)
"""The names of the steps of the checks."""

STREAMS_PORT = 8090
"""The usual port of the stream server."""


@dataclass
class Stack:
    """A running stack. `admin` and `ingress` are HTTP clients of Restate; `folder` holds logs and the lab's file.

    `model` describes the model that answers.
    """

    restate: Restate
    admin: httpx.AsyncClient
    ingress: httpx.AsyncClient
    folder: Path
    lab: Lab
    model: str
    agents: dict[str, Agent]
    """The agents of `pattern`, by the framework's name."""
    pattern: Pattern
    start: Callable[[Pattern], Awaitable[dict[str, Agent]]]
    env: Callable[[str], dict[str, str]]
    """The environment variables by which a process of this name reaches the model and the lab."""
    streams: list[Server] = field(default_factory=list)
    """The stream server, which starts with the first agents that stream."""
    _others: dict[Pattern, dict[str, Agent]] = field(default_factory=dict)
    _adding: asyncio.Lock = field(default_factory=asyncio.Lock)
    _kept: AsyncExitStack | None = None
    _say: Say = quiet

    @property
    def frameworks(self) -> list[Framework]:
        """The frameworks whose agents run: the requested ones that this machine can run."""
        return [agent.framework for agent in self.agents.values()]

    def agents_of(self, pattern: Pattern) -> dict[str, Agent]:
        """The agents of a pattern, by the framework's name; empty before the pattern is added."""
        return self.agents if pattern == self.pattern else self._others.get(pattern, {})

    async def add(self, pattern: Pattern) -> None:
        """Start and register the agents of another pattern, unless they run. Raises: TourError."""
        if self.agents_of(pattern):
            return
        async with self._adding:
            if self.agents_of(pattern):  # another task added it meanwhile
                return
            before = len(self.streams)
            agents = await self.start(pattern)
            await self.register(agents)
            self._others[pattern] = agents
            if self._kept:
                await self._keep(*agents.values(), *self.streams[before:])

    async def _keep(self, *servers: Server) -> None:
        assert self._kept
        for server in servers:
            await self._kept.enter_async_context(server.kept(self._say))

    async def resume(self) -> None:
        """Start the agents of other patterns that have open claims in kept journals.

        Raises: TourError; httpx.HTTPError.
        """
        open_claims = "SELECT DISTINCT target_service_name AS service FROM sys_invocation WHERE status <> 'completed'"
        services = {row["service"] for row in await journal.query(self.admin, open_claims)}
        for pattern in PATTERNS:
            if services & {framework.service(pattern) for framework in self.frameworks}:
                await self.add(pattern)

    async def register(self, agents: Mapping[str, Agent]) -> None:
        """Register the agents with Restate, and the stream server if it runs. Raises: TourError."""
        ports = [agent.port for agent in agents.values()] + [streams.port for streams in self.streams]
        await asyncio.gather(*(register(self.admin, named.agent_url(port)) for port in ports))

    async def submit(
        self,
        framework: Framework,
        claim: InsuranceClaim,
        key: str,
        session: str,
        idempotency_key: str = "",
        pattern: Pattern | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Send a claim without waiting for its answer; returns the id of its invocation.

        The same `idempotency_key` gives the same invocation; an empty one is not sent. `key` and `session` matter only
        to a Virtual Object. Raises: TourError if Restate refuses the claim; httpx.HTTPError.
        """
        named = {"idempotency-key": idempotency_key} if idempotency_key else {}
        response = await self.ingress.post(
            f"/restate/send/{framework.path(key, pattern or self.pattern)}",
            json=framework.body(claim, session),
            headers={**named, **(headers or {})},
        )
        if response.status_code >= 300:
            raise TourError(f"Restate refused the claim: {response.text}", "Is the agent registered? Try `tour up`.")
        invocation: str = response.json()["invocationId"]
        return invocation

    async def answer(self, invocation: str) -> str:
        """Wait for an invocation's answer; returns an error as text, such as `500: …`. Raises: httpx.HTTPError."""
        response = await self.ingress.get(f"/restate/invocation/{invocation}/attach")
        body = response.json()
        return str(body) if response.status_code == 200 else f"{response.status_code}: {body.get('message', body)}"

    @asynccontextmanager
    async def agents_kept(self, say: Say = quiet) -> AsyncIterator[None]:
        """While the block runs, restart each agent of every pattern that ends or stops answering.

        The same holds for the stream server.
        """
        self._say = say
        async with AsyncExitStack() as self._kept:
            for agents in (self.agents, *self._others.values()):
                await self._keep(*agents.values())
            await self._keep(*self.streams)
            yield
        self._kept = None

    def page(self, invocation: str) -> str:
        """The address of an invocation's page in the Restate UI."""
        return f"{self.restate.admin}/ui/invocations/{invocation}"


@asynccontextmanager
async def running(
    folder: Path,
    *,
    data: Path | None = None,
    frameworks: Sequence[Framework] = FRAMEWORKS,
    usual_ports: bool = False,
    model_latency: float = 0.0,
    step_latency: float = 0.0,
    server_env: Mapping[str, str] | None = None,
    agent_env: Mapping[str, str] | None = None,
    pattern: Pattern = FAN_OUT,
    say: Say = quiet,
) -> AsyncIterator[Stack]:
    """The stack, while the block runs. Logs and the lab's file are in `folder`, journals in `data`.

    The agents are those of `pattern`; others can be added. Without `usual_ports`, all ports are free ones. Latencies,
    in seconds, are those of each answer of the offline model, and of each check (a delay of the lab). `server_env` and
    `agent_env` are environment variables of the server and of the agents; `say` gets the progress of the start.
    Raises: TourError if a part cannot be started; the others are stopped first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as exits:
        lab = Lab(folder / "lab.sqlite")
        exits.callback(lab.close)
        lab.clear_plan()
        if step_latency:
            lab.plan(*(Fault(step, "delay", step_latency) for step in CHECKS))
        beside = data.parent if data else folder  # the bank's ledger lasts as long as the journals
        beside.mkdir(parents=True, exist_ok=True)
        lab_env = {"TOUR_LAB": str(folder / "lab.sqlite"), "FUNDS_LEDGER": str(beside / "funds.sqlite")}

        there, ports = named.restate(), Ports() if usual_ports else Ports.free()
        lab_env["RESTATE_INGRESS_URL"] = there.ingress if there else f"http://{named.LOOPBACK}:{ports.ingress}"

        async def boot_restate() -> Restate:
            return await exits.enter_async_context(
                named.serving(data or folder / "restate", folder / "restate.log", say, env=server_env, ports=ports)
            )

        model, urls, model_ready = start_model(exits, folder, model_latency, lab_env, frameworks)
        if variables := provider.named():
            say(f"A real model answers, which may cost money: {', '.join(variables)} in the environment.")
            say("To avoid that: --model offline")

        def env_of(name: str) -> dict[str, str]:
            return {"TOUR_SERVICE_PREFIX": name, **lab_env, **urls(name)}

        async def boot_agents(pattern: Pattern) -> dict[str, Agent]:
            agents: dict[str, Agent] = {}
            exits.push_async_callback(_stop_all, agents)
            for framework in sorted(able, key=lambda each: not each.on_node):  # a fork may wait for its packages
                script = framework.script(pattern)
                if not script.exists():  # this framework has no agent of the pattern yet
                    continue
                usual = framework.port(pattern) if usual_ports and pattern in PATTERNS else None
                port = free_port() if usual is None or who_listens(usual) else usual
                env = {**env_of(framework.prefix(pattern)), **(agent_env or {})}
                agents[framework.name] = await boot(framework, pattern, folder, port, env)
            if pattern.streams and not streams:
                port = STREAMS_PORT if usual_ports else free_port()
                if usual_ports and (holder := who_listens(port)):
                    port = free_port()
                    say(f"Port {STREAMS_PORT} is taken by {holder}: the server of the streams listens on port {port}.")
                env = {"PORT": str(port), "HOST": named.agents_listen_on(), **lab_env}
                script = ROOT / "shared/streams.py"
                process = await start("The server of the streams", command(script), folder / "streams.log", env)
                exits.push_async_callback(process.stop)
                streams.append(Server(port, process))
            ready = [agent.ready() for agent in agents.values()] + [server.ready() for server in streams]
            await asyncio.gather(model_ready(), *ready)
            return {framework.name: agents[framework.name] for framework in able if framework.name in agents}

        able: Sequence[Framework] = ()
        streams: list[Server] = []

        async def boot_the_able() -> dict[str, Agent]:
            nonlocal able
            able = await node.able(frameworks, say)
            return await boot_agents(pattern)

        say("Starting Restate, the model and the agents")
        try:
            async with asyncio.TaskGroup() as group:
                booting, starting = group.create_task(boot_restate()), group.create_task(boot_the_able())
        except* TourError as errors:
            raise errors.exceptions[0] from None
        restate, agents = booting.result(), starting.result()
        admin = await exits.enter_async_context(restate.admin_client())
        ingress = await exits.enter_async_context(restate.ingress_client())
        running = Stack(restate, admin, ingress, folder, lab, model, agents, pattern, boot_agents, env_of, streams)
        await running.register(agents)
        yield running


async def boot(framework: Framework, pattern: Pattern, folder: Path, port: int, env: Mapping[str, str]) -> Agent:
    """Start the agent of a pattern on this port, with a log in `folder`; it is not ready yet. Raises: TourError."""
    env = {"PORT": str(port), "HOST": named.agents_listen_on(), **env, **pattern.env}
    log = folder / f"{framework.prefix(pattern)}.{pattern.service}.log"
    process = await start(f"The agent {framework.name}", command(framework.script(pattern)), log, env)
    return Agent(port, process, framework)


def command(script: Path) -> list[str | Path]:
    """The command that runs an agent's file."""
    return [node.NODE if script.suffix == ".ts" else sys.executable, script]


async def register(admin: httpx.AsyncClient, uri: str, *, http1: bool = False) -> list[str]:
    """Register the agent at `uri` with Restate, and return the names of its services.

    With `http1`, Restate calls it over HTTP/1.1. Raises: TourError if Restate does not answer, or cannot reach or
    register the agent.
    """
    try:
        response = await admin.post("/deployments", json={"uri": uri, "force": True, "use_http_11": http1})
    except httpx.HTTPError as error:
        raise TourError(
            f"Restate does not answer on {admin.base_url}: {error}", "Start it with `uv run tour server`."
        ) from error
    if response.status_code >= 300:
        problem = response.json().get("message", response.text)
        remedy = next((remedy for code, remedy in REMEDIES.items() if code in problem), NOT_REACHED)
        raise TourError(f"Restate could not register {uri}: {problem}", remedy)
    return [service["name"] for service in response.json()["services"]]


NOT_REACHED = (
    "Start the agent first, such as `uv run openai_agents/parallel_tools_agent.py`. If this Restate runs elsewhere, as "
    "in a container,\nset TOUR_AGENT_HOST to the name by which it reaches this machine."
)
REMEDIES = {
    "META0005": "Choose another TOUR_SERVICE_PREFIX: Restate reserves names that begin with `restate`.",
    "META0014": "If an agent is there, behind a proxy without HTTP/2: `uv run tour register URL --http1`.",
}
"""The remedy, by the code of Restate's error."""


def start_model(
    exits: AsyncExitStack, folder: Path, latency: float, env: Mapping[str, str], frameworks: Sequence[Framework]
) -> tuple[str, Callable[[str], dict[str, str]], Callable[[], Awaitable[None]]]:
    """Start the offline model, unless both providers are set.

    Returns a description of the model, a function for a caller's environment variables, and one that waits until the
    model is ready.
    """
    for prefix in ("OPENAI_", "GOOGLE_", "GEMINI_"):
        trim(prefix)
    openai = os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL")
    google = (
        os.environ.get("GOOGLE_API_KEY") or os.environ.get("GEMINI_API_KEY") or os.environ.get("GOOGLE_GEMINI_BASE_URL")
    )
    if openai and google:
        return "OpenAI and Google", lambda caller: {}, lambda: asyncio.sleep(0)
    port = free_port()
    command = [sys.executable, "-m", "offline_model", "--port", str(port), "--latency", str(latency)]
    for wire in {framework.wire: None for framework in frameworks if framework.wire}:
        command += ["--wire", wire]
    starting = asyncio.create_task(start("The offline model", command, folder / "model.log", env))

    async def stop() -> None:
        with contextlib.suppress(TourError):
            await (await starting).stop()

    async def ready() -> None:
        # Shielded: `stop` awaits it, too, and would be cancelled with it, as if by Ctrl-C.
        await (await asyncio.shield(starting)).until(f"{url}/health")

    exits.push_async_callback(stop)
    url = f"http://127.0.0.1:{port}"

    def variables(caller: str) -> dict[str, str]:
        found: dict[str, str] = {}
        if not openai:
            found |= openai_at(f"{url}/{caller}/v1")
        if not google:
            found |= google_at(f"{url}/{caller}")
        return found

    names = [name for name, key in (("OpenAI", openai), ("Google", google)) if key]
    answers = " and ".join([*names, f"the offline model ({latency:g} s a call)"])
    return answers, variables, ready


async def _stop_all(agents: Mapping[str, Agent]) -> None:
    await asyncio.gather(*(agent.process.stop() for agent in agents.values()))
