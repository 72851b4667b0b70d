"""A number in an environment variable that is none ends the program, with two lines, in both languages."""

import os
import subprocess
from collections.abc import Callable

import pytest

from shared.variables import number
from tour.runtime.frameworks import ROOT
from tour.runtime.node import NODE

MODULE = ROOT / "typescript/shared/variables.ts"

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
