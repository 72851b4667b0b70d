"""A process that has imported the packages that several agents share, and forks programs that need them.

`tour/runtime/forking.py` starts it, and sends its orders over the socket on its standard input.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

SHARED = (
    "aiohttp",
    "anyio._backends._asyncio",
    "google.genai.client",
    "hypercorn.asyncio",
    "mcp",
    "openai.lib._response_resources",
    "openai.resources.chat.completions",
    "openai.resources.responses",
    "restate",
    "uvicorn",
)
"""What at least two of the agents and the offline model import, by `python -X importtime`: a third of their starts."""

# Looked up before any fork: between fork and exec, a child must not load a library.
PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Fork a program for each order, until the socket is closed. Returns in each program when it ends."""
    gc.set_threshold(1_000_000)  # also for the programs: collections during imports find nothing, and cost a tenth
    for name in SHARED:
        with contextlib.suppress(ImportError):  # another version has none: the programs import what they need
            importlib.import_module(name)
    gc.freeze()  # the programs' collections need not go through it
    orders = socket.socket(fileno=os.dup(0))
    for order in orders.makefile():
        if between := os.fork():
            os.waitpid(between, 0)
            continue
        if os.fork():
            os._exit(0)  # an orphan gets the nearest subreaper as its parent, which can wait for it
        request = json.loads(order)
        parent = request.pop("parent")
        while os.getppid() not in (parent, 1):  # 1: it was killed meanwhile
            time.sleep(0.001)
        end_with(parent)
        os.setpgid(0, 0)
        orders.sendall(os.getpid().to_bytes(4))
        become(**request)
        return


def become(arguments: Sequence[str], log: str, env: Mapping[str, str]) -> None:
    """Become the Python program of these arguments, as if it had been started directly; its output goes to `log`."""
    nothing, output = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    for opened, standard in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(opened, standard)
    os.environ.update(env)
    if arguments[0] == "-m":
        sys.argv, sys.path[0] = [*arguments[1:]], os.getcwd()
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = [*arguments], str(Path(arguments[0]).parent)
        runpy.run_path(arguments[0], run_name="__main__")


def end_with(parent: int) -> None:
    """End this process when its parent ends, and at once if it has ended already."""
    assert PRCTL
    PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    main()
