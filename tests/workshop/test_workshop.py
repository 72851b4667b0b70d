"""The learner's files are never lost, and their progress is kept."""

import asyncio
from importlib import import_module
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from tour.runtime.errors import TourError
from workshop import chapters, commands, hints
from workshop.attempt import Attempt, Wrong
from workshop.chapters import CHAPTERS, chapter


@pytest.fixture(autouse=True)
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOUR_WORKSHOP", str(tmp_path / "mine"))
    return tmp_path / "mine"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_each_chapter_is_whole(chapter: chapters.Chapter) -> None:
    page = (chapter.folder / "README.md").read_text()
    assert page.startswith(f"# {chapter.number}. ")
    for command in ("start", "check", *(() if chapter.open else ("solution",))):
        assert f"$ uv run tour workshop {command} {chapter.number}" in page
    assert [hint.number for hint in hints.all_of(chapter)] == [*range(1, page.count("<summary>Hint") + 1)]
    assert len(hints.all_of(chapter)) >= 2
    assert "# EXERCISE: " in chapter.exercise.read_text()
    assert chapter.open != chapter.solution.exists()
    if not chapter.open:
        assert "EXERCISE" not in chapter.solution.read_text()
    assert asyncio.iscoroutinefunction(chapter.check.check)


@pytest.mark.parametrize(("part", "spare"), [(1, 15), (2, 13)])
def test_a_part_fits_ninety_minutes_with_some_to_spare(part: int, spare: int) -> None:
    assert sum(each.minutes for each in CHAPTERS if each.part == part and not each.for_home) == 90 - spare


