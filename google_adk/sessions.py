"""Google ADK: a session whose turns stay quick, however long it lasts.

ADK compacts the prompt. This module compacts the stored session with it, and archives the events that it removes.
"""

from google.adk.apps.app import EventsCompactionConfig
from google.adk.events.event import Event
from google.adk.models import BaseLlm
from google.adk.sessions import Session
from restate import RunOptions
from restate.ext.adk import RestateEventSummarizer, RestateSessionService

from shared import llm

LONG = 3_000
"""Tokens of a prompt above which the model summarizes the older events: about twenty claims."""

RECENT = 20
"""The number of latest events that stay as they are. A claim has four, from the question to the answer."""


def compaction(model: BaseLlm) -> EventsCompactionConfig:
    """ADK's compaction: a summary replaces older events in the prompt, and the last summary.

    The model writes the summary in a durable step. If the step fails, ADK continues with the uncompacted session.
    """
    return EventsCompactionConfig(
        token_threshold=LONG,
        event_retention_size=RECENT,
        summarizer=RestateEventSummarizer.from_llm(model, max_retries=llm.RETRIES.max_attempts or 1),
    )


class CompactedSessionService(RestateSessionService):
    """Restate's session service, which reads and writes the whole session at each turn, without summarized events.

    Each summary moves the events that it covers to a separate state entry, `session_archive::<id>::<time>`. No turn
    reads that entry, and Restate does not send it to a Virtual Object with `state_preload=False`.
    """

    async def append_event(self, session: Session, event: Event) -> Event:
        if summary := event.actions.compaction:
            covered = [old for old in session.events if old.timestamp <= summary.end_timestamp]
            archive = session.model_copy(update={"events": covered, "state": {}})
            # A step, because on a replay the events of this turn have other times and ids.
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
