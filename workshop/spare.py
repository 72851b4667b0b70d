"""A process that has imported a program's packages, and becomes that program on request.

`python -m workshop.spare PROGRAM` reads one order from `workshop/warm.py` on its standard input: the log and the
environment of the program, as JSON. Without an order, it ends.
"""

import ast
import contextlib
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from tour.runtime.zygote import become

LATER = {
    "agents": ("anyio._backends._asyncio", "openai.lib._response_resources", "httpcore2"),
    "openai": ("anyio._backends._asyncio", "openai.resources.chat.completions", "httpcore2"),
    "google.adk.agents": ("google.adk.workflow._workflow", "google.adk.flows.llm_flows.single_flow", "httpcore2"),
}
"""Modules that a package imports only when it is used."""


def main() -> None:
    program = Path(sys.argv[1])
    for name in imported(program):
        with contextlib.suppress(ImportError):  # not a module, or the program will report it
            importlib.import_module(name)
    if order := sys.stdin.read():
        become([str(program)], **json.loads(order))


def imported(program: Path) -> Iterator[str]:
    """The modules that the program imports, and their later imports; none if the program is not Python."""
    try:
        body = ast.parse(program.read_text()).body
    except (OSError, SyntaxError):
        return
    for node in body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]  # some names are modules
        for name in names:
            yield from (name, *LATER.get(name, ()))


if __name__ == "__main__":
    main()
