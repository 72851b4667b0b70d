"""The recorded journals of all releases replay on today's code, in each framework."""

import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from tests.journals import corpus
from tests.journals.corpus import HOME, RELEASE, Entry, Journal
from tests.journals.replaying import Diverged, agent_of, replay
from tests.proof import protocol
from tests.proof.protocol import parsed
from tour.runtime.frameworks import FAN_OUT
from tour.runtime.processes import free_port, running

JOURNALS = {str(journal): journal for journal in corpus.journals()}

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def model(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address of the offline model, which the steps after a journal's end may call."""
    port, folder = free_port(), tmp_path_factory.mktemp("model")
    command = [sys.executable, "-m", "offline_model", "--port", str(port)]
    async with running("The offline model", command, folder / "model.log") as process:
        await process.until(f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"


@pytest.mark.server
@pytest.mark.parametrize(
    "journal",
    [
        pytest.param(journal, id=name, marks=[] if journal.pattern == FAN_OUT else pytest.mark.in_turn(6))
        for name, journal in JOURNALS.items()
    ],
)
async def test_a_recorded_journal_replays(journal: Journal, model: str, tmp_path: Path) -> None:
    """Replay from the input, from results in the middle, and from the end."""
    async with agent_of(journal, tmp_path, model) as agent:
        await replay(journal, agent, [1, *journal.points[1:-1:2], *journal.points[-2:]])


@pytest.mark.server
@pytest.mark.nightly
@pytest.mark.parametrize("journal", JOURNALS.values(), ids=str)
async def test_a_recorded_journal_replays_from_each_result(journal: Journal, model: str, tmp_path: Path) -> None:
    async with agent_of(journal, tmp_path, model) as agent:
        await replay(journal, agent, journal.points)


def renamed(entries: list[Entry]) -> None:
    """A journal in which a step has another name."""
    number = next(number for number, entry in enumerate(entries) if str(entry) == "Run cost")
    run = parsed("Run", entries[number].content)
    run.name = "price"
    entries[number] = Entry(protocol.RUN, run.SerializeToString())


def swapped(entries: list[Entry]) -> None:
    """A journal in which two steps start in another order."""
    first, second = (number for number, entry in enumerate(entries) if str(entry) in ("Run cost", "Run fraud"))
    names = [parsed("Run", entries[number].content) for number in (first, second)]
    names[0].name, names[1].name = names[1].name, names[0].name
    entries[first], entries[second] = (Entry(protocol.RUN, run.SerializeToString()) for run in names)


@pytest.mark.server
@pytest.mark.parametrize("framework", ["restate_loop", "typescript_loop"])
async def test_a_change_that_breaks_claims_in_flight_is_found(framework: str, model: str, tmp_path: Path) -> None:
    """A changed name and a changed order diverge when the journal has the steps, but not before."""
    journal = JOURNALS[f"{RELEASE}-{framework}-fan-out"]
    async with agent_of(journal, tmp_path, model) as agent:
        for change in (renamed, swapped):
            entries = [*journal.entries]
            change(entries)
            broken = replace(journal, entries=tuple(entries))
            for known in (len(entries), 3):
                with pytest.raises(Diverged) as error:
                    await replay(broken, agent, [known])
                message = str(error.value)
                title = journal.framework.title
                assert message.startswith(
                    f"{title}, one tool that fans out: the journal that release {RELEASE} recorded"
                )
                assert "diverges at entry" in message
                assert "Claims in flight would break" in message


@pytest.mark.quick
async def test_each_release_records_its_journals() -> None:
    found = {file.stem for file in (HOME / RELEASE).glob("*.json")}
    assert found == corpus.expected(), "Run `uv run python -m tests.journals.record`."
