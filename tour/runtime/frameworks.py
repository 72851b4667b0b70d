"""The frameworks of the tour. Another one takes a folder, and a line here."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from shared.claims import InsuranceClaim

ROOT = Path(__file__).parent.parent.parent
FIRST_PORT = 9081


@dataclass(frozen=True)
class Pattern:
    """A way to run the three checks of a claim: a file in each framework's folder."""

    name: str
    title: str
    file: str
    """The path from the framework's folder; `{name}` stands for the framework's name."""
    service: str
    variant: str = ""
    """A part of the service's prefix, where two patterns have the same service."""
    env: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The environment variables of its agents."""


FAN_OUT = Pattern("fan-out", "one tool that fans out", "parallel_tools_agent.py", "ParallelToolClaimAgent")
TOOL_CALLS = Pattern("parallel", "parallel tool calls", "parallel_tool_calls_agent.py", "ParallelToolCallsClaimAgent")
ONE_BY_ONE = replace(
    TOOL_CALLS, name="one-by-one", title="tool calls one by one", variant="one_by_one", env={"TOOL_CALLS_AT_ONCE": "1"}
)
APPROVAL = Pattern("approval", "a person decides", "approval_agent.py", "ApprovalClaimAgent")
SPECIALISTS = Pattern("specialists", "three specialists", "specialist_agents_agent.py", "SpecialistAgentsClaimAgent")
PATTERNS = (FAN_OUT, TOOL_CALLS, ONE_BY_ONE, SPECIALISTS, APPROVAL)

REMOTE_CHECKS = Pattern(
    "remote", "checks as services", "../deploy/remote_checks/{name}_remote.py", "RemoteChecksClaimAgent"
)
"""The agents whose checks are in a service of their own."""


@dataclass(frozen=True)
class Framework:
    """One folder of the tour. `keyed`: its service is a Virtual Object, and its claims carry a session."""

    name: str
    title: str
    wire: str
    keyed: bool = False
    alias: str | None = None
    """The prefix of its services in place of its name: Restate reserves names that begin with `restate`."""
    folder: str = ""
    """Its folder from the root, where that is not its name. The agents in `typescript/` run on Node."""

    @property
    def entrypoint(self) -> Path:
        return self.script(FAN_OUT)

    @property
    def home(self) -> Path:
        """Its folder."""
        return ROOT / (self.folder or self.name)

    def script(self, pattern: Pattern) -> Path:
        """The file of its agent of this pattern."""
        file = self.home / pattern.file.format(name=self.name)
        return file.with_suffix(".ts") if self.on_node else file

    @property
    def on_node(self) -> bool:
        return self.folder.startswith("typescript/")

    def port(self, pattern: Pattern = FAN_OUT) -> int:
        """The usual port of its agent of this pattern when all run side by side; one that runs alone takes 9080."""
        return FIRST_PORT + 10 * PATTERNS.index(pattern) + FRAMEWORKS.index(self)

    def prefix(self, pattern: Pattern = FAN_OUT) -> str:
        """Its `TOUR_SERVICE_PREFIX` when all share one Restate; also its name in the lab."""
        return ".".join([self.alias or self.name, *([pattern.variant] if pattern.variant else [])])

    def service(self, pattern: Pattern = FAN_OUT) -> str:
        """The registered name of its service of this pattern when all share one Restate."""
        return f"{self.prefix(pattern)}.{pattern.service}"

    def path(self, key: str = "user123", pattern: Pattern = FAN_OUT, *, alone: bool = False) -> str:
        """The part after `/restate/call/` of its handler's address; without the prefix if it runs `alone`."""
        return "/".join([pattern.service if alone else self.service(pattern), *([key] if self.keyed else []), "run"])

    def body(self, claim: InsuranceClaim, session: str = "session-123") -> dict[str, Any]:
        """The JSON of a request: the claim, and the session's id if the framework keeps sessions."""
        return claim.model_dump(mode="json") | ({"sessionId": session} if self.keyed else {})


PYTHON = (
    Framework("openai_agents", "OpenAI Agents SDK", "OpenAI Responses"),
    Framework("google_adk", "Google ADK", "Gemini", keyed=True),
    Framework("pydantic_ai_agent", "Pydantic AI", "OpenAI Responses"),
    Framework("langchain_agent", "LangChain", "OpenAI Chat"),
    Framework("restate_loop", "a loop of our own", "OpenAI Chat", alias="own_loop"),
)

TYPESCRIPT = (
    Framework("vercel_ai", "Vercel AI", "OpenAI Responses", folder="typescript/vercel_ai"),
    Framework("typescript_loop", "a loop in TypeScript", "OpenAI Chat", folder="typescript/restate_loop"),
)
"""They run on Node, and need packages of npm."""

FRAMEWORKS = (*PYTHON, *TYPESCRIPT)

BY_NAME = {framework.name: framework for framework in FRAMEWORKS}
