"""A terminal for the commands of a page: in a copy of the checkout, without the person's files and settings.

It may also have a private network, in which the usual ports are free.
"""

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psutil

from tests import forking
from tests.docs.namespace import Namespace
from tour.runtime.frameworks import ROOT
from tour.runtime.node import TYPESCRIPT
from tour.runtime.processes import POLL
from tour.runtime.restate_server import SERVER, Ports

PATIENCE = 300.0
"""Seconds that a command, or the start of a server, may take on a busy machine."""

CURL = "silent\nshow-error\nfail-with-body\nmax-time = 60\n"
"""Options added to curl: exit with 22 unless the answer is 2xx, and show no progress."""


LISTENING = """
import contextlib, psutil, sys
with contextlib.suppress(psutil.NoSuchProcess):  # it has ended, or what it had started has
    process = psutil.Process(int(sys.argv[1]))
    for each in (process, *process.children(recursive=True)):
        print(*(c.laddr.port for c in each.net_connections("tcp") if c.status == psutil.CONN_LISTEN))
"""
"""The command that lists the ports on which a process listens. They are visible only from its network."""


FORKING = """
import os, sys
if os.path.basename(sys.orig_argv[1]) == "tour" and "server" not in sys.orig_argv:
    from tests import forking
    forking.install(start=False)  # a zygote in a network of its own would be of no use to others
"""
"""Python's start-up code in a terminal: `uv run tour` forks its agents. An agent that runs alone is not forked."""


class Needs(NamedTuple):
    """The ports that a server needs, and its output when it is ready; none for a command that ends by itself."""

    ports: tuple[int, ...] = ()
    ready: str = ""


_RESTATE = (Ports().ingress, Ports().admin, Ports().node)


@dataclass
class Server:
    """A command that runs until it is stopped. `shown` is the part of its output on the pages."""

    command: str
    process: subprocess.Popen[bytes]
    log: Path
    shown: list[tuple[str, ...]] = field(default_factory=list)

    def said(self) -> str:
        """Its output so far."""
        return self.log.read_text(errors="replace")

    def stop(self) -> int:
        """Press Ctrl-C in its terminal; kill it if it does not end. Returns its exit code."""
        for signum, patience in ((signal.SIGINT, 30), (signal.SIGKILL, None)):
            with contextlib.suppress(subprocess.TimeoutExpired):
                if self.process.poll() is None:
                    os.killpg(self.process.pid, signum)
                return self.process.wait(patience)
        raise AssertionError("a killed process has ended")


class Terminal:
    """Runs commands in a copy of the checkout; `programs` are the folders of programs that come first on the PATH."""

    def __init__(self, folder: Path, programs: Sequence[Path], network: Namespace | None = None) -> None:
        self.folder = folder
        self.network = network
        self.checkout = folder / "tour-of-agents"
        self.servers: list[Server] = []
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0"):
            if name and (ROOT / name).is_file():
                (self.checkout / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.checkout / name)
        (self.checkout / "typescript/node_modules").symlink_to(
            TYPESCRIPT / "node_modules"
        )  # no npm reaches its registry
        home = folder / "home"
        home.mkdir()
        (home / ".curlrc").write_text(CURL)
        (home / "sitecustomize.py").write_text(FORKING)
        self.env = {
            forking.HOME: os.environ[forking.HOME],
            "PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]]),
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "COLUMNS": "80",
            "DO_NOT_TRACK": "1",
            "TOUR_HOME": str(home / "tour"),
            "TOUR_CACHE": str(SERVER.home.parent),
            # The environment of the tests, which stays as it is; what is imported is the copy.
            "UV_PROJECT_ENVIRONMENT": sys.prefix,
            "UV_NO_SYNC": "1",
            "UV_OFFLINE": "1",
            "PYTHONPATH": os.pathsep.join([str(self.checkout), str(home)]),
        }

    def run(self, command: str) -> tuple[int, str]:
        """Run a command that ends by itself; returns its exit code and output."""
        process = self._start(command, subprocess.PIPE)
        try:
            output, _ = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            output += f"\n(killed after {PATIENCE:g} s)".encode()
        said = output.decode(errors="replace")
        return process.returncode, re.sub(r"^curl: \(22\) .*\n?", "", said, flags=re.MULTILINE)  # due to `CURL`

    def serve(self, command: str) -> Server:
        """The server of this command, once it is ready; starts it if necessary.

        Raises: RuntimeError if it ends, or does not report that it is ready.
        """
        for server in self.servers:
            if server.command == command and server.process.poll() is None:
                return server
        log = self.folder / f"{len(list(self.folder.iterdir()))}.log"
        with log.open("wb") as output:
            server = Server(command, self._start(command, output.fileno()), log)
        self.servers.append(server)
        deadline, ready = time.monotonic() + PATIENCE, self.needs(command).ready
        while ready not in server.said():
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"it is not ready, and says\n{server.said()}")
            time.sleep(POLL)
        return server

    def in_the_way(self, command: str) -> list[Server]:
        """The servers of other commands that use the ports of this one."""
        ports = set(self.needs(command).ports)
        return [server for server in self.servers if server.command != command and self._ports(server) & ports]

    def needs(self, command: str) -> Needs:
        """The requirements of this command, if it is a server."""
        words = shlex.split(command)
        variables = dict(word.split("=", 1) for word in words if re.match(r"\w+=", word))
        port = int(variables.get("PORT", 9080))
        match [word for word in words if not re.match(r"\w+=", word)]:
            case ["uv", "run", "tour", "server", *_]:
                return Needs(_RESTATE, "Register an agent with")
            case ["uv", "run", "tour", "up", *_]:
                return Needs(_RESTATE, "Ctrl-C stops everything")
            case ["uv", "run", "tour", "web", "--port", chosen, *_]:
                return Needs((int(chosen),), "The page: ")
            case ["uv", "run", "tour", "web", *_]:
                return Needs((8070,), "The page: ")
            case ["uv", "run", "node", script] if "serve(" in self._source(script):
                return Needs((port,), f" on http://127.0.0.1:{port}")
            case ["uv", "run", script, *_] if script.endswith(".py") and "serve(" in self._source(script):
                return Needs((port,), f" on http://127.0.0.1:{port}")
        return Needs()

    def left_behind(self) -> list[psutil.Process]:
        """The running processes that were started here, whatever their parents."""
        return [
            process
            for process in psutil.process_iter(["environ"])
            if (process.info["environ"] or {}).get("TOUR_HOME") == self.env["TOUR_HOME"]
        ]

    def _ports(self, server: Server) -> set[int]:
        """The ports on which a server and its children listen."""
        command = self._in_network(sys.executable, "-c", LISTENING, str(server.process.pid))
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return {int(port) for port in said.split()}

    def _in_network(self, *command: str) -> list[str]:
        return self.network.inside(*command) if self.network else [*command]

    def _source(self, script: str) -> str:
        path = self.checkout / script
        return path.read_text() if path.is_file() else ""

    def _start(self, command: str, output: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._in_network("bash", "-c", command),
            cwd=self.checkout,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
