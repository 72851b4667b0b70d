"""The diffs of docs/your-own-agent/ apply, one after the other, and the result survives a crash."""

import asyncio
import re
import subprocess
from pathlib import Path

import pytest

from lab.ledger import Fault
from shared.claims import sample_claims
from tour.runtime import stack
from tour.runtime.frameworks import FRAMEWORKS, PLAIN, ROOT, Framework, Pattern


def diffs(framework: Framework) -> list[str]:
    """The diffs on the page of this framework."""
    page = (ROOT / "docs" / "your-own-agent" / f"{framework.name}.md").read_text()
    assert f"](../../{framework.script(PLAIN).relative_to(ROOT)})" in page
    return re.findall(r"^```diff\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def durable(framework: Framework, folder: Path) -> Path:
    """The plain agent with all diffs applied, in a folder with its imports."""
    agent = folder / framework.script(PLAIN).relative_to(ROOT)
    agent.parent.mkdir(parents=True)
    agent.write_text(framework.script(PLAIN).read_text())
    if framework.on_node:
        for entry in (ROOT / "typescript").iterdir():
            if entry != framework.home:
                (folder / "typescript" / entry.name).symlink_to(entry)
    for diff in diffs(framework):
        header = f"--- a/{agent.name}\n+++ b/{agent.name}\n"
        subprocess.run(["git", "apply", "-"], input=header + diff, text=True, cwd=agent.parent, check=True)
    return agent


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=lambda each: each.name)
def test_the_diffs_apply(framework: Framework, tmp_path: Path) -> None:
    agent = durable(framework, tmp_path).read_text()
    assert len(diffs(framework)) == (4 if framework.name == "typescript_loop" else 5)
    if not framework.on_node:
        compile(agent, framework.name, "exec")


@pytest.mark.server
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "framework", [pytest.param(each, id=each.name, marks=pytest.mark.in_turn(1)) for each in FRAMEWORKS]
)
async def test_it_survives_a_crash(framework: Framework, tmp_path: Path) -> None:
    agent = durable(framework, tmp_path / "code")
    if framework.on_node:  # in Python, `serve` lets the lab look on
        text = agent.read_text().replace("[holdFailures]", "[holdFailures, ...observers]")
        agent.write_text(f'import {{ observers }} from "../../shared/observers.ts";\n{text}')
    pattern = Pattern("own", "an agent of one's own", str(agent), "ParallelToolClaimAgent")
    claim = sample_claims()["broken-leg"]
    async with stack.running(tmp_path, frameworks=[framework], pattern=pattern) as running, running.agents_kept():
        running.lab.plan(Fault("fraud", "delay", 0.5), Fault("fraud", "crash-before"), Fault("cost", "fail"))
        invocation = await running.submit(framework, claim, "user123", "session-123")
        answer = await asyncio.wait_for(running.answer(invocation), 120)
        assert answer.startswith("Approved:"), answer
        started = [entry.step for entry in running.lab.ledger() if entry.event == "start"]
        assert {step: started.count(step) for step in started} == {"model": 2, "eligibility": 1, "cost": 2, "fraud": 2}
