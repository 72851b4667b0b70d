"""Google ADK: a session whose turns stay quick, however long it lasts.

ADK compacts what the model is shown; here the session itself is compacted with it, and nothing of it is lost.
"""

from google.adk.apps.app import EventsCompactionConfig
from google.adk.events.event import Event
from google.adk.models import BaseLlm
from google.adk.sessions import Session
from restate import RunOptions
from restate.ext.adk import RestateEventSummarizer, RestateSessionService

from shared import llm

LONG = 3_000
"""Tokens of a prompt, after which the model is asked for a summary of the older events: about twenty claims."""

RECENT = 20
"""The latest events stay as they are: a claim has four, from the question to the answer."""


def compaction(model: BaseLlm) -> EventsCompactionConfig:
    """ADK's compaction: a summary takes the place of older events in the prompt, and of the last summary.

    The call of the model for it is a durable step. Should it fail, ADK goes on with the uncompacted session.
    """
    return EventsCompactionConfig(
        token_threshold=LONG,
        event_retention_size=RECENT,
        summarizer=RestateEventSummarizer.from_llm(model, max_retries=llm.RETRIES.max_attempts or 1),
    )


class CompactedSessionService(RestateSessionService):
    """Restate's session service reads and writes the whole session at each turn: here, without what a summary covers.

    Each summary moves the events that it covers to a state entry of their own, `session_archive::<id>::<time>`, which
    no turn reads; a Virtual Object with `state_preload=False` is not sent it, either.
    """

    async def append_event(self, session: Session, event: Event) -> Event:
        if summary := event.actions.compaction:
            covered = [old for old in session.events if old.timestamp <= summary.end_timestamp]
            archive = session.model_copy(update={"events": covered, "state": {}})
            # A step: on a replay, events of this turn have other times and ids.
            kept = await self.ctx().run_typed("archive events", lambda: archive, RunOptions(type_hint=Session))
            self.ctx().set(f"{_archive(session.id)}{summary.end_timestamp}", kept)
            session.events = session.events[len(covered) :]
        return await super().append_event(session, event)

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        await super().delete_session(app_name=app_name, user_id=user_id, session_id=session_id)
        for key in await self.ctx().state_keys():
            if key.startswith(_archive(session_id)):
                self.ctx().clear(key)


def _archive(session_id: str) -> str:
    return f"session_archive::{session_id}::"
