"""The frameworks of the tour: each folder with a file `sdk.toml` is one."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from shared.claims import InsuranceClaim

ROOT = Path(__file__).parent.parent.parent
FIRST_PORT = 9080


@dataclass(frozen=True)
class Pattern:
    """A way to run the three checks of a claim: a file in each framework's folder."""

    name: str
    title: str
    file: str
    """The path relative to the framework's folder; in TypeScript, it ends in `.ts`."""
    service: str
    variant: str = ""
    """A part of the service's prefix, if two patterns have the same service."""
    env: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The environment variables of its agents."""
    streams: bool = False
    """Whether its agents report events, which the server of the streams gives to callers."""


FAN_OUT = Pattern("fan-out", "one tool that fans out", "parallel_tools_agent.py", "ParallelToolClaimAgent")
TOOL_CALLS = Pattern("parallel", "parallel tool calls", "parallel_tool_calls_agent.py", "ParallelToolCallsClaimAgent")
ONE_BY_ONE = replace(
    TOOL_CALLS, name="one-by-one", title="tool calls one by one", variant="one_by_one", env={"TOOL_CALLS_AT_ONCE": "1"}
)
APPROVAL = Pattern("approval", "a person decides", "approval_agent.py", "ApprovalClaimAgent")
SPECIALISTS = Pattern("specialists", "three specialists", "specialist_agents_agent.py", "SpecialistAgentsClaimAgent")
STREAMING = Pattern("streaming", "live, through a crash", "streaming_agent.py", "StreamingClaimAgent", streams=True)
PATTERNS = (FAN_OUT, TOOL_CALLS, ONE_BY_ONE, SPECIALISTS, APPROVAL, STREAMING)

REMOTE_CHECKS = Pattern("remote", "checks as services", "twins/remote_checks_agent.py", "RemoteChecksClaimAgent")
"""The agents whose checks are in another service."""

PLAIN = Pattern("plain", "without Restate", "twins/plain_agent.py", "")
"""The agents that are not durable."""


@dataclass(frozen=True)
class Framework:
    """One folder of the tour, for an agent SDK or our own loop. The file `sdk.toml` in it gives these values."""

    home: Path
    """Its folder. The agents in `typescript/` run on Node."""
    name: str
    """The name; by default, that of the folder."""
    title: str
    """The name in a sentence."""
    wire: str
    """The wire of its model: OpenAI Responses, OpenAI Chat or Gemini."""
    place: int = 9
    """The place in tables, from 1 to 9; with 9080, the usual port of the agent."""
    packages: tuple[str, ...] = field(default=(), hash=False)
    """The packages that an agent needs, of PyPI or npm, without their dependencies."""
    service_prefix: str = ""
    """The prefix of its services, if it is not the name."""
    keyed: bool = False
    """Whether its service is a Virtual Object, and its claims carry a session."""
    module: str = ""
    """In Python, a module that only its agents import."""
    span: str = ""
    """In Python, the beginning of the name of a model call's span."""

    @property
    def entrypoint(self) -> Path:
        return self.script(FAN_OUT)

    def script(self, pattern: Pattern) -> Path:
        """The file of its agent of this pattern."""
        file = self.home / pattern.file
        return file.with_suffix(".ts") if self.on_node else file

    @property
    def on_node(self) -> bool:
        return self.home.parent.name == "typescript"

    def port(self, pattern: Pattern = FAN_OUT) -> int:
        """The usual port of its agent of this pattern if all run side by side; an agent that runs alone uses 9080."""
        return FIRST_PORT + 10 * PATTERNS.index(pattern) + self.place

    def prefix(self, pattern: Pattern = FAN_OUT) -> str:
        """Its `TOUR_SERVICE_PREFIX` if all share one Restate; also its name in the lab."""
        return ".".join([self.service_prefix or self.name, *([pattern.variant] if pattern.variant else [])])

    def service(self, pattern: Pattern = FAN_OUT) -> str:
        """The registered name of its service of this pattern if all share one Restate."""
        return f"{self.prefix(pattern)}.{pattern.service}"

    def path(self, key: str = "user123", pattern: Pattern = FAN_OUT, *, alone: bool = False) -> str:
        """The part of its handler's address after `/restate/call/`; without the prefix if it runs `alone`."""
        return "/".join([pattern.service if alone else self.service(pattern), *([key] if self.keyed else []), "run"])

    def body(self, claim: InsuranceClaim, session: str = "session-123") -> dict[str, Any]:
        """The JSON of a request: the claim, and the session's id if the framework keeps sessions."""
        return claim.model_dump(mode="json") | ({"sessionId": session} if self.keyed else {})


def found(root: Path) -> tuple[Framework, ...]:
    """The frameworks in a folder, in their order. Raises: ValidationError for a wrong value in an `sdk.toml`."""
    files = (*root.glob("*/sdk.toml"), *root.glob("typescript/*/sdk.toml"))
    values = ({"home": file.parent, "name": file.parent.name} | tomllib.loads(file.read_text()) for file in files)
    return tuple(sorted(map(TypeAdapter(Framework).validate_python, values), key=lambda each: each.place))


FRAMEWORKS = found(ROOT)

PYTHON = tuple(framework for framework in FRAMEWORKS if not framework.on_node)

TYPESCRIPT = tuple(framework for framework in FRAMEWORKS if framework.on_node)
"""The frameworks that run on Node, and need packages of npm."""

BY_NAME = {framework.name: framework for framework in FRAMEWORKS}
