"""Vectors for the agents in TypeScript: Python's results for claims, and the texts that both languages share.

uv run python -m tests.typescript.vectors    # prints them as JSON, for typescript/tests/vectors.test.ts
"""

import asyncio
import json
from dataclasses import asdict
from typing import Any

from pydantic import ValidationError

from durable.budget import Budget, usage
from offline_model.schema import not_a_number
from shared import llm, specialists
from shared.checks import CHECKS, PLACES, STANDARD_RATES
from shared.claims import InsuranceClaim, sample_claims
from shared.weather import WEATHER, get_weather

VALID: dict[str, Any] = sample_claims()["broken-leg"].model_dump(mode="json")
EMOJI = "\N{PILE OF POO}"

AMOUNTS = (
    "3000 3000.0 3e3 0.01 1e-320 2.675 1.005 0.125 0.375 0.625 0.875 1234.125 9999999.995 10000000 10000000.000000001"
    " 0.004999999999999999 999999.995 3840 3840.0000000000005 9600 9600.01 5000 6000 5500.5"
    " 0 -0 -0.0 -1 10000000.01 1e400 1e7 1e8 true null NaN Infinity -Infinity 01 1. .5 +1 0x10 1_000 [] {}"
    ' "3000" "NaN" 123456789012345678901234567890'
)
DATES = (
    "2024-10-01 2024-02-29 2023-02-29 2024-02-30 2024-13-01 2024-00-10 2024-01-00 0000-01-01 0001-01-01 9999-12-31"
    " 2020-01-01 2019-12-31 1900-02-29 2000-02-29 20241001 2024-1-1 2024-10-01T00:00:00 2024-10-01Z 02024-10-01"
    " -2024-10-01 +2024-10-01 \uff12\uff10\uff12\uff14-10-01 2024/10/01 2024-10-0\u0661"
)
TEXTS = {
    "empty": "",
    "blanks": " \t\n ",
    "blanks around it": " \t General Hospital\n",
    "no-break spaces around it": "\u00a0General Hospital\u3000",
    "next line around it": "\u0085General Hospital\u0085",
    "a byte order mark": "\ufeffGeneral Hospital",
    "a separator of information": "\x1cGeneral Hospital\x1f",
    "a zero-width space": "\u200bGeneral Hospital",
    "a Mongolian vowel separator": "\u180eGeneral Hospital",
    "only a byte order mark": "\ufeff",
    "only next line": "\u0085",
    "other case": "GENERAL hospital",
    "a Kelvin sign": "clinic \u212a",
    "a dotted capital i": "City Cl\u0130nic",
    "100 characters": "x" * 100,
    "101 characters": "x" * 101,
    "100 emojis": EMOJI * 100,
    "101 emojis": EMOJI * 101,
    "100 characters and blanks": "  " + "x" * 100 + "  ",
    "half an emoji": "\ud83d",
    "a NUL": "a\x00b",
    "combining": "e\u0301" * 50,
}
BODIES = {
    "nothing": "",
    "null": "null",
    "a list": "[]",
    "a text": '"claim"',
    "no JSON": "{not json",
    "a byte order mark": "\ufeff" + json.dumps(VALID),
    "blanks around it": f" \r\n\t{json.dumps(VALID)} \n",
    "a no-break space around it": f"\u00a0{json.dumps(VALID)}",
    "text after it": json.dumps(VALID) + "x",
    "a comma too much": json.dumps(VALID)[:-1] + ",}",
    "a key twice": json.dumps(VALID)[:-1] + ', "amount": 1}',
    "a key twice, the last one bad": json.dumps(VALID)[:-1] + ', "amount": -1}',
    "a key twice, the first one bad": '{"amount": -1, ' + json.dumps(VALID)[1:],
    "an unknown field": json.dumps(VALID | {"approved": True}),
    "two unknown fields": json.dumps(VALID | {"approved": True, "x": {}}),
    "a prototype": json.dumps(VALID)[:-1] + ', "__proto__": {"amount": 1}}',
    "an inner name": json.dumps(VALID | {"place_of_service": "City Clinic"}),
    "half an emoji as a key": json.dumps(VALID | {"\ud83d": 1}),
    "everything is wrong": '{"date": 1, "category": 2, "reason": 3, "amount": "4", "placeOfService": 5}',
    "an empty object": "{}",
    "a control character": json.dumps(VALID).replace("broken leg", "broken\x01leg"),
}
USAGES: tuple[dict[str, Any] | None, ...] = (
    {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12},
    {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
    {"prompt_tokens": 5, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 4}},
    {"input_tokens": -5, "output_tokens": 7},
    {"input_tokens": 5, "output_tokens": None},
    {"prompt_tokens": 5},
    {"total_tokens": 12},
    {},
    None,
)
BUDGETS = (Budget(3, 100_000, 3, 1_234), Budget(30, 500, 1, 500), Budget(0, 1), Budget(-1, 1_000_000, 0, 7))


