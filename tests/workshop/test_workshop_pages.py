"""The workshop's pages agree with the chapters, and the code on the slides is the code of the files."""

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


@pytest.mark.parametrize(
    ("heading", "total"), [("90 minutes", 90), ("45 minutes", 45), ("Half a day", 210), ("Two more chapters", 20)]
)
def test_the_minutes_of_a_plan_add_up(heading: str, total: int) -> None:
    clock = 0
    for first, last, activity, number, minutes in rows_of(heading):
        assert (int(first), int(last)) == (clock, clock + int(minutes))
        clock = int(last)
        if number:
            chapter = CHAPTERS[int(number)]
            assert (activity, int(minutes)) == (f"{number} {chapter.title}", chapter.minutes)
    assert clock == total


@pytest.mark.parametrize(("heading", "optional"), [("90 minutes", False), ("Two more chapters", True)])
def test_a_plan_has_every_chapter(heading: str, optional: bool) -> None:
    planned = [int(number) for _, _, _, number, _ in rows_of(heading)]
    assert planned == [chapter.number for chapter in CHAPTERS if chapter.optional == optional]


def test_the_learner_s_table_has_every_chapter() -> None:
    line = r"^\| (\d+) \| \[(.+)\]\((.+)/README\.md\) \| (\d+) \| (optional: )?"
    rows = re.findall(line, (HOME / "README.md").read_text(), re.M)
    assert rows == [
        (str(each.number), each.title, each.folder.name, str(each.minutes), "optional: " if each.optional else "")
        for each in CHAPTERS
    ]


BLOCKS = re.findall(r"^```(\w+) (\S+)\n(.*?)^```$", (HOME / "slides.md").read_text(), re.MULTILINE | re.DOTALL)


def test_every_block_of_the_slides_names_its_file() -> None:
    assert (HOME / "slides.md").read_text().count("\n```") == 2 * len(BLOCKS)


@pytest.mark.parametrize(("language", "path", "block"), BLOCKS)
def test_what_a_slide_shows_is_in_its_file(language: str, path: str, block: str) -> None:
    text = (ROOT / path).read_text()
    assert any(textwrap.indent(block, " " * width) in text for width in (0, 4, 8, 12))
