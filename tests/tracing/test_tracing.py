"""Tracing without a collector: its cost when it is off, and its messages when it cannot be on."""

import os
import subprocess
import sys

import pytest

from tour.runtime import restate_server

ON = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


def python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return subprocess.run([sys.executable, "-c", code], env=kept | env, capture_output=True, text=True, timeout=60)


def test_without_a_collector_nothing_of_opentelemetry_is_imported() -> None:
    done = python(
        "import sys\n"
        "from shared import checks, serving\nfrom tracing import spans\n"
        "spans.install('Agent')\n"
        "assert not hasattr(checks.check_fraud, '__wrapped__')\n"
        "print(*[name for name in sys.modules if name.split('.')[0] in ('opentelemetry', 'openinference')])",
    )
    assert (done.stdout, done.stderr) == ("\n", "")


def test_a_missing_package_is_named_with_what_to_do() -> None:
    missing = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
    done = python(f"import sys; sys.modules['{missing}'] = None\nfrom tracing import spans\nspans.install('A')", **ON)
    assert done.returncode == 1
    assert f"{missing} is not installed" in done.stderr
    assert "uv sync --group tracing" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_protocol_is_refused() -> None:
    done = python("from tracing import spans; spans.install('A')", **ON, OTEL_EXPORTER_OTLP_PROTOCOL="http/json")
    assert done.returncode == 1
    assert "http/json" in done.stderr


@pytest.mark.parametrize(
    ("env", "endpoint"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1/"}, "otlp+http://a:1/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://a/b"}, "otlp+https://a/b"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http://a:1"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1", "RESTATE_TRACING_ENDPOINT": "http://b:2"}, None),
    ],
)
def test_where_the_server_sends_its_spans(env: dict[str, str], endpoint: str | None) -> None:
    assert restate_server.tracing(env).get("RESTATE_TRACING_ENDPOINT") == endpoint
