"""A budget for the model calls of an invocation: their number, and their tokens in total.

    holding(context).steps.budget = Budget(calls=20, tokens=50_000)

A call counts when its step is created, and its tokens count when its answer is taken. Both happen in the same order on
each replay, so a retried call counts once, and a crash changes nothing. Once the budget is spent, no call is made.
Calls in flight are not interrupted, so their tokens may exceed the budget.
"""

from dataclasses import dataclass
from typing import Any

MODEL_CALLS = {"call LLM", "LLM call", "Model call", "compaction LLM call", "calling openai.responses"}
"""The names that Restate's integrations give to the step of a model call."""

OVER_BUDGET = 402
"""The HTTP status of an invocation whose budget is spent."""


@dataclass
class Budget:
    """Model calls, and the tokens that they read and write: the allowed and the used number of each."""

    calls: int
    tokens: int
    calls_made: int = 0
    tokens_used: int = 0

    def begin_call(self) -> None:
        """Count a model call. Raises: TerminalError (402) when the budget is spent."""
        if self.calls_made >= self.calls or self.tokens_used >= self.tokens:
            from restate import TerminalError  # `tour` reads journals without the SDK, whose import is slow

            raise TerminalError(f"the budget is spent: {self}", status_code=OVER_BUDGET)
        self.calls_made += 1

    def shares(self, number: int) -> list["Budget"]:
        """The rest of this budget in equal shares; the first ones get the remaining calls and tokens."""
        calls, tokens = max(self.calls - self.calls_made, 0), max(self.tokens - self.tokens_used, 0)
        return [
            Budget(calls // number + (at < calls % number), tokens // number + (at < tokens % number))
            for at in range(number)
        ]

    def spend(self, share: "Budget") -> None:
        """Count the calls and tokens that were spent of a share."""
        self.calls_made += share.calls_made
        self.tokens_used += share.tokens_used

    def __str__(self) -> str:
        return f"{self.calls_made} of {self.calls} model calls, {self.tokens_used:,} of {self.tokens:,} tokens"


_COUNTS = (
    ("input_tokens", "output_tokens"),
    ("prompt_tokens", "completion_tokens"),
    # Gemini counts thoughts separately from the answer; OpenAI's wires include them in it.
    ("prompt_token_count", "candidates_token_count", "thoughts_token_count"),
)
"""The names of the tokens read and written, on each wire."""


def usage(answer: Any) -> tuple[int, int]:
    """The tokens read and written in a model's answer, as any SDK journals it; (0, 0) if it does not say."""
    if isinstance(answer, dict):
        for read, *written in _COUNTS:
            if isinstance(answer.get(read), int):
                return _count(answer[read]), sum(_count(answer.get(each)) for each in written)
    parts = answer.values() if isinstance(answer, dict) else answer if isinstance(answer, list) else ()
    return next((found for part in parts if any(found := usage(part))), (0, 0))


def _count(tokens: object) -> int:
    return max(tokens, 0) if isinstance(tokens, int) else 0
