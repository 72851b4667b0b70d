"""Histories of a session: the turns as the clients saw them, the model of a session, and a picture for people."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from tests.sessions.linearizable import PENDING, linearization

Session = tuple[str, ...]
"""The claims of a session, in order."""


@dataclass(frozen=True)
class Turn:
    """A client sends a claim, or reads the session, with an empty `claim`. Times are in seconds.

    `seen` has each list of earlier claims in a model request for this claim. There are several only after a fault, and
    none if the list is unknown.
    """

    client: str
    called: float
    returned: float
    claim: str
    seen: frozenset[Session]


def session(claims: Session, turn: Turn) -> Session | None:
    """The sequential object: a turn sees all earlier claims in order, and adds its own."""
    if turn.seen - {claims}:
        return None
    return (*claims, turn.claim) if turn.claim else claims


def happened(history: Sequence[Turn]) -> bool:
    """Whether these turns of one session can have happened in some order."""
    empty: Session = ()
    return linearization(history, empty, session) is not None


def smallest(history: Sequence[Turn]) -> list[Turn]:
    """A minimal part of a history that cannot have happened: without any of its turns, it could."""
    for turn in sorted(history, key=lambda turn: turn.claim):  # reads go first: what the clients saw tells more
        rest = without(turn, history)
        if not happened(rest):
            return smallest(rest)
    return list(history)


def without(turn: Turn, history: Sequence[Turn]) -> list[Turn]:
    """The history without a turn whose claim no other turn saw. If the history can have happened, it still can."""
    if not turn.claim:
        return [other for other in history if other != turn]
    return [
        replace(other, seen=frozenset(tuple(c for c in claims if c != turn.claim) for claims in other.seen))
        for other in history
        if other != turn
    ]


WIDTH = 40


def timeline(history: Sequence[Turn]) -> str:
    """The turns of each client: the times, as numbers and as a bar; the claim; the earlier claims that it saw."""
    first = min(turn.called for turn in history)
    last = max([turn.returned for turn in history if turn.returned != PENDING] + [turn.called for turn in history])

    def column(at: float) -> int:
        return round((min(at, last) - first) / (last - first or 1) * (WIDTH - 1))

    lines = []
    by_client = sorted(history, key=lambda turn: (turn.client, turn.called))
    for client, turns in groupby(by_client, key=lambda turn: turn.client):
        lines.append(client)
        for turn in turns:
            begin, end = column(turn.called), column(turn.returned)
            bar = (" " * begin + "█" * (end - begin + 1)).ljust(WIDTH)
            until = f"{'?':>7}" if turn.returned == PENDING else f"{turn.returned - first:7.3f}"
            lists = sorted(", ".join(claims) or "nothing" for claims in turn.seen)
            saw = f"saw {' and also '.join(lists)}" if lists else "saw ?"
            lines.append(f"{turn.called - first:9.3f} {until}  {bar}  {turn.claim or 'read'}: {saw}")
    return "\n".join(lines)
