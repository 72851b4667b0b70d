"""The journals in this folder: RELEASE/FRAMEWORK-PATTERN.json, each with the frames of a replay."""

import base64
import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.proof import protocol
from tests.proof.protocol import parsed
from tour.runtime.frameworks import (
    APPROVAL,
    BY_NAME,
    FAN_OUT,
    FRAMEWORKS,
    ROOT,
    SPECIALISTS,
    TOOL_CALLS,
    Framework,
    Pattern,
)

HOME = Path(__file__).parent
RELEASE: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
PATTERNS = {pattern.name: pattern for pattern in (FAN_OUT, TOOL_CALLS, SPECIALISTS, APPROVAL)}

_KINDS = {
    0x00: "Input",
    0x01: "Output",
    0x02: "GetLazyState",
    0x03: "SetState",
    0x04: "ClearState",
    0x07: "GetEagerState",
    0x0C: "Sleep",
    0x0D: "Call",
    0x0E: "OneWayCall",
    0x11: "Run",
}
"""The kinds of entries, by the low byte of the type of their frames."""

_CALL_ID = 0x800E
_MESSAGES = {
    "Call": "Call",
    "OneWayCall": "Call",
    "GetLazyState": "State",
    "SetState": "State",
    "GetEagerState": "State",
}


def type_of(entry: str) -> int:
    """The type of an entry's frame, by its name in Restate's table `sys_journal`, such as `Command: Run`."""
    side, _, kind = entry.partition(": ")
    if kind == "CallInvocationId":
        return _CALL_ID
    (low,) = (number for number, name in _KINDS.items() if name == kind)
    return (0x0400 if side == "Command" else 0x8000) + low


@dataclass(frozen=True)
class Entry:
    """An entry of a journal: the type of its frame, and its message."""

    type: int
    content: bytes

    @property
    def is_command(self) -> bool:
        return self.type < 0x8000

    def __str__(self) -> str:
        if self.type == _CALL_ID:
            return "the id of a call"
        kind = _KINDS.get(self.type & 0xFF, hex(self.type))
        if not self.is_command:
            return f"the result of a {kind}"
        command = parsed(_MESSAGES.get(kind, "Command"), self.content)
        if kind in ("Call", "OneWayCall"):
            return f"{kind} {command.service_name}/{command.handler_name}"
        return " ".join(filter(None, [kind, command.key.decode() if hasattr(command, "key") else "", command.name]))


@dataclass(frozen=True)
class Journal:
    """A journal: the release that recorded it, the path of its handler, the server's Start message, and the entries."""

    release: str
    framework: Framework
    pattern: Pattern
    path: str
    start: bytes
    entries: tuple[Entry, ...]

    def __str__(self) -> str:
        return f"{self.release}-{self.framework.name}-{self.pattern.name}"

    @property
    def points(self) -> list[int]:
        """The numbers of entries from which an attempt can begin: after the input, after each result, and all."""
        after_a_result = [number for number, entry in enumerate(self.entries, 1) if not entry.is_command]
        return [1, *after_a_result, len(self.entries)]

    def request(self, known: int) -> bytes:
        """The frames with which the server begins an attempt with this number of entries."""
        start = parsed("Start", self.start)
        start.known_entries = known
        entries = (protocol.frame(entry.type, entry.content) for entry in self.entries[:known])
        return b"".join([protocol.frame(protocol.START, start), *entries])

    def write(self) -> None:
        """Write it to its file."""
        file = HOME / self.release / f"{self.framework.name}-{self.pattern.name}.json"
        file.parent.mkdir(exist_ok=True)
        frames = [[str(each), _text(protocol.frame(each.type, each.content))] for each in self.entries]
        file.write_text(json.dumps({"path": self.path, "start": _text(self.start), "entries": frames}, indent=1) + "\n")


def read(file: Path) -> Journal:
    """The journal of a file."""
    framework, _, pattern = file.stem.partition("-")
    written = json.loads(file.read_text())
    received = bytearray(b"".join(base64.b64decode(frame) for _, frame in written["entries"]))
    entries = tuple(Entry(type, content) for type, content in protocol.frames(received))
    start = base64.b64decode(written["start"])
    return Journal(file.parent.name, BY_NAME[framework], PATTERNS[pattern], written["path"], start, entries)


def journals() -> Iterator[Journal]:
    """All journals."""
    yield from map(read, sorted(HOME.glob("*/*.json")))


def expected() -> set[str]:
    """The names of the journals that a release must record."""
    return {
        f"{framework.name}-{name}"
        for framework in FRAMEWORKS
        for name, pattern in PATTERNS.items()
        if framework.script(pattern).exists()
    }


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
