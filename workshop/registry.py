"""The insurer's registry, which stands for any external system that a step changes.

It stores one entry for each number, in the SQLite file `<TOUR_LAB>.registry`. Entering the same number again changes
nothing, as with an idempotency key. Without `TOUR_LAB` it stores nothing.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from lab.observed import observed
from shared.claims import InsuranceClaim


@observed("registry")
async def enter(claim: InsuranceClaim, number: str) -> None:
    """Enter the claim under this number."""
    if path := os.environ.get("TOUR_LAB"):
        with closing(_open(path)) as registry, registry:
            registry.execute("INSERT OR IGNORE INTO entry VALUES (?, ?)", (number, claim.reason))


def entries(lab: Path) -> list[tuple[str, str]]:
    """The number and the reason of each claim in the registry of this lab file, in order of arrival."""
    with closing(_open(lab)) as registry:
        return list(registry.execute("SELECT number, reason FROM entry ORDER BY rowid"))


def _open(lab: str | Path) -> sqlite3.Connection:
    registry = sqlite3.connect(f"{lab}.registry", timeout=30)
    registry.execute("CREATE TABLE IF NOT EXISTS entry (number TEXT PRIMARY KEY, reason TEXT)")
    return registry