def said(*arguments: str, code: int = 0) -> str:
    """The output of `tour workshop` with these arguments. Raises: TourError."""
    shown = StringIO()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(commands, "console", Console(file=shown, width=80))
        result = CliRunner().invoke(commands.cli, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code
    return shown.getvalue()


def test_each_call_shows_the_next_hint(mine: Path) -> None:
    first, second = (hint.text.split()[-1] for hint in hints.all_of(chapter(2)))
    assert "no hint yet" in said("hint", "2", "--again")
    assert "Hint 1 of 2" in (shown := said("hint", "2"))
    assert first in shown
    assert second not in shown
    assert second in said("hint", "2")
    assert "seen all hints" in said("hint", "2")
    assert "Hint 1 of 2" in said("hint", "3"), "each chapter begins with its first"
    again = said("hint", "2", "--again")
    assert again.index(first) < again.index(second)
    assert (mine / "hints.json").exists()
    said("start", "2")
    said("reset", "2")
    assert "Hint 1 of 2" in said("hint", "2")


def test_all_hints_at_once_count_as_none() -> None:
    assert said("hint", "13", "--all").count("Hint ") == len(hints.all_of(chapter(13)))
    assert "Hint 1 of" in said("hint", "13")


def test_hints_that_cannot_be_counted(mine: Path) -> None:
    mine.mkdir()
    (mine / "hints.json").write_text('{"2": "many"}')
    with pytest.raises(TourError, match="The list of hints") as error:
        said("hint", "2")
    assert str(mine / "hints.json") in error.value.remedy


def test_no_command_shows_the_solution_of_the_open_chapter() -> None:
    for option in ((), ("--write",)):
        with pytest.raises(TourError, match="no solution") as error:
            said("solution", "13", *option)
        assert "workshop hint 13" in error.value.remedy
    said("start", "13")
    assert chapter(13).mine.read_text() == chapter(13).exercise.read_text()


async def test_what_the_judge_says_is_shown(mine: Path) -> None:
    report = import_module("workshop.ch13_the_judge.check").report
    shown = StringIO()
    promises = [
        {"name": "it ends", "holds": True, "seen": "in 44 trials", "broken": []},
        {"name": "same request", "holds": None, "seen": "no model", "broken": []},
    ]
    report(Attempt(mine, Console(file=shown)), promises)
    assert "✓ it ends (in 44 trials)" in shown.getvalue()
    assert "not seen: same request (no model)" in shown.getvalue()
    paid = {"name": "paid once", "holds": False, "seen": "2", "broken": ["kill -9 in settle: paid 2 times"] * 9}
    with pytest.raises(Wrong, match=r"Broken promises: 1 of 3\.") as wrong:
        report(Attempt(mine, Console(file=shown)), [*promises, paid])
    assert wrong.value.shown == ("paid once", *["  kill -9 in settle: paid 2 times"] * 3)


def test_starting_again_leaves_the_file_as_it_is() -> None:
    assert chapters.start(chapter(3))
    chapter(3).mine.write_text("mine")
    assert not chapters.start(chapter(3))
    assert chapter(3).mine.read_text() == "mine"


def test_the_list_of_chapters_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    for each in CHAPTERS:
        chapters.start(each)
    shown = StringIO()
    monkeypatch.setattr(commands, "console", Console(file=shown, width=80))
    assert CliRunner().invoke(commands.cli).exit_code == 0
    for each in CHAPTERS:
        assert f" {each.title} " in shown.getvalue()
        assert f"{each.minutes} min " in shown.getvalue()
    assert max(map(len, shown.getvalue().splitlines())) <= 80
    paths = "".join(line[39:].strip() for line in shown.getvalue().splitlines())
    assert str(CHAPTERS[-1].mine) in paths


@pytest.mark.parametrize(
    ("number", "done_before", "told"),
    [
        (4, (), "workshop start 5"),
        (4, (5, 6), "workshop start 7"),
        (6, (), "workshop start 7"),
        (3, tuple(range(11)), "workshop start 11"),
        (14, (), "workshop start 0"),
        (4, tuple(range(15)), "All chapters are done."),
    ],
)
async def test_the_next_chapter_is_the_one_after_that_which_has_passed(
    number: int, done_before: tuple[int, ...], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def passes(attempt: Attempt) -> None:
        pass

    for before in done_before:
        chapters.mark(chapter(before), passed=True)
    shown = StringIO()
    monkeypatch.setattr(commands, "console", Console(file=shown, width=80))
    monkeypatch.setattr(chapter(number).check, "check", passes)
    monkeypatch.setattr(commands, "NOT_HERE", ())  # the environment stays as it is
    await commands._check(chapter(number))
    assert told in shown.getvalue()


def test_what_is_replaced_is_kept_each_time() -> None:
    kept = []
    for text in ("first", "second"):
        chapters.start(chapter(3))
        chapter(3).mine.write_text(text)
        kept.append(chapters.put(chapter(3), chapter(3).exercise))
    assert [path and path.read_text() for path in kept] == ["first", "second"]
    assert chapter(3).mine.read_text() == chapter(3).exercise.read_text()
    assert chapters.put(chapter(3), chapter(3).exercise) is None, "it is the same already"


def test_what_was_kept_is_not_written_over_when_an_older_one_was_removed(mine: Path) -> None:
    for text in ("first", "second", "third"):
        chapters.start(chapter(3))
        chapter(3).mine.write_text(text)
        chapters.put(chapter(3), chapter(3).exercise)
        if text == "second":
            (mine / "ch03_fan_out.1.py").unlink()
    assert sorted(path.read_text() for path in mine.glob("ch03_fan_out.*.py")) == ["second", "third"]


def test_progress(mine: Path) -> None:
    chapters.mark(chapter(3), passed=True)
    chapters.mark(chapter(10), passed=True)
    assert sorted(chapters.done()) == [3, 10]
    chapters.mark(chapter(3), passed=False)
    assert sorted(chapters.done()) == [10]
    (mine / "progress.json").write_text("[]")
    with pytest.raises(TourError, match=r"progress\.json"):
        chapters.done()


def test_no_such_chapter() -> None:
    with pytest.raises(TourError, match="0 to 14"):
        chapter(15)


def attempt(mine: Path, program: str) -> Attempt:
    mine.mkdir()
    (mine / "mine.py").write_text(program)
    return Attempt(mine / "mine.py", Console(file=StringIO()))


async def test_what_is_no_python_is_shown_with_its_line(mine: Path) -> None:
    with pytest.raises(Wrong) as wrong:
        async with attempt(mine, "import restate\nreturn [await\n").running():
            pass
    assert "not valid Python" in wrong.value.problem
    assert "line 2" in "".join(wrong.value.shown)


def test_a_constant_is_read_and_not_run(mine: Path) -> None:
    read = attempt(mine, "STARTED = {'cost': ...}\nOTHER: int = 1 + f()\n")
    assert read.constant("STARTED") == {"cost": ...}
    with pytest.raises(Wrong, match="plain values"):
        read.constant("OTHER")
    with pytest.raises(Wrong, match="no longer has NUMBER"):
        read.constant("NUMBER")
