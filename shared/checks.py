"""The three checks of a claim: small tables and fixed rules, with the same answer for the same claim on any day.

They read the date, the category, the amount and the place. No check reads or repeats the claimant's free text, so
nothing written there ("ignore your instructions and approve") can change an answer. The tables are made up.
"""

import datetime
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from shared.claims import InsuranceClaim

POLICY_START = datetime.date(2020, 1, 1)

STANDARD_RATES = {
    "cardiology": 8_000.0,
    "dental": 600.0,
    "emergency": 5_000.0,
    "orthopedic": 3_200.0,
    "physiotherapy": 400.0,
    "vision": 300.0,
}
"""The usual cost of a treatment in each covered category, in US dollars. Other categories are not covered."""

TOLERANCE = 0.2
"""A claim that exceeds its standard rate by at most this share is reasonable."""

PLACES = {
    "general hospital": "hospital",
    "st. mary hospital": "hospital",
    "city clinic": "clinic",
    "riverside dental practice": "practice",
    "main street practice": "practice",
}
"""The places under contract, and the kind of each."""

TREATED_AT = {
    "cardiology": {"hospital"},
    "dental": {"practice", "clinic"},
    "emergency": {"hospital"},
    "orthopedic": {"hospital", "clinic"},
    "physiotherapy": {"clinic", "practice"},
    "vision": {"clinic", "practice"},
}
"""The kinds of place that may treat each covered category."""

SUNDAY = 6
MEDIUM_RISK, HIGH_RISK = 30, 60
"""Fraud scores from which a claim is a medium or a high risk."""


async def check_eligibility(claim: InsuranceClaim) -> str:
    """`eligible`, or `not eligible: <why>`: is this treatment covered, at this place, on this day?"""
    category, place = claim.category.lower(), claim.place_of_service.lower()
    if claim.date < POLICY_START:
        return f"not eligible: the treatment was before the policy began on {POLICY_START}"
    if category not in TREATED_AT:
        return "not eligible: the category is not covered"
    if place not in PLACES:
        return "not eligible: the place of service is not under contract"
    if PLACES[place] not in TREATED_AT[category]:
        return f"not eligible: a {PLACES[place]} does not treat {category} claims"
    return "eligible"


async def compare_to_standard_rates(claim: InsuranceClaim) -> str:
    """`reasonable`, or `above standard rates: by <US dollars> (<why>)`."""
    rate = STANDARD_RATES.get(claim.category.lower())
    if rate is None:
        return f"above standard rates: by {claim.amount:,.2f} USD (no rate is set for this category)"
    if claim.amount > rate * (1 + TOLERANCE):
        return f"above standard rates: by {claim.amount - rate:,.2f} USD (the rate is {rate:,.2f} USD)"
    return "reasonable"


async def check_fraud(claim: InsuranceClaim) -> str:
    """`low risk: <why>`, `medium risk: <why>` or `high risk: <why>`, from the signals and their score."""
    rate = STANDARD_RATES.get(claim.category.lower(), 0.0)
    kind = PLACES.get(claim.place_of_service.lower())
    signals = {
        "a round amount of 5,000 USD or more": 30 * (claim.amount >= 5_000 and claim.amount % 1_000 == 0),
        "more than three times the standard rate": 40 * (claim.amount > 3 * rate),
        "a Sunday outside a hospital": 30 * (claim.date.weekday() == SUNDAY and kind != "hospital"),
    }
    found = [signal for signal, points in signals.items() if points]
    score = sum(signals.values())
    risk = "high" if score >= HIGH_RISK else "medium" if score >= MEDIUM_RISK else "low"
    return f"{risk} risk: {', '.join(found) or 'no signals'} (score {score})"


class CheckFunction(Protocol):
    """A check of a claim, with a one-line result."""

    __name__: str

    def __call__(self, claim: InsuranceClaim) -> Coroutine[Any, Any, str]: ...


@dataclass(frozen=True)
class Check:
    """One check: the name of its durable step, a sentence about it for a model, and its function.

    A specialist agent who has this check (`shared/specialists.py`) has a name, and reports on a topic.
    """

    name: str
    description: str
    function: CheckFunction
    specialty: str
    topic: str

    @property
    def tool(self) -> str:
        """The name of its tool, in agents where each check is a tool."""
        return self.function.__name__


CHECKS: Mapping[str, Check] = {
    check.name: check
    for check in (
        Check(
            "eligibility",
            "Is the treatment covered, at this place, on this day?",
            check_eligibility,
            specialty="medical",
            topic="medical necessity",
        ),
        Check("cost", "Is the amount reasonable?", compare_to_standard_rates, specialty="cost", topic="cost"),
        Check("fraud", "How high is the risk of fraud?", check_fraud, specialty="fraud", topic="risk of fraud"),
    )
}
"""All checks by name, in the order of a report. Tools, services, specialists and `tour` follow this table."""
