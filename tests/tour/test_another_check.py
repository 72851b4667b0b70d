"""A new check is ten files, as CONTRIBUTING.md says: all patterns of all frameworks then run it."""

import re
import shutil
from pathlib import Path

import pytest

from tests.tour.test_another_sdk import links_to_the_tree, tour
from tour.runtime.frameworks import FRAMEWORKS, PATTERNS, ROOT

PYTHON = """\
async def check_documents(claim: InsuranceClaim) -> str:
    \"""`complete`, or `incomplete: <why>`.\"""
    return "complete" if claim.reason else "incomplete: no reason is given"


"""
TYPESCRIPT = """\
export async function checkDocuments(claim: InsuranceClaim): Promise<string> {
  return claim.reason ? "complete" : "incomplete: no reason is given";
}

"""
ROW = '        Check("documents", "Are they complete?", check_documents, specialty="documents", topic="documents"),\n'
ROW_IN_TYPESCRIPT = """\
  documents: {
    tool: "check_documents",
    description: "Are they complete?",
    work: checkDocuments,
    specialty: "documents",
    topic: "documents",
  },
"""


def with_the_check(tree: Path) -> set[Path]:
    """Add the check to this copy of the tree. Returns the changed files."""
    changed = set[Path]()

    def insert(name: str, *places: tuple[str, str]) -> None:
        """Insert each text before the place that its expression finds, in which `\\1` is what the place has."""
        text = (tree / name).read_text()
        for place, added in places:
            text, times = re.subn(place, lambda found, added=added: found.expand(added) + found[0], text, count=1)  # type: ignore[misc]
            assert times, f"{name}: {place}"
        (tree / name).write_text(text)
        changed.add(tree / name)

    insert("shared/checks.py", (r"class CheckFunction", PYTHON), (r"    \)\n\}\n", ROW))
    insert(
        "typescript/shared/checks.ts",
        (r"/\*\* One check: ", TYPESCRIPT),
        (r"\} as const satisfies", ROW_IN_TYPESCRIPT),
    )
    insert("offline_model/decide.py", (r"    r\"\(low\|", '    r"complete|incomplete: .+",\n'))
    for framework in FRAMEWORKS:
        agent = framework.home.relative_to(ROOT) / "parallel_tools_agent"
        if framework.on_node:
            line = r'\1ctx.run("documents", () => checkDocuments(claim)),\n'
            places = (r"checkEligibility, checkFraud", "checkDocuments, "), (r'( +)ctx\.run\("fraud"', line)
            insert(f"{agent}.ts", *places)
        else:
            line = r'\1ctx.run_typed("documents", check_documents, claim=claim),\n'
            places = (r"check_eligibility, check_fraud", "check_documents, "), (r'( +)ctx\.run_typed\("fraud"', line)
            insert(f"{agent}.py", *places)
    return changed


@pytest.mark.nightly
@pytest.mark.server
async def test_another_check_is_ten_files(tmp_path: Path) -> None:
    tree = links_to_the_tree(tmp_path)
    for name in ("shared", "offline_model", "typescript", *(each.name for each in FRAMEWORKS if not each.on_node)):
        (tree / name).unlink()
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    (tree / "typescript/node_modules").symlink_to(ROOT / "typescript/node_modules")
    assert len(with_the_check(tree)) == 10
    said = await tour(tree, tmp_path, "compare", "--patterns", "--step-latency", "0.1")
    assert len(re.findall(r"^ +documents ", said, re.MULTILINE)) == len(FRAMEWORKS) * len(PATTERNS), said