def with_token(field: str, token: str) -> str:
    """The valid claim as JSON, with this token as the value of a field."""
    marked = json.dumps(VALID | {field: "\x00"})
    return marked.replace('"\\u0000"', token)


def is_json(body: str) -> bool:
    """Whether it is JSON. JSON has no `NaN`; Pydantic reads it, and refuses the field."""
    try:
        json.loads(body, parse_constant=not_a_number)
    except ValueError:
        return False
    return True


async def judge(body: str) -> dict[str, Any]:
    """The claim and the results of its checks, or the invalid fields."""
    try:
        claim = InsuranceClaim.model_validate_json(body)
    except ValidationError as error:
        if not is_json(body):
            return {"refused": ["body"]}
        return {"refused": sorted({".".join(map(str, each["loc"])) or "body" for each in error.errors()})}
    except UnicodeEncodeError:
        return {"refused": ["body"]}
    checks = [await check.function(claim) for check in CHECKS.values()]
    return {"claim": claim.model_dump(mode="json"), "checks": checks}


def bodies() -> dict[str, str]:
    """The bodies of requests by name."""
    named = {f"sample {name}": json.dumps(claim.model_dump(mode="json")) for name, claim in sample_claims().items()}
    named |= {f"body: {name}": body for name, body in BODIES.items()}
    named |= {f"without {field}": json.dumps({k: v for k, v in VALID.items() if k != field}) for field in VALID}
    named |= {f"amount {token}": with_token("amount", token) for token in AMOUNTS.split()}
    named |= {f"date {date}": with_token("date", json.dumps(date)) for date in DATES.split()}
    for field in ("category", "placeOfService", "reason"):
        named |= {f"{field}: {name}": with_token(field, json.dumps(text)) for name, text in TEXTS.items()}
    named |= {f"reason of {n}": with_token("reason", json.dumps(EMOJI * n)) for n in (2_000, 2_001)}
    for category in (*STANDARD_RATES, "Cosmetic", "constructor"):
        for place in (*PLACES, "Corner Shop", "__proto__"):
            claim = VALID | {"category": category.upper(), "placeOfService": place.title()}
            named[f"{category} in {place}"] = json.dumps(claim)
    for category, rate in STANDARD_RATES.items():
        for amount in (rate * 1.2, rate * 1.2 + 0.01, rate * 3, rate * 3 + 0.005):
            for date in ("2024-08-11", "2024-08-12"):
                named[f"{category}, {amount} on {date}"] = json.dumps(
                    VALID | {"category": category, "amount": amount, "date": date, "placeOfService": "City Clinic"}
                )
    return named


async def vectors() -> dict[str, Any]:
    """All vectors, as JSON."""
    schema = InsuranceClaim.model_json_schema()
    keys = ("type", "description", "maxLength")
    fields = [[name, {key: field.get(key) for key in keys}] for name, field in schema["properties"].items()]
    changed: tuple[dict[str, Any], ...] = (
        {},
        {"amount": 1.0},
        {"amount": 1.0, "date": "2024-10-02"},
        {"placeOfService": "City Clinic"},
    )
    submitted = InsuranceClaim.model_validate(VALID)
    return {
        "claims": {name: {"body": body, "expected": await judge(body)} for name, body in bodies().items()},
        "checks": [[name, check.tool, check.description] for name, check in CHECKS.items()],
        "schema": {"fields": fields, "required": schema["required"]},
        "mismatches": [
            {
                "submitted": VALID,
                "given": VALID | change,
                "message": submitted.mismatch_with(InsuranceClaim.model_validate(VALID | change)),
            }
            for change in changed
        ],
        "instructions": [llm.INSTRUCTIONS, llm.THREE_TOOLS_INSTRUCTIONS, llm.APPROVAL_INSTRUCTIONS],
        "specialists": {
            "instructions": [each.instructions for each in specialists.TEAM.values()],
            "claim": VALID | {"amount": 3000.5},  # a whole amount is written in another way
            "questions": {
                topic: specialists.question(topic, submitted.model_copy(update={"amount": 3000.5}))
                for topic in specialists.TEAM
            },
        },
        "usages": [[each, sum(usage(each))] for each in USAGES],
        "budgets": [[asdict(budget), f"the budget is spent: {budget}"] for budget in BUDGETS],
        "weather": {city: await get_weather(city) for city in (*WEATHER, "San Francisco", "Atlantis")},
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(vectors())))
