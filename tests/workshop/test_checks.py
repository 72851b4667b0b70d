"""A check reports mistakes that the chapter's page does not show."""

import asyncio
import os
import re
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from workshop import attempt
from workshop.attempt import Attempt, Stacks, Wrong
from workshop.chapters import chapter
from workshop.warm import warm

pytestmark = [pytest.mark.server, pytest.mark.in_turn(2)]


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "PATIENCE", 3.0)


async def checked(tmp_path: Path, number: int, *changes: tuple[str, str], stacks: Stacks = attempt.new_stack) -> None:
    """Run the check on the chapter's solution with these changes. Raises: Wrong."""
    program = chapter(number).solution.read_text()
    for old, new in changes:
        assert old in program
        program = program.replace(old, new)
    file = tmp_path / "mine.py"
    file.write_text(program)
    await chapter(number).check.check(Attempt(file, Console(file=StringIO()), stacks))


async def wrong(tmp_path: Path, number: int, *changes: tuple[str, str], stacks: Stacks = attempt.new_stack) -> str:
    """The lines of the check on the chapter's solution with these mistakes."""
    with pytest.raises(Wrong) as said:
        await checked(tmp_path, number, *changes, stacks=stacks)
    return "\n".join([said.value.problem, *said.value.shown])


async def test_a_check_goes_without_a_provider_s_key_and_without_another_restate(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9"
    theirs = {"OPENAI_API_KEY": "sk-secret", "OPENAI_BASE_URL": nowhere, "RESTATE_ADMIN_URL": nowhere}
    (tmp_path / "ch03_fan_out.py").write_text(chapter(3).solution.read_text())
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", "from tour.cli import main; main()", "workshop", "check", "3"),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | theirs | {"TOUR_WORKSHOP": str(tmp_path)},
    )
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said
    assert "Approved" in said


async def test_a_program_that_does_not_start(tmp_path: Path) -> None:
    said = await wrong(tmp_path, 0, ("from shared.serving", "from shared.servings"))
    assert "mine.py does not run" in said
    assert "No module named 'shared.servings'" in said


async def test_a_handler_that_raises_is_not_waited_for(tmp_path: Path) -> None:
    said = await wrong(tmp_path, 0, ("await ctx.run_typed", "await ctx.run_type"))
    assert "AttributeError" in said
    assert 'mine.py, line 19: return await ctx.run_type("greet"' in said


async def test_a_forgotten_await(tmp_path: Path) -> None:
    said = await wrong(tmp_path, 0, ("return await ctx", "return ctx"))
    assert "ServerDurableFuture is not JSON serializable" in said


async def test_a_service_of_another_name(tmp_path: Path) -> None:
    said = await wrong(tmp_path, 0, ('service_name("Hello")', 'service_name("Hallo")'))
    assert "Hello" in said
    assert "not found" in said


async def test_a_program_that_never_answers(tmp_path: Path, patience: None) -> None:
    change = ("    return await ctx", "    await asyncio.sleep(60)\n    return await ctx")
    said = await wrong(tmp_path, 0, change, ("import restate\n", "import asyncio\n\nimport restate\n"))
    assert "no answer after 3 s" in said


async def test_a_program_without_restate_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chapter(1).check, "PATIENCE", 0.5)
    said = await wrong(tmp_path, 1, ("import asyncio\n", "import asyncio\nimport time\n\ntime.sleep(60)\n"))
    assert "Your program does not end within 0.5 s." in said


async def test_steps_that_are_created_together_and_awaited_one_by_one(tmp_path: Path) -> None:
    said = await wrong(tmp_path, 3, ("await restate.gather(", "("))
    assert "awaited one after the other" in said


async def test_futures_in_place_of_their_values(tmp_path: Path) -> None:
    said = await wrong(tmp_path, 3, ("[await check for check in checks]", "checks"))
    assert "Does the tool return values, or futures?" in said


async def test_a_step_whose_number_is_new_in_each_attempt(tmp_path: Path) -> None:
    said = await wrong(tmp_path, 5, ("str(ctx.uuid())", "str(__import__('uuid').uuid4())"))
    assert "each attempt of the step used a new one" in said


async def test_an_entry_that_each_attempt_makes_anew(tmp_path: Path) -> None:
    change = ('await ctx.run_typed("registry", enter, claim=claim, number=number)', "await enter(claim, number)")
    said = await wrong(tmp_path, 5, change)
    assert 'no step "registry"' in said


HELD = "invocation_context_managers=[hold_failures]"


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("invocation_context_managers=hold_failures", "put hold_failures in brackets"),
        ("invocation_context_managers=[hold_failures()]", "write it without parentheses"),
        ("[hold_failures]", "write invocation_context_managers=[…]"),
    ],
    ids=["no brackets", "called", "no keyword"],
)
async def test_a_slip_in_the_line_that_holds_failures(tmp_path: Path, written: str, told: str) -> None:
    assert told in await wrong(tmp_path, 4, (HELD, written))


