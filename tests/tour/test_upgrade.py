"""`tour upgrade`: the change of the code, the whole run, and that its verdict can fail."""

import io
import tempfile
from pathlib import Path

import psutil
import pytest
import typer
from rich.console import Console

from tests.tour.test_tour import tour
from tour import upgrade
from tour.runtime.errors import TourError
from tour.runtime.frameworks import APPROVAL, BY_NAME, PYTHON, Framework

LOOP = BY_NAME["restate_loop"]


@pytest.mark.parametrize("framework", PYTHON, ids=lambda framework: framework.name)
def test_version_2_of_every_framework_begins_with_the_fraud_check(framework: Framework) -> None:
    source = framework.script(APPROVAL).read_text()
    changed = upgrade.version_2(source)
    compile(changed, framework.name, "exec")
    [line] = {*changed.splitlines()} - {*source.splitlines()}
    assert "ctx.run_typed(name, check.function" in line


@pytest.mark.parametrize("source", ["", upgrade.STEPS * 2])
def test_a_file_in_which_the_lines_are_not_there_once_is_not_edited(source: str) -> None:
    with pytest.raises(ValueError, match=f"found {source.count(upgrade.STEPS)} times"):
        upgrade.version_2(source)


@pytest.mark.server
@pytest.mark.in_turn(1)
async def test_the_code_changes_beside_and_in_place(tmp_path: Path) -> None:
    process = await tour("upgrade", home=tmp_path, env={"COLUMNS": "80", "TMPDIR": str(tmp_path)}, real_starts=True)
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said
    lines = said.splitlines()
    assert [line for line in lines if line.startswith(("holds", "violated"))] == [
        "holds     a claim finishes on the code that began it",
        "holds     in place, each replay ends in a journal mismatch: 570",
        "holds     a cancel does not end it; a restart asks and checks again",
        "holds     what is registered last gets the new claims",
        "holds     with the old code they finish, and nothing is repeated",
        "holds     version 1 is removed when nothing is pinned to it, not before",
    ]
    assert "name: eligibility != fraud" in said
    assert "+    checks = {name: " in said
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 65, "two screens"
    assert not list(tmp_path.glob("tour-upgrade-*"))
    environments = [process.info["environ"] or {} for process in psutil.process_iter(["environ"])]
    assert str(tmp_path) not in [environment.get("TOUR_HOME") for environment in environments], "a process is left"


@pytest.fixture
def console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return Console(file=io.StringIO(), width=80)


def said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.server
@pytest.mark.in_turn(1)
async def test_what_does_not_hold_is_a_violation(
    tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrade, "BEGUN", upgrade.BEGUN[::-1])
    with pytest.raises(typer.Exit) as ended:
        await upgrade.run([LOOP], console)
    assert ended.value.exit_code == 1
    assert "violated  a claim finishes on the code that began it" in said(console)
    assert said(console).count("holds") == 5
    assert list(tmp_path.glob("tour-upgrade-*/restate.log")), "the evidence is kept"


@pytest.mark.server
@pytest.mark.in_turn(1)
async def test_a_change_that_begins_the_same_steps_meets_no_other_journal(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrade, "version_2", lambda source: f"{source}\n# another comment\n")
    with pytest.raises(TourError, match="A claim was answered; its replay should have ended"):
        await upgrade.run([LOOP], console)


@pytest.mark.parametrize("names", [["openai_agents", "restate_loop"], ["vercel_ai"]])
async def test_it_takes_one_framework_in_python(names: list[str], console: Console) -> None:
    with pytest.raises(TourError, match="one framework, in Python"):
        await upgrade.run([BY_NAME[name] for name in names], console)


async def test_it_needs_a_restate_of_its_own(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTATE_ADMIN_URL", "http://127.0.0.1:9070")
    with pytest.raises(TourError, match="a separate Restate"):
        await upgrade.run([LOOP], console)
