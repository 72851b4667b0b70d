"""What the tokens of a claim cost."""

from datetime import date

from bench.tokens import Price, Tokens, prices


def test_a_thousand_claims_at_a_price_and_the_last_call_again() -> None:
    tokens, price = Tokens(calls=[(300, 80), (400, 60)]), Price(input=2, output=10, source="")
    assert tokens.dollars(price) == 1000 * (700 * 2 + 140 * 10) / 1e6
    assert tokens.again(price) == 1000 * (400 * 2 + 60 * 10) / 1e6


def test_each_price_has_its_source_and_day() -> None:
    known = prices()
    assert date.fromisoformat(known.on)
    assert {*known.models} == {"gpt-5.4", "gemini-2.5-flash"}, "the models that shared/llm.py names"
    assert all(price.source.startswith("https://") for price in known.models.values())
