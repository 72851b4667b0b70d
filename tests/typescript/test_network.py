"""The agents in TypeScript reach a remote model as those in Python do, and Restate also reaches them over HTTP/1.1."""

import asyncio
import os
from pathlib import Path

import httpx
import pytest

from tests.typescript.elsewhere import NAME, certified, forwarding
from tests.typescript.model import answering
from tests.typescript.test_entrypoints import CLAIM, KEYLESS, call, each_framework, entrypoint, restate
from tour.runtime.errors import TourError
from tour.runtime.frameworks import ROOT, TYPESCRIPT, Framework
from tour.runtime.node import NODE, npm_ci
from tour.runtime.node import TYPESCRIPT as PACKAGES
from tour.runtime.restate_server import Restate

__all__ = ["restate"]

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.server,
    pytest.mark.in_turn(2),
]

AGENT, SCRIPT = TYPESCRIPT[1], "parallel_tools_agent.ts"
KINDS = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
UNSET = dict.fromkeys([*KINDS, *map(str.upper, KINDS), "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"], "")
KEY = "sk-secret-of-the-tour"


@pytest.mark.parametrize(("framework", "variable"), [(TYPESCRIPT[0], "HTTP_PROXY"), (TYPESCRIPT[1], "ALL_PROXY")])
async def test_a_model_elsewhere_is_called_through_the_proxy(
    restate: Restate, framework: Framework, variable: str, tmp_path: Path
) -> None:
    async with answering() as model, forwarding() as proxy:
        env = UNSET | {variable: proxy.url, "OPENAI_BASE_URL": f"http://{NAME}:{model.port}/v1"}
        async with entrypoint(restate, framework, SCRIPT, tmp_path / "log", env):
            answer = await call(restate, "ParallelToolClaimAgent/run", CLAIM)
    assert answer.json().startswith("Approved:")
    assert {*proxy.asked} == {f"{NAME}:{model.port}"}


async def test_loopback_is_reached_directly(restate: Restate, tmp_path: Path) -> None:
    async with answering() as model, forwarding() as proxy:
        for host in ("127.0.0.1", "localhost"):
            env = UNSET | {"ALL_PROXY": proxy.url, "OPENAI_BASE_URL": f"http://{host}:{model.port}/v1"}
            async with entrypoint(restate, AGENT, SCRIPT, tmp_path / "log", env):
                answer = await call(restate, "ParallelToolClaimAgent/run", CLAIM)
            assert answer.json().startswith("Approved:")
    assert (len(model.asked), proxy.asked) == (4, [])


async def test_a_certificate_by_a_ca_of_its_own(restate: Restate, tmp_path: Path) -> None:
    tls, authority = certified(tmp_path)
    async with answering(tls=tls) as model, forwarding() as proxy:
        env = UNSET | {"https_proxy": proxy.url, "OPENAI_BASE_URL": f"https://{NAME}:{model.port}/v1"}
        async with entrypoint(restate, AGENT, SCRIPT, tmp_path / "log", env):
            answer = await call(restate, "ParallelToolClaimAgent/run", CLAIM)
        assert "unable to verify" in answer.json()["message"]
        env |= {"SSL_CERT_FILE": str(authority)}
        async with entrypoint(restate, AGENT, SCRIPT, tmp_path / "log", env):
            answer = await call(restate, "ParallelToolClaimAgent/run", CLAIM)
        assert answer.json().startswith("Approved:")
        assert model.asked


@pytest.mark.parametrize(
    ("variable", "value", "code", "said"),
    [
        (
            "ALL_PROXY",
            "socks5://somebody:secret@127.0.0.1:9",
            0,
            "all_proxy has the scheme socks5, which Node cannot use",
        ),
        ("SSL_CERT_FILE", str(ROOT / "README.md"), 1, "has no certificate.\nChange it, or unset it."),
        ("SSL_CERT_FILE", "/nowhere", 1, "SSL_CERT_FILE cannot be read: ENOENT"),
        ("OPENAI_API_KEY", "sk-secret\nOPENAI_MODEL=x", 1, "OPENAI_API_KEY has a character that no key has"),
    ],
)
async def test_what_cannot_be_used_is_told(variable: str, value: str, code: int, said: str) -> None:
    env = os.environ | UNSET | KEYLESS | {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"} | {variable: value}
    program = await asyncio.create_subprocess_exec(
        *(NODE, "--eval", f"import('{PACKAGES}/shared/llm.ts')"), env=env, stderr=asyncio.subprocess.PIPE
    )
    _, error = await program.communicate()
    assert program.returncode == code
    assert said in error.decode()
    assert "secret" not in error.decode()


async def test_newlines_at_the_end_of_a_key_are_no_part_of_it(restate: Restate, tmp_path: Path) -> None:
    """Variables as a `.env` file with Windows newlines leaves them."""
    async with answering() as model:
        env = {"OPENAI_API_KEY": f"{KEY}\r", "OPENAI_BASE_URL": f"http://127.0.0.1:{model.port}/v1\r\n"}
        async with entrypoint(restate, AGENT, SCRIPT, tmp_path / "log", env):
            answer = await call(restate, "ParallelToolClaimAgent/run", CLAIM)
    assert answer.json().startswith("Approved:")
    assert f"authorization: Bearer {KEY}\r\n" in model.asked[0]


@pytest.mark.parametrize("how", ["a proxy", "a certificate"])
async def test_npm_uses_them_too(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls, authority = certified(tmp_path)
    async with answering(tls=None if how == "a proxy" else tls) as registry, forwarding() as proxy:
        url = f"http://{NAME}:{registry.port}/" if how == "a proxy" else f"https://localhost:{registry.port}/"
        used = {"ALL_PROXY": proxy.url} if how == "a proxy" else {"SSL_CERT_FILE": str(authority)}
        cache = str(tmp_path / "npm")
        for variable in UNSET:
            monkeypatch.delenv(variable, raising=False)
        for variable, value in (used | {"npm_config_registry": url, "npm_config_cache": cache}).items():
            monkeypatch.setenv(variable, value)
        work = tmp_path / "work"
        work.mkdir()
        with pytest.raises(TourError, match="npm could not install"):  # the registry is a model
            await npm_ci("them", PACKAGES, work, work / "node_modules")
    assert registry.asked


@each_framework
async def test_restate_speaks_http_1_1(restate: Restate, framework: Framework, tmp_path: Path) -> None:
    async with (
        entrypoint(restate, framework, SCRIPT, tmp_path / "log", KEYLESS) as process,
        httpx.AsyncClient(timeout=30) as client,
    ):
        url = f"http://127.0.0.1:{process.env['PORT']}"
        health = await client.get(f"{url}/health")
        assert (health.status_code, health.http_version) == (200, "HTTP/1.1")
        body = {"uri": url, "use_http_11": True, "force": True}
        registered = (await client.post(f"{restate.admin}/deployments", json=body)).json()
        deployment = (await client.get(f"{restate.admin}/deployments/{registered['id']}")).json()
        assert deployment["http_version"] == "HTTP/1.1"
        answer = await call(restate, "ParallelToolClaimAgent/run", CLAIM)
        assert answer.json().startswith("Approved:"), process.log_tail()
