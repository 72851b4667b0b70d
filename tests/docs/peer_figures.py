"""The figures of the peers: the page's first section, and the one that compares them in detail."""

import statistics
from collections import Counter
from collections.abc import Callable, Sequence

from bench.against_peers import Peers
from bench.crashes import DELAY, MIDDLE
from bench.measuring import cpu, median, p50, spread
from bench.run import Bench
from bench.runtimes import Load, Runtime, better, runtimes
from bench.siblings import Siblings
from tests.docs.words import bullets, in_words, span, table, with_versions


def answer(bench: Bench) -> str:
    assert bench.peers
    alone = [cost for cost in bench.durability if cost.concurrency == 1]
    added = [median(cost.durable, p50) - median(cost.plain, p50) for cost in alone]
    times = [statistics.median(cost.ratios(cpu)) for cost in alone]
    restate = [each.answered for each in bench.peers.recoveries if each.point == MIDDLE.name and _is_ours(each.title)]
    at = min(versus.concurrency for versus in bench.peers.versus)
    peers = [versus for versus in bench.peers.versus if versus.concurrency == at]
    slower = [each.title for each in peers if min(each.ratios(p50)) > 1]
    faster = [each.title for each in peers if max(each.ratios(p50)) < 1]
    ahead = f"Restate takes longer than {_listed(faster)}, and " if faster else ""
    return bullets(
        [
            f"Durability adds {span(added)} ms to the median claim, which has five durable steps. It needs "
            f"{span(times, '{:.1f}')} times the CPU of the plain agent.",
            f"With one claim at a time, {ahead}{_listed(slower)} take longer than Restate, each in every block.",
            f"A claim whose agent is killed and started again is answered {span(restate, '{:.1f}')} s after the kill. "
            f"The check that runs again takes {DELAY:g} s of them.",
        ]
    )


def five_runtimes(bench: Bench) -> str:
    assert bench.peers
    found = list(runtimes(bench.peers))
    one, *_, many = found[0].loads
    lines: dict[str, Callable[[Runtime], str]] = {
        f"{one.concurrency} at a time: p50 in ms, times Restate's": lambda each: _latency(each.loads[0]),
        f"{many.concurrency} at a time: p50 in ms, times Restate's": lambda each: _latency(each.loads[-1]),
        f"claims/s, {many.concurrency} at a time, times Restate's": lambda each: (
            f"{statistics.median(each.loads[-1].rates):.2f}"
        ),
        "CPU of a claim, ms: agent + server, times Restate's": lambda each: (
            f"{each.loads[0].agent_cpu:.0f} + {each.loads[0].server_cpu:.0f}, "
            f"{statistics.median(each.loads[0].cpu_times):.2f}"
        ),
        f"killed in a check of {DELAY:g} s: answered after, s": lambda each: f"{each.middle.answered:.1f}",
        "without the new start and the check, s": lambda each: f"{each.middle.beyond:.1f}",
        f"finished work done again, after {found[0].kills} kills": lambda each: str(each.redone),
        "wrong answers": lambda each: str(each.wrong),
        f"a step fails beside one of {DELAY:g} s, which is begun": lambda each: _begun(each.siblings),
        "who resumes the claim": lambda each: WHO_RESUMES[each.title.partition(",")[0]],
        "kept of a claim, kB": lambda each: f"{each.upkeep.record / 1000:.1f}",
        "memory, MB: agent + server": lambda each: (
            f"{each.upkeep.agent_memory / 1e6:.0f} + {each.upkeep.server_memory / 1e6:.0f}"
        ),
        "the server's files, MB": lambda each: f"{each.upkeep.server / 1e6:.0f}" if each.upkeep.server else "no server",
        "lines of the agent + helpers": lambda each: f"{each.upkeep.lines} + {each.upkeep.helpers}",
    }
    rows = [[name, *map(of, found)] for name, of in lines.items()]
    ahead = [f"{figure}: {in_words(names)}" for figure, names in better(found)]
    return (
        f"{_run_of_peers(bench.peers)}\n\n"
        f"Better than Restate with `durable/`, by more than a tenth:\n\n{bullets(ahead)}\n\n"
        f"{table('figure', [each.title for each in found], rows)}"
    )


def _run_of_peers(peers: Peers) -> str:
    return (
        f"Measured {peers.made} in one run, at a load of {min(peers.load):g} to {max(peers.load):g}, partly of other "
        f"programs: compare the ratios.\n{with_versions(peers.versions)}"
    )


WHO_RESUMES = {
    "Restate": "Restate",
    "Temporal": "Temporal",
    "DBOS": "the new process",
    "LangGraph": "the caller",
    "Prefect": "the caller",
}
"""Who takes up a claim whose agent was killed."""

