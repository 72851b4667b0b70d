"""The claims that wait for a person, on the live page. The page stores no claims: it reads the list from Restate."""

import httpx
from nicegui import ui

from tour.runtime.approvals import Waiting, decide, waiting
from tour.runtime.stack import Stack

READING = 1.0
"""Seconds between two readings of the list."""


class ApprovalList:
    """The list on the page: a row for each claim, with a reason to fill in and two buttons."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.rows: dict[str, ui.card] = {}
        self.column = ui.element("div").classes("cards")
        self.timer = ui.timer(READING, self.refresh, active=False)

    async def refresh(self) -> None:
        """Add rows for new claims, and remove those that no longer wait. Typed text stays."""
        try:
            found = await waiting(self.stack.admin)
        except httpx.HTTPError:
            return  # the timelines report it
        for id in self.rows.keys() - found.keys():
            self.rows.pop(id).delete()
        for id in found.keys() - self.rows.keys():
            self.rows[id] = self._row(found[id])

    def _row(self, claim: Waiting) -> ui.card:
        with self.column, ui.card().classes("card").style("min-height: 0") as row, ui.row().classes("head"):
            ui.label(f"{claim.agent} asks").classes("name")
            ui.label(f"{claim.claim.amount:,.2f} USD for {claim.claim.category}: {claim.why}").classes("answer")
            reason = ui.input(f"Reason for {claim.agent}").props("dense")
            ui.button("Approve", on_click=lambda: self._decide(claim, True, reason)).props("dense no-caps")
            ui.button("Refuse", on_click=lambda: self._decide(claim, False, reason)).props("dense flat no-caps")
        return row

    async def _decide(self, claim: Waiting, approved: bool, reason: ui.input) -> None:
        decision = {"approved": approved, "reason": reason.value}
        try:
            response = await decide(self.stack.ingress, claim.service, claim.id, decision)
        except httpx.HTTPError as error:
            ui.notify(f"Restate does not answer: {error!r}", type="negative")
            return
        said = response.json()
        ui.notify(said if response.is_success else said["message"], type="info" if response.is_success else "negative")
