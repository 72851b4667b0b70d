"""The commands of a page, and whether their real output matches the page.

A fenced block is one of these, by its info string:

- `console`: lines `$ command`, each followed by what it prints. `…` alone stands for any number of lines. In
  `console exit=1` the last command exits with 1; a curl exits with 22 unless the answer is 2xx.
- none: only commands, with any output.
- anything else, such as `text` or `python`, is not run.

A code span with a command in it, such as `uv run tour doctor`, is run like the rest, where it stands.
"""

import contextlib
import difflib
import itertools
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tour.runtime.frameworks import FRAMEWORKS, ROOT

PAGES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    *(framework.home / "README.md" for framework in FRAMEWORKS),
    ROOT / "durable" / "README.md",
    ROOT / "shared" / "README.md",
    *sorted(path for path in ROOT.glob("workshop/**/*.md") if "mine" not in path.parts),
]
"""Every page whose links are followed, and whose commands are run."""

PROGRAMS = {"uv", "curl", "restate", "diff", "pip", "apt-get"}
"""The programs that a command of a page may run."""

GAP = "…"
SHELLS = {"bash", "sh", "shell", "zsh"}
_VARIABLE = re.compile(r"\w+=")
_COMMENT = re.compile(r"(^|\s+)#(\s|$)")

# What is not the same each time, with what it is read as. Everything else is compared letter by letter.
_VARYING = [
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (re.compile(r"\b(inv|dp)_[\w…]+"), r"\1_…"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "UUID"),
    (re.compile(r"\b(pid|kill -9) \d+"), r"\1 N"),
    (re.compile(r"\b20\d\d-\d\d-\d\d\b"), "DATE"),
    (re.compile(r"\b\d\d:\d\d:\d\d(\.\d+)?\b"), "TIME"),
    (re.compile(r"\b\d+(\.\d+)? ?(ms|s)\b"), "TIME"),
    (re.compile(r"\b\d+(\.\d+)? ?(B|[kMG]i?B)\b"), "SIZE"),
    (re.compile(r"\b\d+\.\d+ x(?!\w)"), "N x"),
    (re.compile(r":[2-6]\d{4}\b"), ":PORT"),  # those that are given away, not the usual ones
    (re.compile(r"[█━✗](?:[█━✗ ]*[█━✗])?"), "▬"),
    (re.compile("─+"), "─"),
]


@dataclass(frozen=True)
class Command:
    """A command of a page, without a comment behind it, and the output on the page, if any."""

    text: str
    line: int
    shown: tuple[str, ...] | None = None
    exit: int = 0
    span: bool = False


def commands_of(page: Path) -> list[Command]:
    """The commands of this page. Raises: ValueError, with the page's name."""
    try:
        return commands(page.read_text())
    except ValueError as error:
        error.add_note(f"in {page}")
        raise


def commands(page: str) -> list[Command]:
    """The commands of a page in Markdown, in order. Raises: ValueError if a block is not one of those above."""
    found: list[Command] = []
    line = 0
    for token in MarkdownIt("commonmark").enable("table").parse(page):
        line = token.map[0] + 1 if token.map else line
        if token.type == "fence":
            kind, *options = token.info.split() or [""]
            if kind == "console":
                found += _session(token.content.splitlines(), line + 1, options)
            elif not kind:
                found += [
                    Command(_checked(text), line + at)
                    for at, text in _whole(token.content.splitlines())
                    if _without_comment(text)
                ]
            elif kind in SHELLS:
                raise ValueError(f"line {line}: a block of commands has no info string, or `console`")
        found += (Command(span, line, span=True) for span in _spans(token) if _program(span) in PROGRAMS)
    return found


def _session(lines: list[str], first: int, options: list[str]) -> Iterator[Command]:
    if unknown := [option for option in options if not re.fullmatch(r"exit=\d+", option)]:
        raise ValueError(f"line {first}: a console has no option {' '.join(unknown)}")
    exit = int(options[-1].removeprefix("exit=")) if options else 0
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    if not starts or starts[0] != 0:
        raise ValueError(f"line {first}: a console begins with `$ ` and a command")
    for start, end in itertools.pairwise([*starts, len(lines)]):
        _, text = next(_whole([lines[start].removeprefix("$ "), *lines[start + 1 : end]]))
        shown = tuple(lines[start + 1 + text.count("\n") : end])
        yield Command(_checked(text), first + start, shown or None, exit if end == len(lines) else 0)


def _whole(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The lines with their numbers from 1; a line that ends with a backslash continues in the next."""
    whole = ""
    for number, line in enumerate(lines, 1):
        whole += line
        if whole.endswith("\\"):
            whole += "\n"
            continue
        yield number - whole.count("\n"), whole
        whole = ""


def _checked(text: str) -> str:
    """The command in this line, without the comment behind it. Raises: ValueError."""
    if _program(text) not in PROGRAMS:
        raise ValueError(f"this is no command, or one that is not known: {text}\nA block of anything else is `text`.")
    return _without_comment(text)


def _without_comment(text: str) -> str:
    for match in _COMMENT.finditer(text):
        with contextlib.suppress(ValueError):  # the mark is between quotes
            shlex.split(text[: match.start()])
            return text[: match.start()]
    return text.rstrip()


def _program(text: str) -> str:
    """The program that a command runs; empty if nothing follows its name, as in prose about it."""
    words = list(itertools.dropwhile(_VARIABLE.match, text.split()))
    return words[0] if len(words) > 1 else ""


def _spans(token: Token) -> Iterator[str]:
    if token.type == "code_inline":
        yield token.content
    for child in token.children or ():
        yield from _spans(child)


def missing(shown: Iterable[str], output: str, *, more: bool = False) -> str:
    """The first difference between a page and the output; empty if they agree.

    With `more`, as for a running program, the output may continue where the page ends.
    """
    parts: list[list[str]] = [[]]
    for line in shown:
        if line.strip() == GAP:
            parts.append([])
        else:
            parts[-1].append(line)
    if more:
        parts.append([])
    said, at = _normalised(output.splitlines()), 0
    for number, part in enumerate(map(_normalised, parts)):
        places = range(at, len(said) - len(part) + 1)
        if number == 0:
            places = places[:1]
        if number == len(parts) - 1:
            places = places[-1:] if len(parts) > 1 or len(said) == len(part) else places[:0]
        place = next((place for place in places if said[place : place + len(part)] == part), None)
        if place is None:
            return "\n".join(difflib.unified_diff(part, said[at:], "what it shows", "what there is", n=1, lineterm=""))
        at = place + len(part)
    return ""


def _normalised(lines: Iterable[str]) -> list[str]:
    text = "\n".join(lines)
    for varying, stand_in in _VARYING:
        text = varying.sub(stand_in, text)
    return "\n".join(" ".join(line.split()) for line in text.splitlines()).strip("\n").splitlines()
