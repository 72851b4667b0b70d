"""`tour up --stream` in one terminal, curl in a second, and `kill -9` in a third."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.namespace import open_namespace
from tests.streams import told
from tour.runtime.streams import Event

pytestmark = [pytest.mark.server, pytest.mark.long]


def in_stream(curl: subprocess.Popen[str]) -> Iterator[Event]:
    """The events that curl prints."""
    assert curl.stdout
    for line in curl.stdout:
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def test_the_text_goes_on_after_a_kill(tmp_path: Path) -> None:
    network = open_namespace()  # in which the usual ports are free
    if not network:
        pytest.skip("this system makes no network namespace for its users")
    command = [sys.executable, "-uc", "from tour.cli import main; main()", "up", "--stream", "--only=restate_loop"]
    env = {**os.environ, "TOUR_HOME": str(tmp_path), "COLUMNS": "80"}
    with subprocess.Popen(network.inside(*command), env=env, stdout=subprocess.PIPE, text=True) as tour:
        try:
            assert tour.stdout
            said = ""
            for line in tour.stdout:
                said += line
                if "Ctrl-C stops everything" in line:
                    break
            (pid,) = re.findall(r"pid (\d+)", said)
            (curl,) = re.findall(r"^curl -N http://127.0.0.1:8090/stream/.*", said, re.MULTILINE)
            events = []
            with subprocess.Popen(network.inside("bash", "-c", curl), stdout=subprocess.PIPE, text=True) as watching:
                for event in in_stream(watching):
                    if event["type"] == "TEXT_MESSAGE_START" and event["messageId"] == "2":
                        os.kill(int(pid), signal.SIGKILL)
                    events.append(event)
            again = tour.stdout.readline()
        finally:
            tour.send_signal(signal.SIGINT)
    network.close()
    story = told(events)
    assert story.restarts == 1
    assert story.messages == {2: story.answer}
    assert str(story.answer).startswith("Approved:")
    assert re.match(r"The agent restate_loop was killed \(SIGKILL\): restarted as pid \d+", again)
