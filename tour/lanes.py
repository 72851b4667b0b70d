"""The lanes of the live page, and a claim that moves through them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from tour.runtime.frameworks import PATTERNS, Framework, Pattern
from tour.runtime.streams import events, put_together


@dataclass(frozen=True)
class Lane:
    """A timeline on the page: a framework, and the pattern in which it runs the checks."""

    framework: Framework
    pattern: Pattern
    title: str


def views(frameworks: Sequence[Framework]) -> dict[str, list[Lane]]:
    """The lanes of each view, by its title: all frameworks in one pattern, or one framework in all of them."""
    return {
        f"All agents: {pattern.title}": [
            Lane(framework, pattern, framework.title) for framework in frameworks if framework.script(pattern).exists()
        ]
        for pattern in PATTERNS
    } | {
        f"{framework.title}, every way": [
            Lane(framework, pattern, pattern.title) for pattern in PATTERNS if framework.script(pattern).exists()
        ]
        for framework in frameworks
    }


@dataclass
class Sent:
    """A sent claim: its view, the invocation id of each lane, and the answers so far."""

    view: str
    invocations: dict[Lane, str]
    answers: dict[Lane, str] = field(default_factory=dict)
    texts: defaultdict[Lane, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    """The models' texts so far, by lane and message; only of streaming agents."""

    @property
    def done(self) -> bool:
        return len(self.answers) == len(self.invocations)

    async def follow(self, lane: Lane, streams: str) -> None:
        """Collect the texts of a lane from the stream server at this address, even if nobody looks at them."""
        async for _, event in events(streams, self.invocations[lane]):
            put_together(self.texts[lane], event)
