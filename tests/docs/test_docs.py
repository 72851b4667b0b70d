"""The pages' links have targets, and a test provokes each error that the pages describe."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from durable import parts
from tests.docs import figures
from tests.docs.pages import PAGES
from tests.proof.exhaustive import COUNTS
from tests.proof.seeded import FAULTS
from tour.runtime.frameworks import ROOT

LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+)")
ANCHOR = re.compile(r"\]\(([^)#\s]*\.md)?#([^)\s]+)\)")


def links(page: Path) -> list[tuple[str, Path]]:
    found = LINK.findall(page.read_text())
    return [(text, page.parent / target) for text, target in found if not target.startswith("http")]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "bench/peers/README.md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_every_named_test_is_in_it(page: Path) -> None:
    for text, target in links(page):
        assert target.exists(), f"{page}: {target}"
        if text.startswith("`test_"):
            assert f"def {text.strip('`')}(" in target.read_text(), f"{page}: {text} is not in {target}"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_anchor_is_a_heading(page: Path) -> None:
    for file, anchor in ANCHOR.findall(page.read_text()):
        headings = re.findall(r"^#+ (.+)$", (page.parent / file if file else page).read_text(), re.MULTILINE)
        anchors = [re.sub(r"[^\w\s-]", "", heading.lower()).replace(" ", "-") for heading in headings]
        assert anchor in anchors, f"{page}: {file}#{anchor}"


def test_the_page_on_verification_sums_up_its_tables() -> None:
    page = (ROOT / "docs" / "verification.md").read_text()
    counts = json.loads(COUNTS.read_text()).values()
    assert f"| {sum(of['attempts'] for of in counts):,} attempts |" in page
    assert f"| {len(FAULTS)} of {len(FAULTS)} |" in page


def test_the_requests_for_upstream_name_each_private_part() -> None:
    page = (ROOT / "docs" / "upstream.md").read_text()
    names = {part.name for of_module in parts.PARTS.values() for part in of_module}
    assert [name for name in names if f"`{name}`" not in page and f"`{name.rpartition('.')[2]}`" not in page] == []


def test_the_page_on_guarantees_shows_each_statement() -> None:
    rows = re.findall(r"^\| .+ \|$", (ROOT / "docs" / "guarantees.md").read_text(), re.MULTILINE)
    statements = [row for row in rows if not row.startswith(("| statement", "| fault |", "| ---"))]
    assert len(statements) > 15
    assert all("`test_" in row for row in statements)


@pytest.mark.parametrize("page", figures.pages(), ids=lambda page: page.name)
def test_the_figures_of_a_page_are_those_of_the_runs_files(page: Path) -> None:
    assert page.read_text() == figures.filled(page), "write it again: uv run python -m tests.docs.figures"


TROUBLES = {
    "`Left out: Vercel AI": ("tour/test_node.py", "test_without_npm_s_registry_they_are_left_out"),
    "`Restate needs port 8080": ("tour/test_restate_server.py", "test_a_taken_port_names_its_holder"),
    "`The page cannot listen": ("tour/test_tour.py", "test_the_page_s_port_is_taken"),
    "`no browser: install": ("docs/test_docs.py", "test_without_a_browser_the_tests_of_the_page_are_skipped"),
    "`Cannot listen on": ("shared/test_entrypoints.py", "test_a_taken_port_is_explained"),
    "`http://127.0.0.1:… no longer": ("tour/test_tour.py", "test_restate_goes_away_in_the_middle"),
    "`npm could not install": ("tour/test_restate_server.py", "test_an_unreachable_registry_is_explained"),
    "`400 invalid claim": ("shared/test_entrypoints.py", "test_alone_without_a_key"),
    "`404 service": ("shared/test_entrypoints.py", "test_a_service_that_is_not_registered"),
    "`500 … Connection error`": (
        "shared/test_entrypoints.py",
        "test_with_a_key_and_no_model_the_error_names_the_cause_and_not_the_key",
    ),
    "`401: the model's provider": (
        "conformance/test_answers.py",
        "test_a_refusal_of_the_provider_ends_the_claim_after_one_attempt",
    ),
    "`The event loop has not turned": (
        "faults/test_frozen_agent.py",
        "test_a_step_freezes_the_process_and_all_claims_in_it_are_decided",
    ),
    "`froze (no answer)`": (
        "faults/test_frozen_agent.py",
        "test_an_agent_that_cannot_notice_it_is_asked_killed_and_started_again",
    ),
    "`META0005": ("shared/test_entrypoints.py", "test_a_service_s_name_that_restate_reserves"),
}
"""The beginnings of rows in docs/troubleshooting.md, including all common ones, and the test that provokes each."""


def test_every_error_that_is_explained_is_met_by_a_test() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    _, _, common = page.partition("## The most common")
    rows = re.findall(r"^\| (`.+) \|$", common.partition("\n## ")[0], re.MULTILINE)
    assert len(rows) >= 5
    assert [row for row in rows if not row.startswith(tuple(TROUBLES))] == []
    rows = re.findall(r"^\| (`.+) \|$", page, re.MULTILINE)
    assert [trouble for trouble in TROUBLES if not any(row.startswith(trouble) for row in rows)] == []
    for file, name in TROUBLES.values():
        assert f"def {name}(" in (ROOT / "tests" / file).read_text()


@pytest.mark.long
def test_without_a_browser_the_tests_of_the_page_are_skipped() -> None:
    command = [sys.executable, "-m", "pytest", "-n", "0", "-k", "invalid_claim", "tests/browser"]
    run = subprocess.run(command, cwd=ROOT, env={"PATH": ""}, capture_output=True, text=True)
    assert "1 skipped" in run.stdout
    assert "no browser: install Chromium" in run.stdout
