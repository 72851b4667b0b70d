"""The work of the steps in chapter 6. The lab may slow it down, or make it fail."""

from collections.abc import Sequence

from lab.observed import observed

COSTS = {"a": 900, "b": 1100}


@observed("visit")
async def visit(expert: str, damage: str) -> str:
    """The expert looks at the damage."""
    return f"{expert} has seen the {damage}"


@observed("estimate")
async def estimate(expert: str, report: str) -> int:
    """The expert estimates the cost of the repair, from the report of the visit."""
    if not report.startswith(f"{expert} has seen"):
        raise ValueError(f"{expert} cannot estimate from another expert's visit: {report}")
    return COSTS[expert]


@observed("settle")
async def settle(estimates: Sequence[int]) -> str:
    """The insurer pays the mean of the estimates."""
    return f"paid {sum(estimates) / len(estimates):g} dollars"
