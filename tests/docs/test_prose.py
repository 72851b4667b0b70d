"""The pages read well, by the rules of prose.py."""

import pytest

from tests.docs.prose import READ, problems
from tour.runtime.frameworks import ROOT


def test_the_pages_have_none_of_the_worst_sentences() -> None:
    assert [problem for page in READ for problem in problems(page)] == []


@pytest.mark.parametrize(
    ("sentence", "rule"),
    [
        ("That both make the same of a claim is shown by the suite.", "tour.subject"),
        ("It runs again. What was done is undone.", "tour.what"),
        ("It keeps what is somebody's.", "tour.owner"),
        ("No replay meets another journal.", "tour.journal"),
        ("An answer that is none ends the claim.", "tour.negation"),
        ("It takes as long as what is durable.", "tour.noun"),
        ("Claims are retried so many times.", "tour.vague"),
        ("He said `a`. There is a ATM machine.", "redundancy.ras_syndrome"),
    ],
)
def test_a_bad_sentence_is_found(sentence: str, rule: str) -> None:
    found = list(problems(ROOT / "docs" / "bad.md", f"# A title\n\nA line.\n\n{sentence}\n"))
    assert any(problem.startswith("docs/bad.md:5: ") and rule in problem for problem in found), found
