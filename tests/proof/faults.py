"""Puts faults into our own code, one at a time. A test must find each: a proof that cannot fail proves nothing.

    uv run python -m tests.proof.faults              # all of them
    uv run python -m tests.proof.faults TypeScript   # those with this word in their titles

A fault replaces a text that occurs once in its file, in a copy of the working tree. It is found if its tests, as
selected for a day's run, fail there.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tests.proof.seeded import FAULTS, Fault
from tour.runtime.frameworks import ROOT


@dataclass(frozen=True)
class Found:
    """The test that found a fault, and the number of cases, or of orders and crashes, before that."""

    test: str
    after: str


def find(fault: Fault) -> Found | None:
    """Run the tests that must find it; None: they pass. Raises: ValueError if a day has none of them."""
    with copied() as copy:
        place(fault, copy)
        cases = ["-k", fault.only] if fault.only else []
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-n",
            "0",
            "-q",
            "-p",
            "no:cacheprovider",
            fault.tests,
            *cases,
        ]
        env = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
        run = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, timeout=900)
    if run.returncode > 1:  # pytest's 5: no test is selected
        raise ValueError(
            f"{fault.tests} {fault.only}: pytest ends with {run.returncode}, and says\n{run.stdout[-2000:]}"
        )
    failed = re.search(r"^FAILED (\S+::\w+)", run.stdout, re.MULTILINE)
    if not failed:
        return None
    if tried := re.search(r"\(after (\d+ orders), (\d+ crashes)\)", run.stdout):
        return Found(failed[1], f"{singular(tried[1])}, {singular(tried[2])}")
    passed = re.search(r"(\d+) passed", run.stdout)
    return Found(failed[1], singular(f"{1 + int(passed[1]) if passed else 1} cases"))


def singular(counted: str) -> str:
    """The same text, in the singular for one."""
    return {"1 orders": "1 order", "1 crashes": "1 crash", "1 cases": "1 case"}.get(counted, counted)


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the working tree's files, with the same installed packages."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    with tempfile.TemporaryDirectory(prefix="fault-") as folder:
        copy = Path(folder)
        for file in filter(lambda file: (ROOT / file).exists(), files):
            (copy / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, copy / file)
        if (packages := ROOT / "typescript/node_modules").exists():
            (copy / "typescript/node_modules").symlink_to(packages)
        yield copy


def place(fault: Fault, tree: Path) -> None:
    """Put the fault into the copy. Raises: ValueError unless its text occurs once."""
    text = (tree / fault.file).read_text()
    if text.count(fault.old) != 1:
        raise ValueError(f"{fault.file} has changed: {fault.old!r} is there {text.count(fault.old)} times")
    (tree / fault.file).write_text(text.replace(fault.old, fault.new))


def main() -> None:
    console = Console(highlight=False, soft_wrap=True)
    chosen = [fault for fault in FAULTS if all(word in fault.title for word in sys.argv[1:])]
    missed = 0
    for number, fault in enumerate(chosen, 1):
        found = find(fault)
        missed += found is None
        console.print(f"{number} of {len(chosen)}: {fault.title}: {found or '[bold]NOT FOUND[/]'}")
    sys.exit(missed)


if __name__ == "__main__":
    main()