CHOICE = {
    "Restate": (
        "parallel steps that are kept one by one, and many claims at a time",
        "a server, one file",
        "[a claim stays on its deployment](upgrade.md)",
        "BSL; SDKs MIT",
    ),
    "Temporal": (
        "its ecosystem, or a server under an open licence",
        "a server, a database, workers",
        "[patches, or versions of workers](https://docs.temporal.io/develop/python/versioning)",
        "MIT",
    ),
    "DBOS": (
        "no server beside your Postgres",
        "Postgres or SQLite",
        "[patches, or versions](https://docs.dbos.dev/python/tutorials/upgrading-workflows)",
        "MIT",
    ),
    "LangGraph": (
        "LangChain, few claims at a time, and a caller that asks again",
        "Postgres or SQLite",
        "[the new graph runs on the old state](https://docs.langchain.com/oss/python/langgraph/backward-compatibility)",
        "MIT",
    ),
    "Prefect": (
        "pipelines, whose runs nobody waits for",
        "a server, Postgres",
        "[a task of other code or inputs runs again](https://docs.prefect.io/v3/concepts/caching)",
        "Apache 2.0",
    ),
}
"""Of each runtime: who should take it, what they operate, what happens to code changed in flight, and its licence."""


def choice(bench: Bench) -> str:
    assert bench.peers
    measured = {each.title.partition(",")[0]: each for each in reversed([*runtimes(bench.peers)])}
    one, *_, many = measured["Restate"].loads
    columns = (
        "take it if you need",
        "you operate",
        f"a claim, {one.concurrency} and {many.concurrency} at a time",
        f"killed in a check of {DELAY:g} s",
        "code changed in flight",
        "licence",
    )
    rows = []
    for title, (need, operated, changed, licence) in CHOICE.items():
        of = measured[title]
        times = " and ".join(f"{statistics.median(load.times):.1f}" for load in (of.loads[0], of.loads[-1]))
        crash = f"{WHO_RESUMES[title]} resumes it: {of.middle.answered:.1f} s"
        rows.append((title, need, operated, times, f"{crash}; {_again(of)}", changed, licence))
    return table("runtime", columns, rows)


def _again(of: Runtime) -> str:
    return f"work is repeated after {of.redone} of {of.kills} kills" if of.redone else "nothing is repeated"


def _latency(load: Load) -> str:
    return f"{load.latency:.0f}, {statistics.median(load.times):.2f}"


def _begun(of: Siblings) -> str:
    times = {1: "once", 2: "twice"}.get(of.runs, f"{of.runs} times")
    if of.answered is None:
        return f"{times}; the claim fails"
    return f"{times}; answered after {of.answered:.1f} s{', asked twice' if of.sends > 1 else ''}"


def peers(bench: Bench) -> str:
    assert bench.peers
    rows: dict[str, list[str]] = {}
    for versus in bench.peers.versus:
        rows.setdefault(versus.title, [versus.title]).extend(
            [
                f"{median(versus.theirs, p50):.0f}, {median(versus.ours, p50):.0f}",
                spread(versus.ratios(p50)),
                spread(versus.ratios_documented(p50)),
            ]
        )
    numbers = dict.fromkeys(versus.concurrency for versus in bench.peers.versus)
    columns = [column for number in numbers for column in (f"{number} at a time: p50s, ms", "ratio", "as documented")]
    behind = [versus for versus in bench.peers.versus if max(versus.ratios(p50)) < 1]
    ahead = [versus for versus in bench.peers.versus if min(versus.ratios(p50)) > 1]
    of = len(bench.peers.versus)
    line = f"The peer is ahead in every block of {len(behind)} of the {of}, and Restate in every block of {len(ahead)}."
    return f"{table('peer', columns, rows.values())}\n\n{line}"


def recovery(bench: Bench) -> str:
    assert bench.peers
    middle = [each for each in bench.peers.recoveries if each.point == MIDDLE.name]
    ours = [each for each in middle if _is_ours(each.title)]
    rows = [
        *((each.title, f"{each.ready:.1f}", f"{each.answered:.1f}") for each in middle if each not in ours),
        (
            f"Restate, {len(ours)} agents",
            *(span([getattr(each, of) for each in ours], "{:.1f}") for of in ("ready", "answered")),
        ),
    ]
    points = len({each.point for each in bench.peers.recoveries})
    repeated = Counter(
        f"a {work} of {each.title.replace(', ', ' on ')}"
        for each in bench.peers.recoveries
        for work, again in (("check", each.repeated_checks), ("model call", each.repeated_model_calls))
        if again
    )
    times = ", ".join(f"{of} ({number} kill{'s' * (number > 1)})" for of, number in repeated.items()) or "none"
    wrong = sum(not each.right for each in bench.peers.recoveries)
    return (
        f"{table('seconds after the kill', ('ready', 'answered'), rows)}\n\n"
        f"Each agent was also killed at {points} points of a claim. Finished work that ran again: {times}. "
        f"Wrong answers: {wrong}."
    )


def _is_ours(title: str) -> bool:
    return title.startswith("Restate, ")


def _listed(titles: Sequence[str]) -> str:
    return in_words([title.replace(", ", " on ") for title in titles])
