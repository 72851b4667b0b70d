"""What the parallel tool calls say before anything runs; the rest needs a server (tests/durable/test_tool_calls.py)."""

import pytest

from durable.versions import require_versions


def test_another_version_than_the_tested_ones_is_refused_at_import() -> None:
    require_versions(restate_sdk="1.3")
    with pytest.raises(ImportError, match="restate-sdk"):
        require_versions(restate_sdk="0.9")
