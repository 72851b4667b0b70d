"""The image and the manifests, validated without an engine that runs them."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import cluster, identity
from shared.serving import DRAIN, GRACE
from shared.watchdog import WATCHDOG
from tour.runtime import restate_server
from tour.runtime.frameworks import PYTHON, REMOTE_CHECKS, ROOT
from tour.runtime.restate_server import SERVER, Ports

DEPLOY = ROOT / "deploy"
DOCKERFILE = DEPLOY / "Dockerfile"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
PROXY: dict[str, Any] = yaml.safe_load((DEPLOY / "envoy.yaml").read_text())
KUBERNETES = [
    resource
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for resource in yaml.safe_load_all(path.read_text())
]
RESTATE = f"docker.restate.dev/restatedev/restate:{SERVER.version}"
SERVICES = {name: service for name, service in COMPOSE["services"].items() if service["image"] != RESTATE}
NODES = {name: service for name, service in COMPOSE["services"].items() if service["image"] == RESTATE}


def tool(*command: str | Path) -> str:
    """The output of a program in the virtual environment; fails if its exit code is not 0."""
    program = Path(sys.executable).with_name(str(command[0]))
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def resource(kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any]
    [found] = (each for each in KUBERNETES if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return found


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each requested pod of Kubernetes, with the name of its owner."""
    for each in KUBERNETES:
        if template := each["spec"].get("template"):
            yield f"{each['kind']} {each['metadata']['name']}", template["spec"]


def containers() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, pod in pods():
        for container in pod["containers"]:
            yield name, container


def env_of(container: dict[str, Any]) -> dict[str, str | None]:
    """Its variables; None if the value is not in the manifest."""
    return {each["name"]: each.get("value") for each in container.get("env", ())}


def copied() -> list[str]:
    """The files and folders of the repository that are at the same place in the image."""
    lines = re.findall(
        r"^COPY (?!--from)(.*) (\S+)$", DOCKERFILE.read_text().partition("\nFROM ")[2], flags=re.MULTILINE
    )
    copies = [(source, target) for sources, target in lines for source in sources.split()]
    assert all(target in (source, f"{Path(source).parent}/") for source, target in copies)
    return [source for source, _ in copies]


@pytest.mark.long
def test_envoy_accepts_its_configuration(tmp_path: Path) -> None:
    ports = {name: 10_000 + at for at, name in enumerate(("agents", "checks", "ingress", "admin"))}
    (tmp_path / "here.yaml").write_text(yaml.safe_dump(cluster.envoy_config(ports, dict.fromkeys(ports, (1, 2)), 9)))
    for config in (DEPLOY / "envoy.yaml", tmp_path / "here.yaml"):
        said = tool("envoy", "--mode", "validate", "-c", config)
        assert f"configuration '{config}' OK" in said
        assert "eprecated" not in said


def test_the_compose_file_is_one() -> None:
    from compose_spec import PyCompose

    merged = yaml.safe_dump(COMPOSE)  # its parser knows no merge keys
    assert set(PyCompose.from_yaml(merged).service_names()) == set(COMPOSE["services"])
    with pytest.raises(ValueError, match="imag"):
        PyCompose.from_yaml(merged.replace("image:", "imag:", 1))


def test_the_kubernetes_manifests_fit_their_schemas() -> None:
    files = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    said = tool("kubernetes-validate", "--strict", *files)
    assert said.count(" passed ") == len(KUBERNETES)
    kustomization = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())
    assert sorted(kustomization["resources"]) == [str(file.relative_to(DEPLOY)) for file in files]
    for generated in kustomization["configMapGenerator"]:
        assert all((DEPLOY / file).is_file() for file in generated["files"])


def test_the_dockerfile_has_no_findings() -> None:
    tool("hadolint", DOCKERFILE)


def test_uv_in_the_image_is_the_one_that_made_the_lock() -> None:
    [version] = re.findall(r"uv==([\d.]+)", DOCKERFILE.read_text())
    assert int(version.split(".")[1]) >= 9
    python = re.findall(r"FROM python:(\d+\.\d+)", DOCKERFILE.read_text())
    assert len(set(python)) == 1
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"] == ">=3.11"


