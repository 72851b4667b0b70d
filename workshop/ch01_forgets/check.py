"""What does a `kill -9` cost an agent without a journal?"""

import asyncio

from lab.ledger import Fault
from tour.runtime.stack import CHECKS
from workshop.attempt import PATIENCE, Attempt, Wrong, ledger_lines, starts

WORDS = {"model 0": "the model's first answer", "model 1": "the model's second answer"}


async def check(attempt: Attempt) -> None:
    """The program is killed while `fraud` runs, and started again; what runs was foretold. Raises: Wrong."""
    foretold = attempt.constant("STARTED")
    if unknown := [step for step, number in foretold.items() if not isinstance(number, int)]:
        raise Wrong(f"STARTED has no number yet for: {', '.join(unknown)}. Guess first; then see.")

    async with attempt.script() as (running, program):
        lab = running.lab
        lab.plan(*(Fault(check, "delay", 0.3) for check in CHECKS))
        async with asyncio.timeout(PATIENCE):
            while not starts(lab.ledger())["fraud"]:
                if not program.alive:
                    raise Wrong("Your program ended before it came to fraud.", *program.log_tail(5).splitlines())
                await asyncio.sleep(0.02)
            attempt.say(f"kill -9 {program.pid}   (while fraud runs), and start it again")
            await program.restart()
            await program.child.wait()
        said = program.log_tail(1)
        entries = lab.ledger()
    if not said.startswith("Approved:"):
        raise Wrong("Your program does not come to a decision.", *said.splitlines())
    attempt.say(f"It says: {said}")

    seen = starts(entries)
    for step, number in foretold.items():
        if seen[step] != number:
            raise Wrong(
                f"You said that {WORDS.get(step, step)} is begun {number} x in all, and it was begun {seen[step]} x.",
                *ledger_lines([entry for entry in entries if entry.step == step.split()[0]]),
            )
    for step, number in foretold.items():
        attempt.holds(f"{WORDS.get(step, step)}: begun {number} x{', and paid for again' if number > 1 else ''}")
    attempt.say("There is no journal: the second run knew nothing of the first.")
