"""The checker itself: on handwritten histories, and against all permutations of generated ones."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sessions.histories import Session, Turn, happened, session, smallest, timeline
from tests.sessions.linearizable import PENDING


def turn(called: float, returned: float, claim: str, seen: str | None = None, client: str = "1") -> Turn:
    """A turn whose claims are letters; `seen` is None if unknown."""
    return Turn(client, called, returned, claim, frozenset([] if seen is None else [tuple(seen)]))


POSSIBLE = {
    "nothing": [],
    "one after the other": [turn(0, 1, "a", ""), turn(2, 3, "b", "a"), turn(4, 5, "", "ab")],
    "at once, the later call first": [turn(0, 9, "a", "b"), turn(1, 2, "b", "")],
    "return and call at the same time": [turn(0, 1, "a", "b"), turn(1, 2, "b", "")],
    "a pending turn took effect": [turn(0, PENDING, "a"), turn(1, 2, "b", "a")],
    "a pending turn took effect late": [turn(0, PENDING, "a"), turn(1, 2, "b", ""), turn(3, 4, "c", "ba")],
    "a pending turn did not take effect": [turn(0, PENDING, "a"), turn(1, 2, "b", ""), turn(3, 4, "", "b")],
    "a pending turn's model was called, and it did not take effect": [
        *(turn(0, PENDING, "a", ""), turn(1, 2, "b", "")),
        turn(3, 4, "", "b"),
    ],
    "a pending turn's model saw what nobody else did": [turn(0, PENDING, "a", "b"), turn(1, 2, "b", "")],
    "an answer that tells nothing": [turn(0, 5, "a"), turn(1, 6, "b"), turn(7, 8, "", "ba")],
}

IMPOSSIBLE = {
    "a stale read": [turn(0, 1, "a", ""), turn(2, 3, "", "")],
    "a lost update": [turn(0, 3, "a", ""), turn(1, 4, "b", ""), turn(5, 6, "", "b")],
    "two orders": [turn(0, 9, "a", ""), turn(0, 9, "b", "a"), turn(2, 9, "", "ab"), turn(2, 9, "", "ba")],
    "each saw the other": [turn(0, 9, "a", "b"), turn(0, 9, "b", "a")],
    "real time is violated": [turn(0, 1, "a", "b"), turn(2, 3, "b", "")],
    "a claim of the future": [turn(0, 1, "a", "b"), turn(2, PENDING, "b")],
    "a pending turn took effect, and then had not": [
        *(turn(0, PENDING, "a"), turn(1, 2, "b", "a")),
        turn(3, 4, "", "b"),
    ],
    "a claim taken twice": [turn(0, 1, "a", ""), turn(2, 3, "b", "aa")],
    "its model was sent two lists": [Turn("1", 0, 9, "a", frozenset({(), ("b",)})), turn(0, 9, "b")],
}


@pytest.mark.parametrize("name", POSSIBLE)
def test_it_can_have_happened(name: str) -> None:
    assert happened(POSSIBLE[name])
    assert by_permutations(POSSIBLE[name])


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_it_cannot_have_happened(name: str) -> None:
    assert not happened(IMPOSSIBLE[name])
    assert not by_permutations(IMPOSSIBLE[name])


def by_permutations(history: Sequence[Turn]) -> bool:
    """The literal definition: all orders of all turns that returned, and of some others."""
    answered = [turn for turn in history if turn.returned != PENDING]
    pending = [turn for turn in history if turn.returned == PENDING]
    return any(
        fits(order)
        for count in range(len(pending) + 1)
        for effective in combinations(pending, count)
        for order in permutations([*answered, *effective])
    )


def fits(order: Sequence[Turn]) -> bool:
    """Whether the turns see each other in this order, and none precedes a turn that had returned at its call."""
    claims: Session = ()
    for at, turn in enumerate(order):
        if any(later.returned < turn.called for later in order[at:]):
            return False
        after = session(claims, turn)
        if after is None:
            return False
        claims = after
    return True


@st.composite
def interleavings(draw: st.DrawFn, turns: int = 6, ticks: int = 0) -> list[Turn]:
    """Three clients of a real session. At each tick one of them calls, or its turn takes effect or returns.

    Some turns are still open at the end, and some clients do not know what the model saw.
    """
    claims: Session = ()
    open_turns: dict[str, Turn] = {}
    history: list[Turn] = []
    effective: set[str] = set()
    for tick, client in enumerate(draw(st.lists(st.sampled_from("123"), min_size=ticks, max_size=3 * turns))):
        mine = open_turns.get(client)
        if mine is None:
            if len(history) + len(open_turns) < turns:
                claim = draw(st.sampled_from(["", "abcdef"[len(history) + len(open_turns)]]))
                open_turns[client] = Turn(client, tick, PENDING, claim, frozenset())
        elif client not in effective:
            effective.add(client)
            known = draw(st.integers(0, 3)) > 0
            open_turns[client] = replace(mine, seen=frozenset({claims} if known else ()))
            claims = (*claims, mine.claim) if mine.claim else claims
        else:
            effective.remove(client)
            history.append(replace(open_turns.pop(client), returned=tick))
    return [*history, *open_turns.values()]


@st.composite
def mutations(draw: st.DrawFn) -> list[Turn]:
    """Such a history, with a changed list or time in one to four places."""
    history = draw(interleavings(turns=5, ticks=12))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(history) - 1))
        chosen = history[at]
        match draw(st.sampled_from(["seen", "swapped", "shorter", "called", "returned", "pending"])):
            case "seen":
                other = draw(st.lists(st.sampled_from("abcde"), max_size=3))
                chosen = replace(chosen, seen=frozenset([tuple(other)]))
            case "swapped":
                chosen = replace(chosen, seen=frozenset(tuple(reversed(claims)) for claims in chosen.seen))
            case "shorter":
                chosen = replace(chosen, seen=frozenset(claims[:-1] for claims in chosen.seen))
            case "called":
                chosen = replace(chosen, called=draw(st.integers(0, int(min(chosen.returned, 20)))))
            case "returned":
                chosen = replace(chosen, returned=chosen.called + draw(st.integers(1, 9)))
            case "pending":
                chosen = replace(chosen, returned=PENDING)
        history[at] = chosen
    return history


@settings(max_examples=200, derandomize=True, deadline=None)
@given(interleavings())
def test_all_that_did_happen_can_have_happened(history: list[Turn]) -> None:
    assert happened(history), timeline(history)


def test_it_says_what_all_permutations_say() -> None:
    verdicts = Counter[bool]()

    @settings(max_examples=500, derandomize=True, deadline=None)
    @given(mutations())
    def agree(history: list[Turn]) -> None:
        verdict = happened(history)
        assert verdict == by_permutations(history), timeline(history)
        verdicts[verdict] += 1

    agree()
    assert min(verdicts[True], verdicts[False]) > 50, "both verdicts are tried"


def test_the_part_that_is_shown_is_small_and_cannot_have_happened() -> None:
    busy = [turn(at, at + 1.5, "cdefgh"[at], "abcdefgh"[: at + 2], "2") for at in range(6)]
    history = [turn(-4, -3, "a", ""), turn(-2, -1, "b", ""), *busy]
    part = smallest(history)
    assert timeline(part).splitlines() == [
        "1",
        "    0.000   1.000  ██████████████                            a: saw nothing",
        "    2.000   3.000                            ██████████████  b: saw nothing",
    ]


def test_a_pending_turn_is_drawn_to_the_end() -> None:
    assert timeline([turn(0, PENDING, "a"), turn(1, 3, "", "a", "2")]).splitlines() == [
        "1",
        f"    0.000       ?  {'█' * 40}  a: saw ?",
        "2",
        f"    1.000   3.000  {' ' * 13}{'█' * 27}  read: saw a",
    ]
