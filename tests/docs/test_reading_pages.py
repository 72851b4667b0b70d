"""The commands of a page are found, and its output is compared; test_pages.py runs them."""

import re

import pytest

from tests.docs.pages import PAGES, Command, commands, commands_of, missing
from tests.docs.test_pages import CLI, INSTEAD, Instead
from tour.runtime import restate_server
from tour.runtime.frameworks import ROOT

PAGE = """\
Run `uv run tour doctor` first, then `restate_context()`; `uv` alone is a name, `kill -9` a way to end.

```
# both run until they are stopped
PORT=9180 uv run a_agent.py    # the agent
curl localhost:8080/a --json '{"reason": "a leg # two"}'   # its answer
```

- In a list, too:

  ```console exit=1
  $ uv run tour check 1   # yours
  Chapter 1
  …
  $ uv run tour \\
      check 2
  $ uv run tour check 3
  no
  ```

| `uv run tour web --port 8071` | ![a picture of `uv run tour`](tour.svg) |
| --- | --- |
| `pip install uv` | |

```text
first attempt
```
"""


def test_the_commands_of_a_page() -> None:
    assert commands(PAGE) == [
        Command("uv run tour doctor", 1, span=True),
        Command("PORT=9180 uv run a_agent.py", 5),
        Command("""curl localhost:8080/a --json '{"reason": "a leg # two"}'""", 6),
        Command("uv run tour check 1", 12, ("Chapter 1", "…")),
        Command("uv run tour \\\n    check 2", 15),
        Command("uv run tour check 3", 17, ("no",), exit=1),
        Command("uv run tour web --port 8071", 21, span=True),
        Command("uv run tour", 21, span=True),
        Command("pip install uv", 23, span=True),
    ]


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ("```\nuvx tour\n```", "not known: uvx tour"),
        ("```\nfirst attempt\n```", "not known: first attempt"),
        ("```\npkill -f agent.py\n```", "not known: pkill"),
        ("```console\n$ uvx tour\n```", "not known: uvx tour"),
        ("```console\nuv run tour\n```", "begins with"),
        ("```console exits=1\n$ uv run tour\n```", "exits=1"),
        ("```bash\nuv run tour\n```", "no info string"),
    ],
)
def test_a_block_of_something_else_is_an_error(block: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        commands(block)


PRINTED = """\
\x1b[2mStarting Restate, pid 4711\x1b[0m

framework        total  parallel  journal
LangChain       1.57 s    2.98 x   2.2 kB
eligibility   ████━━━━━━   ✗✗━━██   0.52 s
http://127.0.0.1:40123/ui/invocations/inv_17tMLnKhSUeB
number 0952afee-cf0a-4423-a52e-5643798985d3
Approved: eligible   \
"""
SHOWN = """\
Starting Restate, pid 12

framework       total  parallel  journal
LangChain      12.3 s    3.00 x  20.1 kB
eligibility   █████━━━━ ███  12 ms
http://127.0.0.1:36613/ui/invocations/inv_…
number e0260dc5-8d18-401f-94bb-2a319cd68413
Approved: eligible"""


@pytest.mark.parametrize(
    "shown",
    [
        SHOWN,
        "…",
        "Starting Restate, pid 12\n…",
        "…\nApproved: eligible",
        "…\nframework total parallel journal\nLangChain 1 s 1.0 x 1 kB\n…\nApproved: eligible\n…",
    ],
)
def test_what_varies_may_differ(shown: str) -> None:
    assert missing(shown.splitlines(), PRINTED) == ""


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        ("Approved: eligible", "Approved: not eligible"),
        ("Approved: eligible", "Approved: eligible\nand more"),
        ("\nApproved: eligible", ""),
        ("framework ", "…\nframe "),
        ("Starting Restate, pid 12", "Starting Restate, pid twelve"),
        ("Starting Restate, pid 12\n", "…\nLangChain 12.3 s 3.00 x 20.1 kB\n"),  # there, but further down
        ("12.3 s", "12.3"),
        ("████", "none"),
        (":36613", ":8080"),
    ],
)
def test_a_change_is_found(said: str, instead: str) -> None:
    assert said in SHOWN
    assert missing(SHOWN.replace(said, instead, 1).splitlines(), PRINTED)


def test_a_gap_is_shown_and_stands_for_whole_lines() -> None:
    assert missing(["framework total parallel journal", "…"], PRINTED), "not the first line"
    assert missing(["…", "Approved: eligible", "…", "Starting Restate, pid 1"], PRINTED), "in another order"
    assert missing(["…", "Approved: …"], PRINTED)


def test_a_server_may_go_on() -> None:
    assert missing(["on http://127.0.0.1:9080"], "on http://127.0.0.1:9080\nStopped.\n", more=True) == ""
    assert missing(["on http://127.0.0.1:9080"], "on http://127.0.0.1:9080\nStopped.\n")
    assert missing(["on http://127.0.0.1:9081"], "on http://127.0.0.1:9080\nStopped.\n", more=True)


def test_every_command_that_is_replaced_is_on_a_page_and_every_test_is_there() -> None:
    found = [command for page in PAGES for command in commands_of(page)]
    assert INSTEAD.keys() <= {command.text for command in found}
    assert not [command for command in found if command.shown and INSTEAD.get(command.text, Instead("")).test], (
        "what it shows is not compared"
    )
    for instead in INSTEAD.values():
        if instead.test:
            file, name = instead.test.split("::")
            assert f"def {name}(" in (ROOT / file).read_text()


def test_the_cli_is_as_new_as_the_server() -> None:
    assert CLI.version == restate_server.VERSION
