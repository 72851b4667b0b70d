"""Servers of the offline model for each module, one of them scripted, and the wires as a parameter."""

import pytest

from offline_model.server import serve_in_thread
from tests.offline_model.clients import WIRES, Script, Wire


@pytest.fixture(scope="module")
def url() -> str:
    return serve_in_thread()


@pytest.fixture(scope="module")
def script() -> Script:
    return Script(None)


@pytest.fixture(scope="module")
def scripted(script: Script) -> str:
    return serve_in_thread(director=script)


@pytest.fixture(params=WIRES, ids=lambda wire: wire.__name__.lower())
def wire(request: pytest.FixtureRequest) -> Wire:
    return request.param  # type: ignore[no-any-return]
