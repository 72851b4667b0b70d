"""The claim that every agent decides on.

As JSON, a claim has camelCase names; in Python, snake_case attributes. A model sees the camelCase names in the prompt
and in the tool's schema.
"""

import datetime
import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

SAMPLES = Path(__file__).parent / "samples"


def _calendar_day(value: object) -> object:
    if isinstance(value, datetime.date) or (isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value)):
        return value
    raise ValueError("must be a calendar date as YYYY-MM-DD")


Day = Annotated[datetime.date, BeforeValidator(_calendar_day), Field(description="day of the treatment")]
Dollars = Annotated[float, Field(strict=True, gt=0, le=10_000_000, description="amount claimed in US dollars")]
ShortText = Annotated[str, Field(min_length=1, max_length=100)]
LongText = Annotated[str, Field(min_length=1, max_length=2_000)]


class InsuranceClaim(BaseModel):
    """An insurance claim. All fields are required, and others are refused."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        serialize_by_alias=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        str_strip_whitespace=True,
    )

    date: Day
    category: ShortText
    reason: LongText
    amount: Dollars
    place_of_service: ShortText

    def mismatch_with(self, given: "InsuranceClaim") -> str | None:
        """The message for a model that calls a tool with a claim other than the submitted one; else None."""
        changed = [to_camel(name) for name in type(self).model_fields if getattr(self, name) != getattr(given, name)]
        if not changed:
            return None
        return f"error: this is not the claim that was submitted ({', '.join(changed)}). Call with that one, unchanged."


class SessionClaim(InsuranceClaim):
    """A claim for an agent that keeps sessions: one more field, `sessionId`, which no tool ever sees."""

    session_id: ShortText

    @property
    def claim(self) -> InsuranceClaim:
        """The claim without its session."""
        return InsuranceClaim.model_validate(self.model_dump(exclude={"session_id"}))


def invalid(error: ValidationError) -> str:
    """The problems of a claim on one line: the name and problem of each field, without values."""
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_input=False, include_context=False)
    )


def sample_claims() -> dict[str, InsuranceClaim]:
    """The claims of `shared/samples/*.json` by name; together they reach every branch of the checks."""
    return {path.stem: InsuranceClaim.model_validate_json(path.read_bytes()) for path in sorted(SAMPLES.glob("*.json"))}
