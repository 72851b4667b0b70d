"""Do the learner's answers agree with the comparison?"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from shared.claims import sample_claims
from tour import compare, report
from tour.report import Report
from tour.runtime import stack
from workshop.attempt import PATIENCE, Attempt, Wrong


async def check(attempt: Attempt) -> None:
    """All agents decide a claim twice; the learner's program reads the report. Raises: Wrong."""
    with tempfile.TemporaryDirectory(prefix="tour-workshop-") as folder:
        made = await _compared(attempt, Path(folder))
        file = Path(folder) / "comparison.json"
        file.write_text(made.model_dump_json())
        answers = await _answers(attempt, file)

    if missing := [question for question, answer in answers.items() if not answer]:
        raise Wrong("No answer yet:", *missing)
    for question, expected in _expected(made).items():
        if answers.get(question) != expected:
            raise Wrong(
                f"Wrong answer to {question!r}: {json.dumps(answers.get(question))}.",
                *(f"{f.name}: {_figures(f)}" for f in made.frameworks),
            )
        attempt.holds(f"{question}: {expected if isinstance(expected, str) else ', '.join(expected)}")
    names = [framework.name for framework in made.frameworks]
    if answers.get("my choice") not in names:
        raise Wrong(f"Your choice is not one of these: {answers.get('my choice')}", *names)
    attempt.holds(f"your choice: {answers['my choice']}, because {answers.get('because')}")


async def _compared(attempt: Attempt, folder: Path) -> Report:
    claim = sample_claims()["broken-leg"]
    async with stack.running(folder, model_latency=0.1, say=attempt.say) as running:
        runs = await compare.compare(running, running.frameworks, claim, 2, Console(quiet=True))
        return report.report_of(runs, claim=claim, model=running.model, model_latency=0.1, step_latency=0, faults=())


def _expected(made: Report) -> dict[str, str | list[str]]:
    last = {framework.name: framework.runs[-1] for framework in made.frameworks}
    return {
        "remember a user's last claim": [f.name for f in made.frameworks if f.code.session != "none"],
        "writes the most into its journal": max(last, key=lambda name: last[name].journal_bytes),
        "sends the model the fewest tokens": min(last, key=lambda name: last[name].tokens_read),
    }


def _figures(framework: report.FrameworkReport) -> str:
    run = framework.runs[-1]
    return f"session {framework.code.session}, journal {run.journal_bytes} bytes, {run.tokens_read} tokens read"


async def _answers(attempt: Attempt, file: Path) -> dict[str, object]:
    program = await asyncio.create_subprocess_exec(
        sys.executable, attempt.file, file, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        said, wrong = await asyncio.wait_for(program.communicate(), PATIENCE)
    except TimeoutError:
        program.kill()
        raise Wrong(f"Your program does not end within {PATIENCE:g} s.") from None
    if program.returncode:
        raise Wrong("Your program fails.", *wrong.decode().splitlines()[-5:])
    try:
        answers = json.loads(said)
    except ValueError:
        answers = None
    if not isinstance(answers, dict):
        raise Wrong("Your program should print one JSON object.", *said.decode().splitlines()[:5])
    return answers
