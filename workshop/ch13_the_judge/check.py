"""Does the agent keep its promises, whatever the judge does to it?"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from shared.claims import sample_claims
from tour.runtime import processes
from tour.runtime.processes import Process, free_port
from workshop.attempt import Attempt, Wrong
from workshop.ch13_the_judge import insurer

TOUR = (sys.executable, "-c", "from tour.cli import main; main()")

LINES = 5
"""How many lines of evidence are shown for a broken promise."""


async def check(attempt: Attempt) -> None:
    """The judge tries to break the agent, which finds the insurer's desk open. Raises: Wrong; TourError."""
    with tempfile.TemporaryDirectory(prefix="tour-workshop-") as name:
        folder, port = Path(name), free_port()
        desk = [sys.executable, "-m", insurer.__name__, "--port", str(port)]
        async with processes.running("The insurer", desk, folder / "insurer.log") as opened:
            await opened.until(f"http://127.0.0.1:{port}/health")
            env = {"INSURER_URL": f"http://127.0.0.1:{port}"}
            with attempt.console.status("The judge is at work: two minutes, if the agent is good"):
                verdict = await _judged(attempt, folder, env)
    report(attempt, verdict["promises"])


def report(attempt: Attempt, promises: list[dict[str, Any]]) -> None:
    """Report the promises that hold, and those that cannot be seen. Raises: Wrong for those that are broken."""
    for promise in promises:
        if promise["holds"]:
            attempt.holds(promise["name"])
        elif promise["holds"] is None:
            attempt.say(f"not seen: {promise['name']}")
    broken = [promise for promise in promises if promise["holds"] is False]
    if broken:
        evidence = [f"{each['name']}:\n" + "\n".join(f"      {line}" for line in each["broken"][:LINES]) for each in broken]
        raise Wrong(f"{len(broken)} of {len(promises)} promises are broken.", *evidence)


async def _judged(attempt: Attempt, folder: Path, env: dict[str, str]) -> dict[str, Any]:
    """What the judge says of the learner's file. Raises: Wrong when it cannot be judged."""
    attempt.constant  # noqa
    body = sample_claims()["broken-leg"].model_dump_json()
    command: list[str | Path] = [*TOUR, "judge", "--json", "-", "--body", body, "--", sys.executable, attempt.file.resolve()]
    async with processes.running("The judge", command, folder / "judge.log", env) as judge:
        await judge.child.wait()
        said = judge.log.read_text()
    try:
        verdict: dict[str, Any] = json.loads(said[said.index("{\n") :])
    except ValueError:
        raise Wrong("The judge cannot judge this file.", *said.splitlines()[-10:]) from None
    return verdict
