"""The agents' code, read from their files: side by side, by region, and the facts in it."""

import ast
import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tour.runtime.errors import TourError
from tour.runtime.frameworks import FRAMEWORKS, PYTHON, ROOT, TYPESCRIPT, Framework

REGIONS = ("the tool", "the agent", "the service")


@dataclass(frozen=True)
class Line:
    """A line of code. `common`: most agents in its language have it in the same region, with any indentation."""

    text: str
    common: bool


@dataclass(frozen=True)
class Facts:
    """Facts about an agent, read from its code.

    `lines`: the number of non-blank lines of its file. `helpers`: the same for the modules that it imports from its
    folder and from `durable` (in TypeScript: shared/tool_calls.ts).
    `context`: the module of `restate_context()`, or else the way in which the tool gets Restate's context. `claim`: the
    object in which the tool finds the submitted claim. `session`: the service that keeps the session.
    """

    lines: int
    helpers: int
    service: str
    context: str
    claim: str
    session: str


def regions(frameworks: Sequence[Framework] = FRAMEWORKS) -> dict[str, dict[str, tuple[Line, ...]]]:
    """The lines of each region, by the names of the region and of the framework.

    The regions of a file are the tool `calculate_metrics`, the agent, and `claim_service`, in Python with its handler.
    Raises: TourError when a file lacks one.
    """
    cut = {framework.name: _cut(framework) for framework in FRAMEWORKS}
    shown: dict[str, dict[str, tuple[Line, ...]]] = {}
    for region in REGIONS:
        common = {language: _common([cut[each.name][region] for each in language]) for language in (PYTHON, TYPESCRIPT)}
        shown[region] = {
            framework.name: tuple(
                Line(text, text.strip() in common[TYPESCRIPT if framework.on_node else PYTHON])
                for text in cut[framework.name][region]
            )
            for framework in frameworks
        }
    return shown


def _common(parts: Sequence[Sequence[str]]) -> set[str]:
    """The lines that most of these parts have."""
    in_how_many = Counter(line for part in parts for line in {text.strip() for text in part})
    return {line for line, count in in_how_many.items() if 2 * count > len(parts)}


def _cut(framework: Framework) -> dict[str, list[str]]:
    return (_cut_typescript if framework.on_node else _cut_python)(framework)


def _cut_python(framework: Framework) -> dict[str, list[str]]:
    source = framework.entrypoint.read_text()
    lines = source.splitlines()
    nodes = [node for node in ast.parse(source).body[1:] if not isinstance(node, (ast.Import, ast.ImportFrom))]
    names = [_name(node) for node in nodes]
    try:
        tool, service = names.index("calculate_metrics"), names.index("claim_service")
        end = next(at for at, node in enumerate(nodes) if isinstance(node, ast.If))
    except (ValueError, StopIteration):
        raise _lacks_regions(framework) from None

    def text(first: int, last: int) -> list[str]:
        """The lines from the first node, with its decorators, to the end of the last."""
        node = nodes[first]
        start = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
        return lines[start - 1 : nodes[last].end_lineno]

    return {
        "the tool": text(0, tool),
        "the agent": text(tool + 1, service - 1),
        "the service": text(service, end - 1),
    }


def _cut_typescript(framework: Framework) -> dict[str, list[str]]:
    """Cut at the lines without indentation: in formatted code, each statement begins with one."""
    lines = framework.entrypoint.read_text().splitlines()
    imports = max(number for number, line in enumerate(lines) if line.startswith("import "))

    def begins(pattern: str) -> int:
        found = [number for number, line in enumerate(lines) if re.match(pattern, line)]
        if not found:
            raise _lacks_regions(framework)
        return found[0]

    agent = begins(r"(async function|const) run\b")
    service = begins(r"const claimService\b")
    end = begins(r"serve\(claimService\)")
    if begins(r"(const|function) (calculate_metrics|calculateMetrics)\b") > agent:
        raise _lacks_regions(framework)
    starts = (imports + 1, agent, service, end)
    cut = (lines[first:last] for first, last in itertools.pairwise(starts))
    return {region: "\n".join(part).strip("\n").split("\n") for region, part in zip(REGIONS, cut, strict=True)}


def _lacks_regions(framework: Framework) -> TourError:
    return TourError(
        f"{framework.entrypoint} lacks a region: calculate_metrics, the agent, claim_service or serve.",
        "Keep the order and the names of the other frameworks' files.",
    )


def _name(node: ast.stmt) -> str:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return node.name
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return ""


def facts(framework: Framework) -> Facts:
    """The facts about an agent, from its file."""
    return (_typescript_facts if framework.on_node else _python_facts)(framework)


def _python_facts(framework: Framework) -> Facts:
    source = framework.entrypoint.read_text()
    tree = ast.parse(source)
    functions = {
        node.name: node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    attributes = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    imports = {
        name.name: node.module or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    modules = re.findall(rf"^(?:from|import) ((?:{framework.name}|durable)\.\w+)", source, re.MULTILINE)
    helpers = [(ROOT / module.replace(".", "/")).with_suffix(".py") for module in modules]
    sessions = [name for name in imports if name.endswith("SessionService")]
    context = imports.get("restate_context")
    tool = functions["calculate_metrics"]
    return Facts(
        lines=_lines(framework.entrypoint),
        helpers=sum(map(_lines, helpers)),
        service="Virtual Object" if "restate.VirtualObject" in attributes else "Service",
        context=context or "an argument",
        claim=next(
            (
                ast.unparse(argument.annotation).partition("[")[0]
                for argument in tool.args.args
                if argument.annotation and ast.unparse(argument.annotation) not in ("InsuranceClaim", "Metrics")
            ),
            "an argument",
        ),
        session=sessions[0] if sessions else "none",
    )


def _typescript_facts(framework: Framework) -> Facts:
    source = framework.entrypoint.read_text()
    modules = re.findall(r'^import .* from "(\./[\w/]+\.ts|\.\./shared/tool_calls\.ts)";$', source, re.MULTILINE)
    tool = "\n".join(_cut_typescript(framework)["the tool"])
    given = "an argument" if re.search(r"\brun: \(ctx\b.*\bsubmitted\b", tool) else "a closure"
    return Facts(
        lines=_lines(framework.entrypoint),
        helpers=sum(_lines(framework.home / module) for module in modules),
        service="Virtual Object" if "restate.object(" in source else "Service",
        context=given,
        claim=given,
        session="none",
    )


def _lines(file: Path) -> int:
    return sum(1 for line in file.read_text().splitlines() if line.strip())
