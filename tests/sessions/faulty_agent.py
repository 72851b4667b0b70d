"""Google ADK's agent with a fault in its sessions, which the tests must find. The variable `FAULT` names it."""

import os

from google.adk.sessions import Session
from google.adk.sessions.base_session_service import GetSessionConfig

from google_adk.parallel_tools_agent import claim_service, runner
from google_adk.sessions import CompactedSessionService
from shared.serving import serve


class Faulty(CompactedSessionService):
    """Keeps sessions in the process.

    `forgetful`: nowhere else. `stale`: it reads them from Restate, but only once. `side by side`: its handler is not
    exclusive, so claims of one user run concurrently, and each reads and writes its own copy of the session.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Session] = {}

    async def get_session(
        self, *, app_name: str, user_id: str, session_id: str, config: GetSessionConfig | None = None
    ) -> Session | None:
        session: Session | None = Session(app_name=app_name, user_id=user_id, id=session_id)
        if FAULT == "stale":
            session = await super().get_session(app_name=app_name, user_id=user_id, session_id=session_id)
        assert session
        kept = self._kept.setdefault((user_id, session_id), session)
        return kept.model_copy(update={"events": kept.events[:]}) if FAULT == "side by side" else kept

    async def flush_session_state(self, session: Session) -> None:
        if FAULT == "side by side":  # such a handler cannot write to Restate's state
            self._kept[session.user_id, session.id] = session
        else:
            await super().flush_session_state(session)


FAULT = os.environ["FAULT"]
runner.session_service = Faulty()
if FAULT == "side by side":
    claim_service.handlers["run"].kind = "shared"

if __name__ == "__main__":
    serve(claim_service)
