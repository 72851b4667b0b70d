"""Figures as the pages write them: tables, lists and spans."""

from collections.abc import Iterable, Mapping, Sequence

from tour.report import Machine
from tour.tables import FittedTable


def markdown(of: FittedTable) -> str:
    """The table in Markdown, with its title above it."""
    rows_are, *columns = map(str, of.headings)
    return f"{of.title[:1].upper()}{of.title[1:]}:\n\n{table(rows_are, columns, of.rows)}"


def table(rows_are: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown; `rows_are` heads the first column."""
    lines = [[rows_are, *columns], ["---"] * (1 + len(columns)), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def bullets(lines: Iterable[str]) -> str:
    """A list in Markdown."""
    return "\n".join(f"- {line}" for line in lines)


def span(values: Sequence[float], format: str = "{:.0f}") -> str:
    """The least and the greatest, such as `2 to 4`; one figure if they are the same."""
    least, most = format.format(min(values)), format.format(max(values))
    return least if least == most else f"{least} to {most}"


def where(machine: Machine) -> str:
    """The machine of a run, such as `Linux x86_64, 2 cores, 8 GiB, Python 3.11.7`."""
    return f"{machine.system}, {machine.cores} cores, {machine.memory_gib} GiB, Python {machine.python}"


def with_versions(of: Mapping[str, str]) -> str:
    """The packages of a run with their versions, such as `Versions: openai 3.57.0, ai 7.0.173.`"""
    return f"Versions: {', '.join(f'{name} {version}' for name, version in of.items())}."


def in_words(figures: Sequence[str]) -> str:
    """Such as `1, 2 and 3`."""
    *most, last = figures
    return f"{', '.join(most)} and {last}" if most else last
