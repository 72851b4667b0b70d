"""The frameworks of the tour. A sixth is one more folder, and one more line here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.claims import InsuranceClaim

ROOT = Path(__file__).parent.parent
SERVICE = "ParallelToolClaimAgent"
TOOL_CALLS_SERVICE = "ParallelToolCallsClaimAgent"
FIRST_PORT = 9081


@dataclass(frozen=True)
class Framework:
    """One folder of the tour. `keyed`: its service is a Virtual Object, and a claim carries a session."""

    name: str
    title: str
    wire: str
    keyed: bool = False
    alias: str | None = None
    """What its services are prefixed with instead of its name: Restate reserves names that begin with `restate`."""

    @property
    def entrypoint(self) -> Path:
        return self.script("parallel_tools_agent.py")

    def script(self, name: str) -> Path:
        """A file of its folder."""
        return ROOT / self.name / name

    @property
    def port(self) -> int:
        """The port it has by habit when all five run side by side; alone, an entrypoint takes 9080."""
        return FIRST_PORT + FRAMEWORKS.index(self)

    @property
    def prefix(self) -> str:
        """The value of `TOUR_SERVICE_PREFIX`, and what the lab calls it."""
        return self.alias or self.name

    @property
    def service(self) -> str:
        """The name under which it is registered when all five share one Restate."""
        return self.named(SERVICE)

    def named(self, service: str) -> str:
        """The name of one of its services when all five share one Restate."""
        return f"{self.prefix}.{service}"

    def path(self, key: str = "user123", service: str | None = None) -> str:
        """What follows `/restate/call/` in the ingress address of its handler."""
        return "/".join([service or self.service, *([key] if self.keyed else []), "run"])

    def body(self, claim: InsuranceClaim, session: str = "session-123") -> dict[str, Any]:
        """The request's JSON: the claim, with its session where the framework keeps sessions."""
        return claim.model_dump(mode="json") | ({"sessionId": session} if self.keyed else {})


FRAMEWORKS = (
    Framework("openai_agents", "OpenAI Agents SDK", "OpenAI Responses"),
    Framework("google_adk", "Google ADK", "Gemini", keyed=True),
    Framework("pydantic_ai_agent", "Pydantic AI", "OpenAI Responses"),
    Framework("langchain_agent", "LangChain", "OpenAI Chat"),
    Framework("restate_loop", "a loop of our own", "OpenAI Chat", alias="own_loop"),
)
