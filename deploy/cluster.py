"""A Restate cluster on one machine: three nodes, replicas of an agent and of the checks, and Envoy in front of all.

uv run --group deploy python -m deploy.cluster

Each part is a process on loopback. Two of the three nodes store each journal entry, so any one node may be killed.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
import yaml
from rich.console import Console

from deploy import identity
from deploy.identity import Identity
from shared.claims import sample_claims
from tour.runtime import restate_server, stack
from tour.runtime.agents import Say
from tour.runtime.errors import TourError
from tour.runtime.frameworks import PYTHON, REMOTE_CHECKS, ROOT, Framework, Pattern
from tour.runtime.processes import Process, free_port, start
from tour.runtime.restate_server import SETTINGS, Ports, Program
from tour.runtime.run import command_line, until_done

CHECKS = "ClaimChecks"
CHECKS_SCRIPT = ROOT / "deploy/check_services.py"
ENVOY = ROOT / "deploy/envoy.yaml"
RESTATECTL = Program("restatectl", "restatectl", "20 MB", ROOT / "deploy")
"""An optional program that shows the state of a cluster's nodes."""

NODES = 3
REPLICATION = 2
"""The number of nodes that keep each journal entry."""

PARTITIONS = 6
"""The number of partitions. Each node leads two."""


@dataclass
class Node:
    """One node of Restate, with its own data folder."""

    name: str
    ports: Ports
    process: Process

    @property
    def ingress(self) -> str:
        return f"http://127.0.0.1:{self.ports.ingress}"

    @property
    def admin(self) -> str:
        return f"http://127.0.0.1:{self.ports.admin}"

    @property
    def address(self) -> str:
        """Its address for the other nodes and restatectl."""
        return f"http://127.0.0.1:{self.ports.node}/"

    async def ready(self) -> None:
        """Wait until it answers. Raises: TourError."""
        await self.process.until(f"{self.admin}/health")
        await self.process.until(f"{self.ingress}/restate/health")

    async def restart(self) -> None:
        """Kill it, unless it has ended, and restart it with the same data and ports. Raises: TourError."""
        await self.process.restart()
        await self.ready()


@dataclass
class Replica:
    """One of the processes behind a deployment."""

    port: int
    process: Process

    async def ready(self) -> None:
        """Wait until it answers. Raises: TourError."""
        await self.process.until(f"http://127.0.0.1:{self.port}/health")

    async def restart(self) -> None:
        """Kill it, unless it has ended, and restart it on the same port. Raises: TourError."""
        await self.process.restart()
        await self.ready()


@dataclass
class Cluster:
    """A running cluster. The addresses are those of Envoy, which forwards to the processes that are alive."""

    folder: Path
    framework: Framework
    pattern: Pattern
    nodes: Sequence[Node]
    agents: Sequence[Replica]
    checks: Sequence[Replica]
    envoy: Process
    ingress: str
    admin: str
    agents_url: str
    checks_url: str
    statistics: str
    """The address of Envoy's admin API."""

    def call(self, key: str = "user123") -> str:
        """The address of the agent's handler."""
        return f"{self.ingress}/restate/call/{self.framework.path(key, self.pattern, alone=True)}"


def envoy_config(
    listeners: Mapping[str, int], endpoints: Mapping[str, Sequence[int]], statistics: int
) -> dict[str, Any]:
    """`envoy.yaml` with loopback ports in place of its addresses: one per listener, several per cluster.

    `statistics` is the port of Envoy's admin API.
    """
    config: dict[str, Any] = yaml.safe_load(ENVOY.read_text())

    def address(port: int) -> dict[str, Any]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    config["admin"]["address"] = address(statistics)
    for listener in config["static_resources"]["listeners"]:
        listener["address"] = address(listeners[listener["name"]])
    for cluster in config["static_resources"]["clusters"]:
        replicas = [{"endpoint": {"address": address(port)}} for port in endpoints[cluster["name"]]]
        cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": replicas}]
    return config


