"""The environment's proxy gets requests to other hosts, and none to loopback."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import proxy_bypass

import httpx
import pytest

from shared import llm
from shared.variables import reach_loopback_directly

pytestmark = pytest.mark.long

VARIABLES = [name for kind in ("http", "https", "all", "no") for name in (f"{kind}_proxy", f"{kind}_proxy".upper())]


@contextmanager
def answering(name: str) -> Iterator[int]:
    """A server that answers every request with `name`. Yields its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(name)))
            self.end_headers()
            self.wfile.write(name.encode())

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "")  # so that it is as before when the test ends
        monkeypatch.delenv(variable)


@pytest.mark.parametrize("proxy", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("direct", ["", "intranet.example"])
@pytest.mark.parametrize("begin", [reach_loopback_directly, llm.http_client])
def test_loopback_is_reached_directly(
    proxy: str, direct: str, begin: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    without_proxies(monkeypatch)
    with answering("server") as port, answering("proxy") as between:
        monkeypatch.setenv(proxy, f"http://127.0.0.1:{between}")
        monkeypatch.setenv("no_proxy", direct)
        assert httpx.get(f"http://127.0.0.1:{port}/").text == "proxy"
        begin()
        begin()
        assert os.environ["NO_PROXY"].count("localhost") == 1
        for host in ("127.0.0.1", "localhost"):
            assert httpx.get(f"http://{host}:{port}/").text == "server"
        assert httpx.get("http://elsewhere.example/").text == "proxy"
        assert proxy_bypass("intranet.example") == bool(direct)


@pytest.mark.parametrize("address", ["socks://127.0.0.1:9/", "socks5://127.0.0.1:9", "SOCKS5h://127.0.0.1:9"])
def test_a_proxy_of_any_kind_is_left_out(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without_proxies(monkeypatch)
    monkeypatch.setenv("ALL_PROXY", address)
    with answering("server") as port:
        reach_loopback_directly()
        assert httpx.get(f"http://127.0.0.1:{port}/").text == "server"


def test_a_proxy_that_no_client_can_use(monkeypatch: pytest.MonkeyPatch) -> None:
    without_proxies(monkeypatch)
    monkeypatch.setenv("HTTPS_PROXY", "ftp://somebody:secret@127.0.0.1:9")
    with pytest.raises(SystemExit, match="https_proxy has the scheme ftp") as said:
        reach_loopback_directly()
    assert "secret" not in str(said.value)
