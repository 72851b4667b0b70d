"""The message to the person who decides: instead of an e-mail, a line in the lab's ledger."""

from lab.observed import observed
from shared.claims import InsuranceClaim


@observed("ask")
async def ask(claim: InsuranceClaim, key: str) -> None:
    """Ask somebody to decide on this claim, under this key."""
