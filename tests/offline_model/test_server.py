"""The server of the offline model."""

import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from offline_model.server import serve_in_thread


@pytest.mark.long
def test_the_command_serves_and_stops_at_once_though_answers_hang() -> None:
    command = [sys.executable, "-m", "offline_model", "--latency", "60"]
    stops = {
        stop: subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for stop in (signal.SIGINT, signal.SIGTERM)
    }
    for stop, process in stops.items():
        with process:
            assert process.stdout
            assert process.stderr
            url = process.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
            assert httpx.get(f"{url}/health").json() == {"status": "ok"}
            body, headers = {"model": "m", "input": "x"}, {"Authorization": "Bearer sk-secret"}
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(f"{url}/v1/responses", json=body, headers=headers, timeout=0.1)
            with ThreadPoolExecutor() as pool:
                waiting = pool.submit(httpx.post, f"{url}/v1/responses", json=body, headers=headers, timeout=30)
                with pytest.raises(TimeoutError):
                    waiting.result(0.2)
                process.send_signal(stop)
                assert waiting.result(20).status_code == 503
            process.wait(20)  # of the 60 that an answer takes, and on busy cores
            assert "sk-secret" not in process.stderr.read()


def test_the_thread_ends_with_its_process() -> None:
    code = "from offline_model.server import serve_in_thread; print(serve_in_thread())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=10)
    assert done.returncode == 0
    assert done.stderr == ""
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{done.stdout.strip()}/health")


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="glibc's on_exit")
def test_the_thread_does_not_crash_a_process_that_ends() -> None:
    """The process sleeps for a second after Python's end: `sleep` gets the exit code."""
    code = (
        "import ctypes, gc, sys, time; from offline_model.server import serve_in_thread; serve_in_thread()\n"
        "time.sleep(0.5); gc.freeze(); libc = ctypes.CDLL(None)\n"
        "libc.on_exit(ctypes.cast(libc.sleep, ctypes.c_void_p), None); sys.exit(1)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=30).returncode == 1


def test_a_taken_port_is_said_in_one_line() -> None:
    port = serve_in_thread().rsplit(":", 1)[1]
    command = [sys.executable, "-m", "offline_model", "--port", port]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert re.fullmatch(rf"The offline model cannot listen on 127\.0\.0\.1:{port}: .*\n", done.stderr)


def test_the_module_imports_no_sdk() -> None:
    code = "import sys, offline_model.server; print({'openai', 'google.genai', 'uvicorn'} & sys.modules.keys())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
