"""Does the learner's port keep the promises? The conformance suite of all agents grades it."""

import ast
import asyncio
import os
import re
import signal
import sys
import tempfile
import xml.etree.ElementTree as xml
from pathlib import Path
from typing import Any

from rich.status import Status

from shared.claims import sample_claims
from tour.runtime.errors import TourError
from tour.runtime.frameworks import PYTHON, ROOT, Framework
from workshop.attempt import Attempt, Wrong, same_answer

SUITE = ROOT / "tests" / "conformance"
MODULES = ("test_claims", "test_promise", "test_model", "test_sessions")
LEFT_OUT = ("replaying", "passing_fault", "as_soon_as", "every_point", "crash-after")
"""The slowest cases, by a part of their names. They run only with the whole suite."""

HANGS = 40
"""Seconds that a case may take."""

LINES, WIDTH = 10, 240
"""The lines and columns shown of a failed assertion."""


async def check(attempt: Attempt) -> None:
    """Send one claim; if it is decided, run the suite until its first failure. Raises: Wrong."""
    framework = _framework(attempt)
    async with attempt.running(framework=framework) as running:
        expected = "VirtualObject" if framework.keyed else "Service"
        if (kind := await running.kind()) not in (expected, ""):
            session = ", keyed by the user, which takes a session with each claim" if framework.keyed else ""
            raise Wrong(f"For {framework.title} the service must be a {expected}{session}; yours is a {kind}.")
        claim = sample_claims()["broken-leg"]
        seen = await running.ended(await running.send(framework.body(claim), key="anna"))
    same_answer(attempt, seen)
    seen.checks()
    await _suite(attempt, framework)


def _framework(attempt: Attempt) -> Framework:
    """The framework whose SDK the file imports. Raises: Wrong."""
    imported = attempt.imports()
    found = {each for each in PYTHON if any(f"{name}.".startswith(f"{each.module}.") for name in imported)}
    choice = [f"{framework.title}: import {framework.module}" for framework in PYTHON[1:]]
    if not found:
        raise Wrong("Your file imports no SDK yet. Choose one:", *choice)
    others = [framework for framework in PYTHON[1:] if framework in found]
    if not others:
        raise Wrong("This is the SDK of the earlier chapters. Choose another one:", *choice)
    return others[0]


async def _suite(attempt: Attempt, framework: Framework) -> None:
    """Report each module of the suite whose cases pass. Raises: Wrong at the first failing case."""
    modules = [SUITE / f"{name}.py" for name in MODULES if framework.keyed or name != "test_sessions"]
    with tempfile.TemporaryDirectory(prefix="tour-workshop-") as folder:
        result = Path(folder) / "result.xml"
        options = f"-x -v -n 0 -p no:cacheprovider -p {__name__} --tb short --timeout {HANGS}".split()
        chosen = " and ".join(f"not {part}" for part in LEFT_OUT)
        command: list[str | Path] = [sys.executable, "-m", "pytest", *modules, *options, "-k", chosen]
        child = await asyncio.create_subprocess_exec(
            *command,
            "--junit-xml",
            result,
            cwd=ROOT,
            env=_env() | {"TOUR_AGENT": f"{framework.name}={attempt.file.resolve()}"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=2**24,
            process_group=0,  # a Ctrl-C in the terminal reaches only this process
        )
        try:
            with attempt.console.status("The conformance suite starts") as status:
                said = await _follow(child, attempt, status)
        finally:
            if child.returncode is None:
                child.send_signal(signal.SIGINT)  # pytest then stops its processes
                await child.wait()
        if child.returncode == 1 and result.exists():
            raise _broken(result, framework)
        if child.returncode:
            raise TourError(
                f"pytest ended with code {child.returncode}. It said:\n{''.join(said[-LINES:])}", "Run `uv sync`."
            )


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Run the suite in the order of `MODULES`, the simplest promises first."""
    items.sort(key=lambda item: MODULES.index(item.path.stem))


def _env() -> dict[str, str]:
    """The environment without the variables that change how pytest runs or what it prints."""
    theirs = ("CI", "BUILD_NUMBER", "PYTEST_")
    return {name: value for name, value in os.environ.items() if not name.startswith(theirs)}


async def _follow(child: asyncio.subprocess.Process, attempt: Attempt, status: Status) -> list[str]:
    """Show pytest's progress until it ends, and return its output."""
    assert child.stdout
    said, module, run = [], "", 0
    async for line in child.stdout:
        said.append(line.decode(errors="replace"))
        if case := re.match(r"tests/conformance/(\w+)\.py::test_(\w+).* (PASSED|FAILED|ERROR)\b", said[-1]):
            if module and module != case[1]:
                attempt.holds(_promise(module))
            module, run = case[1], run + 1
            status.update(f"Case {run}: {_words(case[2])}")
    if await child.wait() == 0:
        attempt.holds(_promise(module))
    return said


def _promise(module: str) -> str:
    """The promise that the cases of a module test: the first line of its docstring."""
    return (ast.get_docstring(ast.parse((SUITE / f"{module}.py").read_text())) or module).splitlines()[0]


def _words(test: str) -> str:
    return test.removeprefix("test_").replace("_", " ")


def _broken(result: Path, framework: Framework) -> Wrong:
    """The failed case, from pytest's report: its name, its assertion and the values that it found."""
    case = next(
        case for case in xml.parse(result).iter("testcase") if len(case) and case[0].tag in ("failure", "error")
    )
    name, _, about = case.get("name", "").rstrip("]").partition("[")
    about = "-".join(part for part in about.split("-") if part not in ("live", framework.name))
    said, _, unfinished = (case[0].text or "").partition("- Restate, not completed -")
    lines = said.splitlines()
    at = max((number for number, line in enumerate(lines) if line.startswith("tests/")), default=0)
    shown = [*lines[at : at + 2], *(line[1:] for line in lines[at:] if line.startswith("E "))]
    if any("Timeout" in line for line in shown):  # of pytest, or of the case itself
        shown = ["no answer in time: it hangs, or is retried forever"]
    return Wrong(
        f"Broken: {_words(name)}{f' ({about})' if about else ''}.",
        *(line.strip()[:WIDTH] for line in shown[:LINES]),
        *unfinished.strip("-\n").splitlines(),
    )
