"""Tool programs (programs.py) that Hypothesis generates: any commands, with steps that are slow, fail or give up."""

from typing import Any

from hypothesis import strategies as st

from lab.ledger import Fault, Kind

KINDS = st.sampled_from(["quick", "short", "long", "fails", "gives up"])
FAULTS: dict[str, tuple[Kind, float, int]] = {
    "short": ("delay", 0.05, 1),
    "long": ("delay", 0.15, 1),
    "fails": ("fail", 0, 1),
    "gives up": ("terminal", 418, 1000),  # each time: outside of a step, too, it must be the same on a replay
}


def commands() -> list[st.SearchStrategy[Any]]:
    """The commands that the tools of every agent support, with kinds in place of step names."""
    return [
        st.tuples(st.just("step"), KINDS),
        st.tuples(st.just("gather"), st.lists(KINDS, min_size=1, max_size=3)),
        st.tuples(st.just("select"), KINDS, st.sampled_from([0.01, 0.05, 0.1])),
        st.tuples(st.just("sleep"), st.sampled_from([0.01, 0.05])),
        st.tuples(st.just("call"), KINDS),
    ]


def programs(*more: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Programs of a few commands, from `commands` and `more`."""
    return st.lists(st.one_of(*commands(), *more), min_size=1, max_size=4)


def named(batch: list[Any]) -> tuple[list[Any], list[Fault]]:
    """The same programs with a unique name for each step, and the faults of these steps."""
    faults: list[Fault] = []
    numbers = iter(range(1000))

    def written(command: Any) -> Any:
        if command in (*FAULTS, "quick"):
            name = f"s{next(numbers)}"
            faults.extend([Fault(name, *FAULTS[command])] if command in FAULTS else [])
            return name
        return [written(each) for each in command] if isinstance(command, list | tuple) else command

    return written(batch), faults
