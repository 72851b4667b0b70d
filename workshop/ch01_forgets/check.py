"""How much does an agent without a journal lose to a `kill -9`?"""

import asyncio

from lab.ledger import Fault
from workshop.attempt import PATIENCE, Attempt, Wrong, ledger_lines, starts, times

WORDS = {"model 0": "the first model call", "model 1": "the second model call"}


async def check(attempt: Attempt) -> None:
    """Kill the program while `fraud` runs, and restart it; the learner predicts the counts. Raises: Wrong."""
    predicted = attempt.constant("STARTED")
    if unknown := [step for step, number in predicted.items() if not isinstance(number, int)]:
        raise Wrong(f"STARTED has no number yet for: {', '.join(unknown)}. Guess first.")

    async with attempt.script() as (running, program):
        lab = running.lab
        lab.plan(Fault("fraud", "delay", 0.3))
        try:
            async with asyncio.timeout(PATIENCE):
                while not starts(lab.ledger())["fraud"]:
                    if not program.alive:
                        raise Wrong("Your program ended before it reached fraud.", *program.log_tail(5).splitlines())
                    await asyncio.sleep(0.02)
                attempt.say(f"kill -9 {program.pid}   while fraud runs; then start it again")
                await program.restart()
                await program.child.wait()
        except TimeoutError:
            raise Wrong(
                f"Your program does not end within {PATIENCE:g} s.", *program.log_tail(5).splitlines()
            ) from None
        said = program.log_tail(1)
        entries = lab.ledger()
    if not said.startswith("Approved:"):
        raise Wrong("Your program does not come to a decision.", *said.splitlines())
    attempt.say(f"The second run prints: {said}")

    seen = starts(entries)
    for step, number in predicted.items():
        if seen[step] != number:
            raise Wrong(
                f"You predicted {number} for {WORDS.get(step, step)}, but it was started {times(seen[step])}.",
                *ledger_lines([entry for entry in entries if entry.step == step.split()[0]]),
            )
    for step, number in predicted.items():
        attempt.holds(f"{WORDS.get(step, step)}: started {times(number)}{', and paid for twice' if number > 1 else ''}")
    attempt.say("There is no journal: the second run knows nothing about the first.")
