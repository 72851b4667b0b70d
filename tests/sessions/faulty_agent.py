"""Google ADK's agent with a fault in its sessions, for the tests that must find it; the variable `FAULT` names it."""

import os

from google.adk.sessions import Session
from google.adk.sessions.base_session_service import GetSessionConfig

from google_adk.parallel_tools_agent import claim_service, runner
from google_adk.sessions import CompactedSessionService
from shared.serving import serve


class SessionsInTheProcess(CompactedSessionService):
    """Keeps the sessions that it has read or made in the process. `stored` are those that it reads from Restate."""

    def __init__(self, stored: bool) -> None:
        self._stored = stored
        self._kept: dict[tuple[str, str], Session] = {}

    async def get_session(
        self, *, app_name: str, user_id: str, session_id: str, config: GetSessionConfig | None = None
    ) -> Session | None:
        session = Session(app_name=app_name, user_id=user_id, id=session_id)
        if self._stored:
            session = await super().get_session(app_name=app_name, user_id=user_id, session_id=session_id) or session
        return self._kept.setdefault((user_id, session_id), session)


runner.session_service = SessionsInTheProcess(stored=os.environ["FAULT"] == "stale")

if __name__ == "__main__":
    serve(claim_service)