@pytest.mark.server
def test_the_image_has_all_that_its_programs_import(tmp_path: Path) -> None:
    """Copy the image's files into a folder, and import the six programs and `register` from there."""
    for source in copied():
        (tmp_path / source).parent.mkdir(exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, tmp_path / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, tmp_path / source)
    agents = [framework.script(REMOTE_CHECKS).resolve() for framework in PYTHON]
    scripts = [str(script.relative_to(ROOT)) for script in (*agents, cluster.CHECKS_SCRIPT)]
    code = (
        "import runpy, sys, deploy.register\n"
        f"for script in {scripts}: runpy.run_path(script, run_name='imported')\n"
        "print(*(getattr(module, '__file__', None) for module in list(sys.modules.values())), sep='\\n')\n"
    )
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/nowhere"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = [Path(line) for line in done.stdout.splitlines() if line.startswith("/")]
    assert not [file for file in loaded if file.is_relative_to(ROOT) and "site-packages" not in file.parts]
    assert tmp_path / "shared/serving.py" in loaded


def test_no_key_is_in_the_image_nor_in_a_manifest() -> None:
    for file in DEPLOY.rglob("*"):
        if file.is_file() and file.suffix in ("", ".yaml", ".dockerignore"):
            text = file.read_text()
            assert not re.search(r"PRIVATE KEY-|publickeyv1_\w|sk-\w", text), file
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert next(line for line in ignored if not line.startswith("#")) == "*"
    assert "**/*.pem" in ignored


def listeners() -> dict[str, int]:
    return {
        each["name"]: each["address"]["socket_address"]["port_value"] for each in PROXY["static_resources"]["listeners"]
    }


def upstreams() -> dict[str, tuple[str, int]]:
    found = {}
    for each in PROXY["static_resources"]["clusters"]:
        [endpoints] = each["load_assignment"]["endpoints"]
        [endpoint] = endpoints["lb_endpoints"]
        address = endpoint["endpoint"]["address"]["socket_address"]
        found[each["name"]] = (address["address"], address["port_value"])
    return found


def test_envoy_s_ports_and_names_are_those_of_the_manifests() -> None:
    usual = Ports()
    assert upstreams() == {
        "agents": ("agent", 9080),
        "checks": ("checks", 9080),
        "ingress": ("restate", usual.ingress),
        "admin": ("restate", usual.admin),
    }
    for host, port in upstreams().values():
        service = resource("Service", host)
        assert port in [each["port"] for each in service["spec"]["ports"]]
        assert service["spec"]["clusterIP"] == "None", "Envoy must see each replica's address"
    assert {each["name"]: each["port"] for each in resource("Service", "envoy")["spec"]["ports"]} == listeners()
    assert all(node["networks"]["default"]["aliases"] == ["restate"] for node in NODES.values())
    assert {"agent", "checks", "envoy"} <= SERVICES.keys()
    published = {tuple(port.split(":")) for port in SERVICES["envoy"]["ports"]}
    assert published == {("127.0.0.1", str(port), str(port)) for port in (usual.ingress, usual.admin)}


def test_what_is_registered_is_what_envoy_listens_on() -> None:
    expected = [f"http://envoy:{listeners()[name]}" for name in ("agents", "checks")]
    [[_, job]] = [(name, each) for name, each in containers() if name == "Job register"]
    for command in (job["command"], SERVICES["register"]["command"]):
        assert command == ["python", "-m", "deploy.register", *expected]
    admin = f"http://envoy:{listeners()['admin']}"
    assert env_of(job)["RESTATE_ADMIN_URL"] == SERVICES["register"]["environment"]["RESTATE_ADMIN_URL"] == admin


def test_selectors_find_their_pods() -> None:
    labels = {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"]
        for each in KUBERNETES
        if "template" in each["spec"]
    }
    assert all(name == label for name, label in labels.items())
    for each in KUBERNETES:
        for selected in _values(each["spec"], "app.kubernetes.io/name"):
            assert selected in labels, each["metadata"]
    [expression] = resource("NetworkPolicy", "agents")["spec"]["podSelector"]["matchExpressions"]
    assert set(expression["values"]) <= labels.keys()


def _values(tree: Any, key: str) -> Iterator[str]:
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name == key and isinstance(value, str):
                yield value
            else:
                yield from _values(value, key)
    elif isinstance(tree, list):
        for value in tree:
            yield from _values(value, key)


def commands() -> Iterable[list[str]]:
    yield from (service["command"] for name, service in SERVICES.items() if name in ("agent", "checks"))
    yield from (each["command"] for name, each in containers() if name in ("Deployment agent", "Deployment checks"))