async def test_failures_may_be_held_back_at_the_handler_too(tmp_path: Path) -> None:
    await checked(tmp_path, 4, (f"    {HELD},\n", ""), ("@claim_service.handler()", f"@claim_service.handler({HELD})"))


OUTCOME = 'ctx.promise("outcome", type_hint=str)'
IN_MEMORY = f"await {OUTCOME}.resolve(outcome)", "outcomes[ctx.key()].set_result(outcome)"


async def test_a_decision_that_goes_to_memory(tmp_path: Path) -> None:
    said = await wrong(tmp_path, 11, IN_MEMORY, ("class Decision", "outcomes = {}\n\n\nclass Decision"))
    assert "The person who was asked cannot decide" in said
    assert "outcomes[ctx.key()].set_result(outcome)" in said


async def test_a_decision_that_is_kept_in_memory(tmp_path: Path, patience: None) -> None:
    """Each attempt waits for a new decision."""
    waits = f"outcome = await {OUTCOME}", "outcomes[ctx.key()] = asyncio.Future(); outcome = await outcomes[ctx.key()]"
    dictionary = "class Decision", "import asyncio, collections\n\noutcomes = {}\n\n\nclass Decision"
    said = await wrong(tmp_path, 11, IN_MEMORY, waits, dictionary)
    assert "The person " in said
    assert "in memory" in said or "in the memory of the process" in said


async def test_a_person_who_is_asked_after_the_checks(tmp_path: Path) -> None:
    call = "ctx.workflow_call(request, ctx.request().id, claim)"
    later = "return [*[await check for check in checks], await " + call + "]"
    changes = (
        (f"        {call},  # a person is a step as well\n", ""),
        ("return [await check for check in checks]", later),
    )
    assert "only when the checks are done" in await wrong(tmp_path, 11, *changes)


async def test_a_promise_that_is_not_awaited(tmp_path: Path) -> None:
    said = await wrong(tmp_path, 11, (f"outcome = await {OUTCOME}", f"outcome = {OUTCOME}"))
    assert "Your code raises" in said


async def test_specialists_one_after_the_other(tmp_path: Path) -> None:
    change = "await branches(restate_context(), work)", "[await ask(specialty, claim) for specialty in specialists]"
    assert "one after the other" in await wrong(tmp_path, 12, change)


async def test_branches_that_all_ask_the_last_specialist(tmp_path: Path) -> None:
    said = await wrong(tmp_path, 12, ("partial(ask, specialty, claim)", "lambda: ask(specialty, claim)"))
    assert "Every branch asks the fraud specialist" in said
    assert "medical 0, cost 0" in said


async def test_specialists_that_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tasks that await Restate may hang; these always do."""
    monkeypatch.setattr(chapter(12).check, "STILL", 3.0)
    said = await wrong(
        tmp_path,
        12,
        ("await branches(restate_context(), work)", "await asyncio.gather(*(branch() for branch in work.values()))"),
        ('restate_context().run_typed("eligibility", checks.check_eligibility, claim=claim)', "asyncio.Event().wait()"),
        ("import restate\n", "import asyncio\n\nimport restate\n"),
    )
    assert "A replay asks for cost where the journal has fraud." in said


SAID = 'said(choice.delta.content or "")'
FORWARDED = """if choice.delta.content:
                report(PIECE, "piece", choice.delta.content)"""


async def test_streams_that_mislead_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server of the streams runs beside a stack that stays warm, too."""
    monkeypatch.setattr(chapter(14).check, "SOON", 2.0)
    forwarded = (SAID, FORWARDED), ("attempt, model_call,", "attempt, model_call, report,")
    async with warm(tmp_path / "mine.py", print) as stacks:

        async def told(*changes: tuple[str, str]) -> str:
            return await wrong(tmp_path, 14, *changes, stacks=stacks.stacks)

        said = await told(*forwarded, ("PIECE", "str(__import__('uuid').uuid4())"))
        assert "reads both texts in one" in said
        assert "Approved: eligible; reasonable; lowApproved: the treatment" in said

        said = await told(*forwarded, ("PIECE", "str(len(state.current_completion_snapshot.to_json()))"))
        assert "reads both texts in one" in said

        assert "Call attempt() once" in await told((SAID, SAID.replace("said", "attempt()")))
        assert "no text while the model writes" in await told((SAID, "pass"))


async def test_checks_that_are_no_steps(tmp_path: Path) -> None:
    change = ('ctx.run_typed("fraud", check_fraud, claim=claim),', "")
    said = await wrong(tmp_path, 4, change)
    assert "fraud is not a durable step" in said


async def test_a_step_that_freezes_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG", "2")
    said = await wrong(tmp_path, 3, ("    ctx = restate_context()", "    while True:\n        pass"))
    assert "Your agent froze" in said
    assert re.search("mine.py, line (19|20), in calculate_metrics", said)