@asynccontextmanager
async def running(
    folder: Path,
    *,
    framework: Framework = PYTHON[0],
    pattern: Pattern = REMOTE_CHECKS,
    nodes: int = NODES,
    replicas: int = 2,
    checks: int = 2,
    env: Mapping[str, str] | None = None,
    say: Say = lambda line: None,
) -> AsyncIterator[Cluster]:
    """The cluster, while the block runs. Journals, logs and keys are in `folder`, which is new.

    `env` has variables for the agents and the checks. One node replicates nothing.
    Raises: TourError if a part cannot be started; the others are stopped first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    server = restate_server.binary() or await restate_server.install(say)
    key = identity.make(folder / "identity.pem")
    async with AsyncExitStack() as exits:

        async def begin(name: str, command: Sequence[str | Path], env: Mapping[str, str]) -> Process:
            process = await start(name, command, folder / f"{name}.log", env)
            processes.append(process)
            return process

        async def end() -> None:
            await asyncio.gather(*(process.stop() for process in processes))

        processes: list[Process] = []
        exits.push_async_callback(end)

        say(f"Starting {nodes} nodes of Restate, {replicas} replicas of the agent, {checks} of the checks, and Envoy")
        names = [f"node-{number}" for number in range(1, nodes + 1)]
        ports = {name: Ports.free() for name in names}
        members = [
            Node(name, ports[name], await begin(name, *_node(server, folder, name, ports, key))) for name in names
        ]

        async def replicate(name: str, script: Path, count: int) -> list[Replica]:
            return [
                Replica(
                    port,
                    await begin(
                        f"{name}-{number}",
                        [sys.executable, script],
                        {
                            **(env or {}),
                            "HOST": "127.0.0.1",
                            "PORT": str(port),
                            "RESTATE_IDENTITY_KEY": key.public,
                        },
                    ),
                )
                for number, port in enumerate((free_port() for _ in range(count)), 1)
            ]

        agents = await replicate("agent", framework.script(pattern), replicas)
        checkers = await replicate("checks", CHECKS_SCRIPT, checks)

        listeners = {name: free_port() for name in ("agents", "checks", "ingress", "admin")}
        statistics = free_port()
        endpoints = {
            "agents": [agent.port for agent in agents],
            "checks": [checker.port for checker in checkers],
            "ingress": [node.ports.ingress for node in members],
            "admin": [node.ports.admin for node in members],
        }
        config = folder / "envoy.yaml"
        config.write_text(yaml.safe_dump(envoy_config(listeners, endpoints, statistics)))
        command: list[str | Path] = [
            envoy(),
            "-c",
            config,
            "--concurrency",
            "1",
            "--log-level",
            "warn",
            "--disable-hot-restart",
        ]
        proxy = await begin("envoy", command, {})
        url = {name: f"http://127.0.0.1:{port}" for name, port in listeners.items()}
        cluster = Cluster(
            folder,
            framework,
            pattern,
            members,
            agents,
            checkers,
            proxy,
            url["ingress"],
            url["admin"],
            url["agents"],
            url["checks"],
            f"http://127.0.0.1:{statistics}",
        )
        parts: list[Node | Replica] = [*members, *agents, *checkers]
        await asyncio.gather(*(part.ready() for part in parts))
        deployments = [cluster.agents_url, *([cluster.checks_url] if checkers else [])]
        for address in (f"{cluster.ingress}/restate", cluster.admin, *deployments):
            await proxy.until(f"{address}/health")
        async with httpx.AsyncClient(base_url=members[0].admin, timeout=30) as client:
            services = [name for address in deployments for name in await stack.register(client, address)]
        for node in members:  # nodes learn of a service at different times, and answer 404 until then
            for name in services:
                await node.process.until(f"{node.admin}/services/{name}")
        yield cluster


def _node(
    server: Path, folder: Path, name: str, ports: Mapping[str, Ports], key: Identity
) -> tuple[list[str | Path], dict[str, str]]:
    """The command and the environment variables of a node."""
    mine, metadata = ports[name], [f"http://127.0.0.1:{each.node}/" for each in ports.values()]
    return [server, "--no-logo", "--base-dir", folder / "restate"], {
        **SETTINGS,
        "TMPDIR": str(folder),  # the node leaves files there
        "RESTATE_NODE_NAME": name,
        "RESTATE_AUTO_PROVISION": str(name == next(iter(ports))).lower(),  # two such nodes would make two clusters
        "RESTATE_DEFAULT_NUM_PARTITIONS": str(PARTITIONS),
        "RESTATE_BIFROST__DEFAULT_PROVIDER": "replicated",
        "RESTATE_DEFAULT_REPLICATION": str(min(REPLICATION, len(ports))),
        "RESTATE_METADATA_CLIENT__ADDRESSES": json.dumps(metadata),
        "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{mine.ingress}",
        "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{mine.admin}",
        "RESTATE_BIND_ADDRESS": f"127.0.0.1:{mine.node}",
        "RESTATE_ADVERTISED_ADDRESS": f"http://127.0.0.1:{mine.node}/",
        "RESTATE_WORKER__INVOKER__REQUEST_IDENTITY_PRIVATE_KEY_PEM_FILE": str(key.private),
    }


def envoy() -> Path:
    """Envoy's binary. Raises: TourError if the group `deploy` is not installed."""
    binary = Path(sys.executable).with_name("envoy")
    if not binary.exists():
        raise TourError("Envoy is not installed.", "Install it with `uv sync --all-groups`.")
    return binary


