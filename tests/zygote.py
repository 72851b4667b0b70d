"""A process that has imported a program's packages. On each request it forks a child, which becomes the program.

`python zygote.py SOCKET OWNER PROGRAM`; tests/forking.py starts it and asks it. It ends with the process `OWNER`, its
children end with it, and each child ends when the connection that asked for it is closed.

It imports only packages. The project's modules read the environment at import, so each child imports them itself.
"""

import ast
import contextlib
import ctypes
import functools
import gc
import importlib
import json
import os
import selectors
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent

LATER = {
    "google.adk.agents": ("google.adk.workflow._workflow", "google.adk.flows.llm_flows.single_flow", "httpcore"),
    "openai": ("openai.lib._response_resources", "openai.resources.chat.completions", "openai.resources.responses"),
    "httpx": ("anyio._backends._asyncio", "anyio._core._sockets"),
    "offline_model.server": ("google.genai.client", "google.genai.types", "openai._client", "openai.types", "uvicorn"),
}
"""Modules that a package imports only when it is used."""


@dataclass
class Asked:
    """A connection: the received part of its request, and its child."""

    connection: socket.socket
    text: bytes = b""
    pid: int = 0
    ended: int = -1
    """The file descriptor that signals the end of the child."""


@dataclass
class Zygote:
    """Forks children; `serve` returns in each of them."""

    listener: socket.socket
    owner: int
    home: Path
    selector: selectors.DefaultSelector = field(default_factory=selectors.DefaultSelector)

    def serve(self) -> dict[str, Any]:
        """Fork until the owner ends. In a child, returns the request."""
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.selector.register(self.owner, selectors.EVENT_READ)
        while True:
            for key, _ in self.selector.select():
                if key.fd == self.owner:
                    shutil.rmtree(self.home, ignore_errors=True)  # had it been killed, nobody else would
                    os._exit(0)
                if key.data is None:
                    connection, _ = self.listener.accept()
                    self.selector.register(connection, selectors.EVENT_READ, Asked(connection))
                elif key.fd == key.data.ended:
                    self._reap(key.data)
                elif request := self._read(key.data):
                    return request

    def _read(self, asked: Asked) -> dict[str, Any] | None:
        received = b""
        with contextlib.suppress(ConnectionError):
            received = asked.connection.recv(65536)
        asked.text += received
        if not received:
            self._close(asked)
        elif not asked.pid and asked.text.endswith(b"\n"):
            return self._fork(asked)
        return None

    def _fork(self, asked: Asked) -> dict[str, Any] | None:
        zygote = os.getpid()
        asked.pid = os.fork()
        if asked.pid == 0:
            for key in [*self.selector.get_map().values()]:
                os.close(key.fd)
            self.selector.close()
            _end_with(zygote)
            request: dict[str, Any] = json.loads(asked.text)
            return request
        with contextlib.suppress(OSError):  # the child does it, too: whoever comes first
            os.setpgid(asked.pid, asked.pid)
        asked.ended = os.pidfd_open(asked.pid)
        self.selector.register(asked.ended, selectors.EVENT_READ, asked)
        self._tell(asked, pid=asked.pid)
        return None

    def _reap(self, asked: Asked) -> None:
        _, status = os.waitpid(asked.pid, 0)
        self.selector.unregister(asked.ended)
        os.close(asked.ended)
        asked.ended = -1
        self._tell(asked, returncode=os.waitstatus_to_exitcode(status))

    def _close(self, asked: Asked) -> None:
        self.selector.unregister(asked.connection)
        asked.connection.close()
        if asked.ended != -1:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(asked.pid, signal.SIGKILL)

    def _tell(self, asked: Asked, **what: int) -> None:
        with contextlib.suppress(OSError):  # nobody waits for it any more
            asked.connection.sendall(json.dumps(what).encode() + b"\n")


def become(request: dict[str, Any]) -> None:
    """Become the program of the request, as if it had been started."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    _join(Path(request["namespaces"]))
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.path[1:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    from tour.runtime.zygote import become as become_program

    become_program(request["arguments"], request["log"], {})


def packages(program: Path) -> Iterator[str]:
    """The package modules that a program imports at its start, directly or through the project's modules."""
    seen, files = set[str](), [program]
    while files:
        file = files.pop()
        for name in _imported(file):
            if name in seen:
                continue
            seen.add(name)
            top = name.partition(".")[0]
            if any((home / top).is_dir() or (home / f"{top}.py").is_file() for home in (ROOT, program.parent)):
                files += _sources(name, program.parent)
            elif top not in sys.stdlib_module_names:
                yield name
            yield from LATER.get(name, ())


@functools.cache
def _imported(file: Path) -> list[str]:
    try:
        tree = ast.parse(file.read_text())
    except (OSError, SyntaxError):  # the child says so
        return []
    names = []
    for node in tree.body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def _sources(name: str, folder: Path) -> list[Path]:
    """The files of a module of the project; none if it is a name in a module."""
    path = Path(*name.split("."))
    files = [home / file for home in (ROOT, folder) for file in (path.with_suffix(".py"), path / "__init__.py")]
    return [file for file in files if file.is_file()]


_C = ctypes.CDLL(None)
_PRCTL = getattr(_C, "prctl", None)  # only Linux has it
_PR_SET_PDEATHSIG = 1


def _end_with(parent: int) -> None:
    assert _PRCTL
    _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _join(namespaces: Path) -> None:
    """Join the network of the asking process if it differs, as for a reader of the pages."""
    if (namespaces / "net").stat().st_ino == Path("/proc/self/ns/net").stat().st_ino:
        return
    with (namespaces / "user").open("rb") as user, (namespaces / "net").open("rb") as network:
        for namespace in (user, network):  # in this order: it is the user who may join the network
            if _C.setns(namespace.fileno(), 0):
                os._exit(1)


def main() -> None:
    path, owner, program = sys.argv[1:]
    owner_ends = os.pidfd_open(int(owner))
    if os.fork():
        os._exit(0)  # so that the zygote is nobody's child: a worker that started it may end before it
    os.setsid()
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(path)
    except OSError:  # another worker was faster
        return
    listener.listen(100)
    sys.path[0] = str(Path(program).parent)
    for name in packages(Path(program)):
        # It may be a name in a module rather than a module; and what is missing for good, the child says.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    if len(os.listdir("/proc/self/task")) > 1:
        sys.exit("A package has started a thread while it was imported: what is forked now may hang.")
    gc.collect()
    gc.freeze()
    become(Zygote(listener, owner_ends, Path(path).parent).serve())


if __name__ == "__main__":
    main()
