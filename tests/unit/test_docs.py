"""What the pages link to is there."""

import re
from pathlib import Path

import pytest

from tour.frameworks import FRAMEWORKS, ROOT

PAGES = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *(ROOT / f.name / "README.md" for f in FRAMEWORKS)]
LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+)")


def links(page: Path) -> list[tuple[str, Path]]:
    found = LINK.findall(page.read_text())
    return [(text, page.parent / target) for text, target in found if not target.startswith("http")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_every_named_test_is_in_it(page: Path) -> None:
    for text, target in links(page):
        assert target.exists(), f"{page}: {target}"
        if text.startswith("`test_"):
            assert f"def {text.strip('`')}(" in target.read_text(), f"{page}: {text} is not in {target}"


def test_the_page_on_guarantees_shows_each_statement() -> None:
    rows = re.findall(r"^\| .+ \|$", (ROOT / "docs" / "guarantees.md").read_text(), re.MULTILINE)
    statements = [row for row in rows if not row.startswith(("| statement", "| ---"))]
    assert len(statements) > 15
    assert all("`test_" in row for row in statements)
