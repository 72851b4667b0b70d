"""The agents in TypeScript: types, lint, tests; and both languages treat a claim alike."""

import asyncio
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.typescript import vectors
from tour.runtime.node import NODE, TYPESCRIPT, install

pytestmark = pytest.mark.server  # npm and Node take long


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    """Installs the packages, including those that check the code."""
    asyncio.run(install(print, dev=True))


CHECKS: dict[str, list[str | Path]] = {
    "tsc": [TYPESCRIPT / "node_modules/.bin/tsc"],
    "biome": [TYPESCRIPT / "node_modules/.bin/biome", "check", "--error-on-warnings"],
    "test": ["--test"],
}


@pytest.mark.parametrize("check", CHECKS)
def test_it_passes(check: str) -> None:
    done = subprocess.run([NODE, *CHECKS[check]], cwd=TYPESCRIPT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def judge() -> Iterator[Callable[[str], dict[str, object]]]:
    """TypeScript's result for the body of a request."""
    command = [NODE, TYPESCRIPT / "tests/judge.ts"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        to, said = process.stdin, process.stdout

        def ask(body: str) -> dict[str, object]:
            to.write(json.dumps(body) + "\n")
            to.flush()
            judged: dict[str, object] = json.loads(said.readline())
            return judged

        yield ask
        to.close()


SPACES = "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u180e\u2003\u2028\u2029\u200b\u3000\ufeff"
spaces = st.text(st.sampled_from(SPACES))
words = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["orthopedic", "Dental", "VISION", "City Clinic", "general hospital", "x" * 100, "x" * 101]),
    st.builds(lambda character, count: character * count, st.characters(), st.sampled_from([99, 100, 101, 2000, 2001])),
)
texts = st.builds(lambda before, text, after: json.dumps(before + text + after), spaces, words, spaces)
numbers = st.one_of(
    st.floats(allow_nan=True).map(json.dumps),
    st.floats(0, 20_000).map(json.dumps),
    st.integers(-(2**70), 2**70).map(str),
    st.integers(0, 80_000_000).map(lambda eighths: json.dumps(eighths / 8)),
    st.from_regex(r"-?[0-9]{1,9}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
)
dates = st.one_of(
    st.dates().map(lambda day: json.dumps(day.isoformat())),
    st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", fullmatch=True).map(json.dumps),
    st.from_regex(r"\d{4}-\d\d-\d\d", fullmatch=True).map(json.dumps),
)
others = st.sampled_from(["null", "true", "[]", "{}", '""', '"\\ud83d"', "NaN", "1e999", "01", "-0"])
names = st.text(st.characters(exclude_characters=":;"), max_size=5)  # which end a field in a message
FIELDS = {"date": dates, "category": texts, "reason": texts, "amount": numbers, "placeOfService": texts}


@st.composite
def claims(draw: st.DrawFn) -> str:
    """A claim as JSON, with mostly valid fields."""
    fields = {field: json.dumps(value) for field, value in vectors.VALID.items()}
    for field in draw(st.sets(st.sampled_from(list(FIELDS)), max_size=2)):
        fields[field] = draw(st.one_of(FIELDS[field], FIELDS[field], FIELDS[field], others))
    members = [f"{json.dumps(field)}: {token}" for field, token in fields.items()]
    if draw(st.integers(0, 9)) == 0:
        members.append(f"{draw(st.one_of(names, st.sampled_from(list(FIELDS))).map(json.dumps))}: 1")
    return "{" + ", ".join(members) + "}"


@settings(max_examples=int(os.environ.get("EXAMPLES", 500)), derandomize="EXAMPLES" not in os.environ, deadline=None)
@given(claims())
@example(json.dumps(vectors.VALID)[:-1] + ', "date": 1}')
@example(vectors.with_token("date", '"\\ud83d"')[:-1] + ', "date": 1}')
@example(vectors.with_token("amount", "1.005"))
def test_both_languages_take_a_claim_alike(judge: Callable[[str], dict[str, object]], body: str) -> None:
    assert judge(body) == asyncio.run(vectors.judge(body))
