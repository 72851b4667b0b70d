"""The linter of the pages' prose: proselint's checks, and our own for our frequent faults.

uv run python -m tests.docs.prose    # prints what to change; exits with 1 if there is something
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt
from proselint.checks import __register__ as ITS_OWN
from proselint.config import DEFAULT, Config
from proselint.registry import CheckRegistry
from proselint.registry.checks import Check, types
from proselint.registry.checks.engine import Fast, RegexOptions
from proselint.tools import LintFile

from tests.docs.pages import PAGES
from tour.runtime.frameworks import ROOT

START = r"(?:\n|[.:;!?] )"
"""The beginning of a sentence."""

BETWEEN = "\n¶\n"
"""The separator of paragraphs for the linter."""

RULES = {
    "subject": (
        rf"{START}(?:That (?:a|an|the|both|each|it|they|all|no|nothing|none) |Whether |Whoever )",
        "A clause is the subject. Begin with who acts: “The suite verifies that …”.",
    ),
    "what": (
        rf"{START}What (?:a|an|the|it|they|you|is|was|are|one|such|nobody|somebody) [^?\n]*?"
        r"(?: is| are| has| gives| does)\b[^?\n]*?\.",
        "A clause is the subject. Name the thing: “A finished step …” for “What is finished …”.",
    ),
    "owner": (
        r"\b(?:what|which|that) (?:is|are) (?:somebody|nobody|another|the reader|one)'s\b",
        "Say whose it is with a verb: belongs to, comes from.",
    ),
    "journal": (
        r"\b(?:meets?|met) (?:another|the same) (?:journal|order)\b",
        "Say what a replay does: it creates steps in the same order; a mismatch (570) follows.",
    ),
    "shown": (r"\b(?:is|are) shown by [^|\n]", "Begin with the test: “The test … shows …”."),
    "negation": (
        r"\b(?:is|are) none\b|\bno matter of\b|\bnothing of [a-z]+'s\b",
        "Say it directly: “there is no …”, “missing”.",
    ),
    "noun": (
        r"\b(?:about|as|from|of|than) what (?:a|an|are|has|is|it|the|they|was|you)\b",
        "Name the thing: “the durable steps” for “what is durable”.",
    ),
    "vague": (r"\bso many\b|\bjust\b", "Give the number; write “only”, or leave the word out."),
    "round": (r"\bthe other way round\b", "Name both directions."),
    "sequence": (r"\b(?:goes|went) on where it was interrupted\b", "“resumes”"),
}
"""Patterns of the worst sentences in earlier versions of the pages, each with a better form."""

READ = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "bench" / "peers" / "README.md"]
"""The pages whose prose is linted, including those whose commands are not run."""

NOISE = ("typography", "misc.phrasal_adjectives", "misc.but", "dates_times", "spelling", "psychology", "terms")
"""Proselint's checks that report code, units and our terms as faults."""

CONFIG: Config = {
    "max_errors": DEFAULT["max_errors"],
    "checks": {
        **dict.fromkeys(NOISE, False),
        **{name: on for name, on in DEFAULT["checks"].items() if name not in NOISE},
        "tour": True,
    },
}

CheckRegistry().register_many(ITS_OWN)
for _name, (_pattern, _message) in RULES.items():
    CheckRegistry().register(
        Check(types.ExistenceSimple(_pattern), Fast(RegexOptions(case_insensitive=False)), f"tour.{_name}", _message)
    )


def prose(page: str) -> Iterator[tuple[int, str]]:
    """The paragraphs, cells and items of a page in Markdown, each with its first line; code in it reads `code`."""
    line = 0
    for token in MarkdownIt("commonmark").enable("table").parse(page):
        line = token.map[0] + 1 if token.map else line
        if token.type == "inline":
            words = {"text": None, "softbreak": " ", "hardbreak": " ", "code_inline": "code"}
            yield line, "".join(words[each.type] or each.content for each in token.children or () if each.type in words)


def problems(page: Path, written: str = "") -> Iterator[str]:
    """The faults on this page, or in the text `written` for it."""
    lines, texts = zip(*prose(written or page.read_text()), strict=True)
    text = BETWEEN.join(texts).replace('"', "")  # a rule is not to be silent because a quotation begins before it
    for result in LintFile(str(page), text).lint(CONFIG):
        start, end = result.check_result.span
        where = lines[text.count(BETWEEN.strip(), 0, start)]
        words, check = text[max(0, start - 1) : end - 1].strip(" .\n"), result.check_result
        yield f"{page.relative_to(ROOT)}:{where}: “{words[:90]}”: {check.message} ({check.check_path})"


if __name__ == "__main__":
    found = [problem for page in READ for problem in problems(page)]
    print(*found, sep="\n")
    sys.exit(bool(found))
