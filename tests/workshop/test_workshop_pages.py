"""The workshop's pages agree with the chapters, and the slides show the code of the files."""

import re
import textwrap

import pytest

from tour.runtime.frameworks import ROOT
from workshop.chapters import CHAPTERS, HOME

TEACHER = (HOME / "teacher.md").read_text()


def rows_of(heading: str) -> list[tuple[str, str, str, str, str]]:
    """The rows of a plan: first and last minute, the activity, its chapter's number if it has one, the minutes."""
    _, _, rest = TEACHER.partition(f"\n## {heading}\n")
    plan, _, _ = rest.partition("\n## ")
    return re.findall(r"^\| (\d+)\u2013(\d+) \| ((\d+)?[^|]*) \| (\d+) \|", plan, re.MULTILINE)


@pytest.mark.parametrize("heading", ["Part one", "Part two"])
def test_the_minutes_of_a_plan_add_up(heading: str) -> None:
    clock = 0
    for first, last, activity, number, minutes in rows_of(heading):
        assert (int(first), int(last)) == (clock, clock + int(minutes))
        clock = int(last)
        if number:
            chapter = CHAPTERS[int(number)]
            assert (activity, int(minutes)) == (f"{number} {chapter.title}", chapter.minutes)
    assert clock == 90


@pytest.mark.parametrize(("heading", "part"), [("Part one", 1), ("Part two", 2)])
def test_the_plan_of_a_part_has_all_its_chapters_and_time_to_spare(heading: str, part: int) -> None:
    *chapters, (first, last, *_) = rows_of(heading)
    planned = [each.number for each in CHAPTERS if each.part == part and not each.for_home]
    assert [int(number) for _, _, _, number, _ in chapters] == planned
    assert int(last) - int(first) >= 13


def test_the_teacher_is_told_what_to_leave_out() -> None:
    for each in CHAPTERS:
        if each.for_home:
            assert f"**Leave out chapter {each.number}**, {each.title} ({each.minutes} minutes)" in TEACHER


def test_the_learner_s_table_has_every_chapter() -> None:
    line = r"^\| (\d+) \| \[(.+)\]\((.+)/README\.md\) \| (\d+) \|"
    rows = re.findall(line, (HOME / "README.md").read_text(), re.M)
    assert rows == [(str(each.number), each.title, each.folder.name, str(each.minutes)) for each in CHAPTERS]


BLOCKS = re.findall(r"^```(\w+) (\S+)\n(.*?)^```$", (HOME / "slides.md").read_text(), re.MULTILINE | re.DOTALL)


def test_every_block_of_the_slides_names_its_file() -> None:
    assert (HOME / "slides.md").read_text().count("\n```") == 2 * len(BLOCKS)


@pytest.mark.parametrize(("language", "path", "block"), BLOCKS)
def test_what_a_slide_shows_is_in_its_file(language: str, path: str, block: str) -> None:
    text = (ROOT / path).read_text()
    assert any(textwrap.indent(block, " " * width) in text for width in (0, 3, 4, 8, 12))
