"""A variable with a bad number (in both languages) or a bad key ends the program, with two lines."""

import os
import subprocess
from collections.abc import Callable

import pytest

from shared.variables import number, trim
from tour.runtime.frameworks import ROOT
from tour.runtime.node import NODE

pytestmark = pytest.mark.long

MODULE = ROOT / "typescript/shared/environment.ts"

GOOD = ["1", "007", "1000000000"]
FRACTIONS = ["0.5", "2.25"]
BAD = ["x", "0", "0.0", "-1", "inf", "nan", "1e3", "0x10", "1_000", " 5", "5s", "1,5", "٣", "1000000001", "9" * 5000]


def in_python(text: str, whole: bool) -> float | str:
    os.environ["TRIED"] = text
    try:
        return number("TRIED", 7) if whole else number("TRIED", 7.0)
    except SystemExit as error:
        return str(error.code)
    finally:
        del os.environ["TRIED"]


def on_node(text: str, whole: bool) -> float | str:
    program = f"import {{ number }} from '{MODULE}'; console.log(number('TRIED', 7, {str(whole).lower()}))"
    run = subprocess.run(
        [NODE, "--input-type=module", "-e", program], env={"TRIED": text}, capture_output=True, text=True, check=False
    )
    return run.stderr.rstrip("\n") if run.returncode == 1 else float(run.stdout)


@pytest.mark.parametrize("read", [in_python, on_node])
@pytest.mark.parametrize("whole", [True, False])
def test_it_is_a_number_or_two_lines(read: Callable[[str, bool], float | str], whole: bool) -> None:
    assert read("", whole) == 7
    for text in GOOD if whole else GOOD + FRACTIONS:
        assert read(text, whole) == float(text)
    kind = "a whole number" if whole else "a number"
    for text in BAD + FRACTIONS if whole else BAD:
        said = (
            f"TRIED is '{text}': it must be {kind} greater than 0, and at most 1,000,000,000.\nChange it, or unset it."
        )
        assert read(text, whole) == said


@pytest.mark.parametrize("key", ["sk-“secret”", "sk-secret\nsk-other", "sk-secret\udcff"])
def test_a_key_that_no_header_can_have_is_told_without_it(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(SystemExit, match="OPENAI_API_KEY has a character") as said:
        trim("OPENAI_")
    assert "secret" not in str(said.value)
    assert len(str(said.value).splitlines()) == 2


def test_blanks_and_line_ends_are_taken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"OPENAI_API_KEY": " sk-secret\r\n", "OPENAI_MODEL": "gpt\r", "OTHER": "a \r"}.items():
        monkeypatch.setenv(name, value)
    trim("OPENAI_")
    assert [os.environ[name] for name in ("OPENAI_API_KEY", "OPENAI_MODEL", "OTHER")] == ["sk-secret", "gpt", "a \r"]
