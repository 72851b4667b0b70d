"""`tour new`: names and errors, and for each SDK a project whose commands run, with tests that kill its agent."""

import asyncio
import os
import tomllib
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

from tests.tour.test_tour import tour
from tour.new import project
from tour.runtime.errors import TourError
from tour.runtime.frameworks import FRAMEWORKS, ROOT


def test_every_framework_can_be_chosen() -> None:
    assert [*project.SDKS.values()] == [*FRAMEWORKS]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("my-agent", "cannot be the name of a Python module"),
        ("2nd", "cannot be the name of a Python module"),
        ("MyAgent", "cannot be the name of a Python module"),
        ("lambda", "cannot be the name of a Python module"),
        ("durable", "There is a Python module durable already"),
        ("json", "There is a Python module json already"),
        ("nowhere/my_agent", "There is no folder"),
    ],
)
def test_a_name_that_will_not_do(name: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(TourError, match=problem):
        project.write(tmp_path / name, "langchain")
    assert not [*tmp_path.iterdir()]


def test_what_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "my_agent").mkdir()
    with pytest.raises(TourError, match="exists already"):
        project.write(tmp_path / "my_agent", "langchain")
    assert not [*(tmp_path / "my_agent").iterdir()]


@pytest.mark.server
async def test_an_unknown_sdk(tmp_path: Path) -> None:
    process = await tour("new", str(tmp_path / "my_agent"), "--sdk", "acme", home=tmp_path)
    said = (await process.communicate())[0].decode()
    assert process.returncode == 1
    assert "There is no SDK acme." in said
    assert "openai-agents, google-adk, pydantic-ai, langchain, restate-loop, vercel-ai, typescript-loop" in said
    assert not (tmp_path / "my_agent").exists()


@pytest.mark.parametrize("sdk", project.SDKS)
def test_the_name_is_everywhere(sdk: str, tmp_path: Path) -> None:
    project.write(tmp_path / "night_train", sdk)
    files = {path.name: path.read_text() for path in (tmp_path / "night_train").iterdir()}
    agent = project.file_name("night_train", sdk)
    assert {agent, "test_night_train.py", "pyproject.toml", "README.md", ".env.example", ".gitignore"} <= {*files}
    assert '"NightTrain"' in files[agent]
    assert "/NightTrain/" in files["README.md"]
    assert not [name for name, text in files.items() if "my_agent" in text or "MyAgent" in text]
    sources = tomllib.loads(files["pyproject.toml"])["tool"]["uv"]["sources"]
    assert sources["tour-of-agents"]["path"] == str(ROOT)
    assert all(name in files["README.md"] for name in project.commands("night_train", sdk))


async def succeeds(*command: str, cwd: Path) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "VIRTUAL_ENV"))}
    process = await asyncio.create_subprocess_exec(*command, cwd=cwd, env=env, stdout=PIPE, stderr=STDOUT)
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said
    return said


@pytest.mark.server
@pytest.mark.real_starts
@pytest.mark.timeout(600)
@pytest.mark.parametrize("sdk", [pytest.param(sdk, marks=pytest.mark.in_turn(1)) for sdk in project.SDKS])
async def test_two_commands(sdk: str, tmp_path: Path) -> None:
    folder = tmp_path / "my_agent"
    project.write(folder, sdk)
    ask, test, _ = project.commands("my_agent", sdk)
    program, request, _ = ask.split('"')
    said = await succeeds(*program.split(), request, cwd=folder)
    assert "flight in Lisbon: reserved. hotel in Lisbon: reserved. car in Lisbon: reserved." in said
    assert "2 passed" in await succeeds(*test.split(), cwd=folder)