cli = typer.Typer(add_completion=False)


@cli.command()
def cluster(
    agent: Annotated[str, typer.Option(help="The framework whose agent runs, by folder name.")] = "openai_agents",
    replicas: Annotated[int, typer.Option(help="The number of processes of the agent.", min=1)] = 2,
    checks: Annotated[int, typer.Option(help="The number of processes of the checks.", min=1)] = 2,
) -> None:
    """Run a cluster on this machine until Ctrl-C."""
    until_done(_stay(chosen(agent), replicas, checks))


def chosen(name: str) -> Framework:
    """The framework of this name. Raises: typer.BadParameter."""
    by_name = {framework.name: framework for framework in PYTHON}
    if name not in by_name:
        raise typer.BadParameter(f"{name} is not one of {', '.join(by_name)}")
    return by_name[name]


async def _stay(framework: Framework, replicas: int, checks: int) -> None:
    with tempfile.TemporaryDirectory(prefix="tour-cluster-") as folder:
        say = lambda line: print(line, flush=True)  # noqa: E731
        async with running(Path(folder), framework=framework, replicas=replicas, checks=checks, say=say) as cluster:
            show(cluster)
            await asyncio.Event().wait()


def show(cluster: Cluster) -> None:
    """Print the processes and addresses of the cluster, and commands to try, on one screen."""
    body = json.dumps(cluster.framework.body(sample_claims()["broken-leg"]), separators=(",", ":"))
    replicas = [*cluster.agents, *cluster.checks]
    lines = [
        *(f"{node.name:<9} pid {node.process.pid:<8} {node.ingress}  {node.admin}" for node in cluster.nodes),
        *(f"{each.process.name:<9} pid {each.process.pid:<8} http://127.0.0.1:{each.port}" for each in replicas),
        f"envoy     pid {cluster.envoy.pid:<8} ingress {cluster.ingress}, admin and UI {cluster.admin}/ui",
        "",
        f"curl {cluster.call()} --json '{body}'",
        f"kill -9 {cluster.nodes[0].process.pid}",
        "",
        f"Any one of them but Envoy may be killed. Logs: {cluster.folder}. Ctrl-C ends it all.",
    ]
    print("\n".join(lines), flush=True)


if __name__ == "__main__":
    command_line(cli, Console(stderr=True))
