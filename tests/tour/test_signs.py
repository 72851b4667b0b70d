"""The command line on an ASCII terminal: everything is legible, and nothing ends in an error."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from shared.claims import sample_claims
from tests import forking
from tests.tour.test_tour import tour

pytestmark = pytest.mark.long

ASCII = {"LC_ALL": "POSIX", "PYTHONIOENCODING": "ascii"}


@pytest.mark.server
async def test_a_comparison_in_ascii(tmp_path: Path) -> None:
    claim = tmp_path / "claim.json"
    given = sample_claims()["broken-leg"].model_dump(mode="json") | {"reason": "broken leg, Müller 😀"}
    claim.write_text(json.dumps(given, ensure_ascii=False), encoding="utf-8")
    page, picture = tmp_path / "page.html", tmp_path / "picture.svg"
    arguments = ("compare", "--only", "restate_loop", "--fail", "fraud", "--claim", str(claim), "--html", str(page))
    # Nor does Python take UTF-8 for files here, as it would by itself in this locale.
    env = {**ASCII, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    process = await tour(*arguments, "--svg", str(picture), home=tmp_path, env=env, real_starts=True)
    said = (await process.communicate())[0].decode("ascii")
    assert process.returncode == 0, said
    assert r"broken leg, M\xfcller \U0001f600" in said
    assert "# model call  = check  x failed attempt" in said
    assert "fraud" in said
    assert "==x==" in said
    assert "?" not in said
    assert "Müller 😀" in page.read_text(encoding="utf-8")
    assert "━" in picture.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["doctor"], 0, "Restate server"),
        (["compare", "--help"], 0, "+- Options -"),
        (["nonsense"], 2, "+- Error -"),
        (["code", "--only", "restate_loop", "--region", "tool"], 0, "| a loop of our own"),
        (["workshop"], 0, "\n>   1  an agent that forgets"),
        (["--claim", "/nothing/Müller…"], 1, r"'/nothing/M\xfcller...'"),
        (["--claim", "-"], 1, "date: Field required"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
async def test_other_commands_in_ascii(tmp_path: Path, arguments: list[str], code: int, expected: str) -> None:
    (tmp_path / "ch01_forgets.py").touch()  # a chapter that is begun
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", forking.TOUR, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **ASCII, "TOUR_WORKSHOP": str(tmp_path), "COLUMNS": "100"},
    )
    said = (await process.communicate('{"reason": "Müller"}'.encode()))[0].decode("ascii")
    assert process.returncode == code, said
    assert expected in said
    assert "?" not in said
    assert "Traceback" not in said