def test_the_programs_and_their_variables_are_ours() -> None:
    for command in commands():
        python, script = command
        assert python == "python"
        assert (ROOT / script).is_file()
        assert any(Path(script).is_relative_to(source) for source in copied())
    ours = [SERVICES[name]["environment"] for name in ("agent", "checks")]
    ours += [env_of(each) for name, each in containers() if name in ("Deployment agent", "Deployment checks")]
    assert len(ours) == 4
    for env in ours:
        assert (env["HOST"], env["PORT"]) == ("0.0.0.0", "9080")
        assert "RESTATE_IDENTITY_KEY" in env, "an agent without it accepts requests from anybody"
        assert not [name for name in env if not re.fullmatch(r"HOST|PORT|RESTATE_IDENTITY_KEY|OPENAI_\w+", name)]


def _known(env: dict[str, str], tmp_path: Path) -> dict[str, Any]:
    """The configuration that the server makes of these variables."""
    binary = restate_server.binary()
    assert binary
    said = subprocess.run(
        [binary, "--base-dir", tmp_path, "--dump-config"], env=env, capture_output=True, text=True, check=True
    )
    assert "deprecated" not in said.stderr + said.stdout.splitlines()[0]
    return tomllib.loads(said.stdout)


@pytest.mark.parametrize("where", ["compose", "kubernetes"])
def test_restate_knows_its_variables(where: str, tmp_path: Path) -> None:
    """Each variable appears in the server's configuration; a misspelled one would not."""
    pem = identity.make(tmp_path / "identity.pem").private
    if where == "compose":
        envs = [dict(node["environment"]) for node in NODES.values()]
        assert [env["RESTATE_AUTO_PROVISION"] for env in envs] == ["true", "false", "false"]
        assert {env["RESTATE_NODE_NAME"] for env in envs} == NODES.keys()
    else:
        [[_, pod]] = [(name, each) for name, each in containers() if name == "StatefulSet restate"]
        envs = [{name: str(value).replace("$(POD_NAME)", "restate-0") for name, value in env_of(pod).items()}]
    for env in envs:
        env = {name: value for name, value in env.items() if name.startswith("RESTATE_")}
        env |= {name: str(pem) for name in env if name.endswith("PEM_FILE")}
        config = _known(env, tmp_path)
        addresses = config["metadata-client"]["addresses"]
        assert env["RESTATE_ADVERTISED_ADDRESS"] in addresses
        assert len(addresses) == cluster.NODES
        assert config["default-replication"] == cluster.REPLICATION
        for name, value in env.items():
            found: Any = config
            for part in name.removeprefix("RESTATE_").lower().replace("_", "-").split("--"):
                assert part in found, name
                found = found[part]
            assert str(found).lower() == value.lower() or isinstance(found, list), name


def test_the_ports_of_restate_are_the_usual_ones() -> None:
    [[_, pod]] = [(name, each) for name, each in containers() if name == "StatefulSet restate"]
    usual = Ports()
    expected = {"ingress": usual.ingress, "admin": usual.admin, "node": usual.node}
    assert {each["name"]: each["containerPort"] for each in pod["ports"]} == expected
    assert {each["name"]: each["port"] for each in resource("Service", "restate")["spec"]["ports"]} == expected


def test_images_and_probes() -> None:
    for name, container in containers():
        if container["image"].startswith("docker.restate.dev"):
            assert container["image"] == RESTATE, name
        assert container["securityContext"]["allowPrivilegeEscalation"] is False, name
    for name in ("Deployment agent", "Deployment checks"):
        [container] = (each for of, each in containers() if of == name)
        for probe in ("readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"] == {"path": "/health", "port": "h2c"}, name
        alive = container["livenessProbe"]
        assert alive["periodSeconds"] * (alive["failureThreshold"] - 1) > WATCHDOG, "it says first where it was"
        assert "WATCHDOG" not in env_of(container)
    for name, pod in pods():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name


def test_a_frozen_agent_is_started_again_and_one_that_drains_is_not_cut_off() -> None:
    for service in (SERVICES["agent"], SERVICES["checks"]):
        assert service["restart"] == "unless-stopped"
        assert "init" not in service, "the agent is the container's first process, so its exit code is the container's"
        assert float(service["stop_grace_period"].removesuffix("s")) > DRAIN + 2 * GRACE
    assert dict(pods())["Deployment agent"]["terminationGracePeriodSeconds"] > DRAIN + 2 * GRACE


def test_a_public_key_is_base58() -> None:
    assert identity.base58(b"\0\0hello") == "11Cn8eVZg"
    assert len(identity.base58(b"\xff" * 32)) == 44


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    first = identity.make(tmp_path / "key.pem")
    with pytest.raises(FileExistsError):
        identity.make(tmp_path / "key.pem")
    assert first.private.stat().st_mode & 0o777 == 0o600
    assert re.fullmatch(r"publickeyv1_[1-9A-HJ-NP-Za-km-z]{43,44}", first.public)
