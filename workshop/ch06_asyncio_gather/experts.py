"""What an expert does, and the insurer: the work of the steps of chapter 6. The lab may make it slow or fail."""

from collections.abc import Sequence

from lab.observed import observed

COSTS = {"a": 900, "b": 1100}


@observed("visit")
async def visit(expert: str, damage: str) -> str:
    """The expert looks at the damage."""
    return f"{expert} has seen the {damage}"


@observed("estimate")
async def estimate(expert: str, report: str) -> int:
    """The expert says what a repair costs, from what was seen on the visit."""
    if not report.startswith(f"{expert} has seen"):
        raise ValueError(f"{expert} cannot estimate from another expert's visit: {report}")
    return COSTS[expert]


@observed("settle")
async def settle(estimates: Sequence[int]) -> str:
    """The insurer pays the mean of the estimates."""
    return f"paid {sum(estimates) / len(estimates):g} dollars"
