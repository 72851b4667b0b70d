"""Does the agent keep its promises, whatever the judge does to it?"""

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tour.runtime import processes
from tour.runtime.processes import free_port
from workshop.attempt import Attempt, Wrong
from workshop.ch13_the_judge import insurer

JUDGE = (sys.executable, "-c", "from tour.cli import main; main()", "judge", "--json", "-", "--")

LINES = 3
"""The lines of evidence shown for a broken promise."""


async def check(attempt: Attempt) -> None:
    """Run the judge on the agent, with the insurer's service. Raises: Wrong; TourError."""
    with tempfile.TemporaryDirectory(prefix="tour-workshop-") as name:
        folder, url = Path(name), f"http://127.0.0.1:{free_port()}"
        desk = [sys.executable, "-m", insurer.__name__, "--port", url.rpartition(":")[2]]
        async with processes.running("The insurer", desk, folder / "insurer.log") as opened:
            await opened.until(f"{url}/health")
            attempt.say("The judge is at work.")
            command: list[str | Path] = [*JUDGE, sys.executable, attempt.file.resolve()]
            log = folder / "judge.log"
            async with processes.running("The judge", command, log, {"INSURER_URL": url}) as judge:
                await judge.child.wait()
        said = log.read_text()
    try:
        verdict = json.loads(said)
    except ValueError:
        raise Wrong("The judge cannot judge your agent.", *said.splitlines()[-10:]) from None
    report(attempt, verdict["promises"])


def report(attempt: Attempt, promises: Sequence[Mapping[str, Any]]) -> None:
    """Report the promises that hold, and those that are not visible. Raises: Wrong for broken ones."""
    for promise in promises:
        if promise["holds"]:
            attempt.holds(f"{promise['name']} ({promise['seen']})")
        elif promise["holds"] is None:
            attempt.say(f"not seen: {promise['name']} ({promise['seen']})")
    broken = [promise for promise in promises if promise["holds"] is False]
    if broken:
        raise Wrong(
            f"Broken promises: {len(broken)} of {len(promises)}.",
            *(line for each in broken for line in (each["name"], *(f"  {seen}" for seen in each["broken"][:LINES]))),
        )
