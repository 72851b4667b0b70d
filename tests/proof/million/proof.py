"""The proof's rounds, stored in the user's cache folder, so that an interrupted run resumes."""

import hashlib
import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import platformdirs
from pydantic import BaseModel

from tests.proof.million.raging import Raged
from tests.proof.million.storm import Storm
from tour.runtime import restate_server
from tour.runtime.frameworks import ROOT

TESTED = ("durable", "tests/proof/million")
"""The folders on whose code the verdict depends."""


class Round(BaseModel):
    """The figures of one storm."""

    seed: str
    planned: int
    """The number of steps requested for its plan."""
    invocations: int
    steps: int
    starts: int
    attempts_ended: int
    failures_planned: int
    failures: int
    lost: int
    agent_kills: int
    server_kills: int
    redone: int
    repeated: int
    wrong: int
    seconds: float
    violations: list[str] = []

    @classmethod
    def of(cls, seed: str, planned: int, storm: Storm, raged: Raged) -> "Round":
        said = raged.verdict
        return cls(
            seed=seed,
            planned=planned,
            invocations=len(storm.invocations),
            steps=said.completed,
            starts=said.starts,
            attempts_ended=said.attempts_ended,
            failures_planned=sum(step.failures for _, step in storm.steps),
            failures=said.failures,
            lost=said.lost,
            agent_kills=raged.kills.agents,
            server_kills=raged.kills.server,
            redone=len(said.redone),
            repeated=len(said.repeated),
            wrong=len(said.wrong),
            seconds=round(raged.seconds, 1),
            violations=[*said.redone[:5], *said.repeated[:5], *said.wrong[:5]],
        )

    @property
    def kept(self) -> bool:
        return not (self.redone or self.repeated or self.wrong)


class Proof(BaseModel):
    """The results of the rounds so far."""

    seed: str
    versions: dict[str, str] = {}
    rounds: list[Round] = []

    @classmethod
    def of(cls, seed: str, round_steps: int, plain: bool) -> tuple["Proof", Path]:
        """The proof of this seed, and its file; it starts over if the code or a version has changed."""
        cache = Path(os.environ.get("TOUR_CACHE") or platformdirs.user_cache_path("tour-of-agents"))
        used = versions()
        digest = hashlib.sha256(json.dumps(used).encode()).hexdigest()[:12]
        file = cache / "million" / f"{seed}-{round_steps}{'-plain' if plain else ''}-{digest}.json"
        proof = cls.model_validate_json(file.read_text()) if file.exists() else cls(seed=seed, versions=used)
        return proof, file

    def save(self, file: Path) -> None:
        """Write it atomically."""
        file.parent.mkdir(parents=True, exist_ok=True)
        written = file.with_suffix(".new")
        written.write_text(self.model_dump_json(indent=1))
        written.replace(file)

    def sum(self, figure: str) -> int:
        total: int = sum(getattr(each, figure) for each in self.rounds)
        return total

    @property
    def steps(self) -> int:
        return self.sum("steps")

    @property
    def seconds(self) -> float:
        return sum(each.seconds for each in self.rounds)

    @property
    def failed(self) -> Sequence[Round]:
        return [each for each in self.rounds if not each.kept]

    @property
    def bound(self) -> float:
        """The rate of broken steps is below this at 95 %, if none was seen (the rule of three)."""
        return 3 / self.steps

    def report(self) -> str:
        """The figures to be committed, as JSON."""
        figures = [name for name, field in Round.model_fields.items() if field.annotation is int and name != "planned"]
        return json.dumps(
            {
                "seed": self.seed,
                "versions": self.versions,
                "cores": os.cpu_count(),
                "rounds": len(self.rounds),
                **{figure: self.sum(figure) for figure in figures},
                "upper_bound_95": self.bound,
                "seconds": round(self.seconds),
                "steps_per_second": round(self.steps / self.seconds),
            },
            indent=2,
        )


def versions() -> dict[str, str]:
    """The tested programs, and a digest of the tested code and of the storms."""
    files = sorted(file for folder in TESTED for file in (ROOT / folder).rglob("*.py"))
    texts = [file.read_bytes() for file in files if not file.name.startswith("test_")]
    return {
        "restate-server": restate_server.VERSION,
        "restate-sdk": version("restate-sdk"),
        "Python": platform.python_version(),
        "code": hashlib.sha256(b"".join(texts)).hexdigest()[:12],
    }
