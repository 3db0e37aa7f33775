"""What is shipped for running Holdfast elsewhere: each file read by its own tool where there is one, and by us."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.config import Settings, load
from holdfast.doors.http.routes import ROUTES
from tests.support.certificates import issue
from tests.support.nginx import program
from tests.support.server import Server

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"

SECRETS = {"database-url": "postgresql://holdfast:secret@db/holdfast", "bootstrap-key": "a-key-of-some-length"}
COMPOSED = {"POSTGRES_PASSWORD": "secret", "HOLDFAST_BOOTSTRAP_KEY": SECRETS["bootstrap-key"]}

Document = dict[str, Any]


def settings_of(environ: dict[str, str]) -> Settings:
    """What a server makes of an environment. Raises: BadSettings, for a name that it does not know as well."""
    return load({}, environ, Path("/data")).settings


def image_environ() -> dict[str, str]:
    """What the image sets."""
    text = (DEPLOY / "Dockerfile").read_text().rpartition("FROM ")[2].replace("\\\n", " ")
    return dict(re.findall(r"\b([A-Z_]+)=(\S+)", text.partition("ENV ")[2].partition("\n")[0]))


def filled_in(text: str) -> str:
    """A value as compose makes it of .env."""
    return re.sub(r"\$\{(\w+)[^}]*\}", lambda match: COMPOSED[match[1]], text)


def value_of(variable: Document) -> str:
    """A variable of a container, its secret looked up."""
    return str(variable.get("value") or SECRETS[variable["valueFrom"]["secretKeyRef"]["key"]])


def documents() -> Iterator[Document]:
    for path in sorted(KUBERNETES.glob("*.yaml")):
        yield yaml.safe_load(path.read_text())


def document(kind: str) -> Document:
    (found,) = [each for each in documents() if each["kind"] == kind]
    return found


def test_nginx_takes_its_configuration(tmp_path: Path) -> None:
    nginx = program()
    files = issue(tmp_path)
    text = (DEPLOY / "nginx.conf").read_text()
    text = re.sub(r"node-\d:", "127.0.0.1:", text).replace("/tmp/", f"{tmp_path}/")
    text = text.replace("/etc/nginx/tls/tls.crt", str(files.certificate))
    text = text.replace("/etc/nginx/tls/tls.key", str(files.key))
    (tmp_path / "nginx.conf").write_text(text)
    done = subprocess.run(
        [nginx, "-t", "-p", tmp_path, "-c", "nginx.conf", "-e", "stderr"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr


def test_compose_describes_two_nodes_that_a_server_takes_its_settings_from() -> None:
    composed = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = composed["services"]
    nodes = [service for name, service in services.items() if name.startswith("node-")]
    assert len(nodes) == 2
    for node in nodes:
        given = {
            name: re.sub(r"\$\{(\w+)[^}]*\}", lambda m: COMPOSED[m[1]], text)
            for name, text in node["environment"].items()
        }
        settings = settings_of(image_environ() | given)
        assert settings.database_url == "postgresql://holdfast:secret@postgres/holdfast"
        assert [str(each) for each in settings.trusted_proxies] == [
            services["nginx"]["networks"]["edge"]["ipv4_address"] + "/32"
        ]
        assert node["read_only"]
    assert services["postgres"]["networks"] == ["store"]
    assert "ports" not in services["postgres"]
    upstream = set(re.findall(r"server ([\w-]+):8787", (DEPLOY / "nginx.conf").read_text()))
    assert upstream == {name for name in services if name.startswith("node-")}
    named = {volume.partition(":")[0] for service in services.values() for volume in service.get("volumes", [])}
    assert {volume for volume in named if not volume.startswith(".")} == composed["volumes"].keys()


def test_compose_itself_takes_the_file(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not installed")
    command = [docker, "compose", "--file", str(DEPLOY / "compose.yaml"), "config", "--quiet"]
    environ = COMPOSED | {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_image_is_pinned_runs_as_nobody_and_is_copied_from_what_is_there() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert "--require-hashes" in text
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001:10001"]
    assert "HEALTHCHECK" in text
    assert "curl" not in text
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    sources = [word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE) for word in line.split()]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored, source
    settings = settings_of(image_environ() | {"HOLDFAST_TRUSTED_PROXIES": "10.0.0.1"})
    assert settings.database_url == "sqlite:////data/holdfast.db"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_health_check_of_the_image_tells_a_server_from_none(scheme: str, sqlite_url: str, tmp_path: Path) -> None:
    files = issue(tmp_path, name="holdfast.example")
    tls = {"HOLDFAST_TLS_CERT": str(files.certificate), "HOLDFAST_TLS_KEY": str(files.key)} if scheme == "https" else {}

    def check(port: int) -> int:
        environ = {"HOLDFAST_PORT": str(port), **tls}
        return subprocess.run([sys.executable, DEPLOY / "healthcheck.py"], env=environ, check=False).returncode

    with Server(sqlite_url, directory=tmp_path / "node", environ=tls) as server:
        server.start()
        assert check(server.port) == 0
        server.kill()
        assert check(server.port) == 1


def test_systemd_takes_the_unit_and_finds_it_shut_in(tmp_path: Path) -> None:
    systemd = shutil.which("systemd-analyze")
    if systemd is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "holdfast.service"
    unit.write_text((DEPLOY / "holdfast.service").read_text().replace("/opt/holdfast/bin/holdfast", sys.executable))
    done = subprocess.run([systemd, "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run(
        [systemd, "security", "--offline=true", "--threshold=20", unit], capture_output=True, text=True, check=False
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot look at a file")
    assert done.returncode == 0, done.stdout[-500:]


def test_the_unit_sets_what_a_server_takes() -> None:
    text = (DEPLOY / "holdfast.service").read_text()
    environ = dict(
        pair.split("=", 1) for line in re.findall(r"^Environment=(.*)$", text, re.MULTILINE) for pair in line.split()
    )
    assert settings_of(environ).database_url == "sqlite:////var/lib/holdfast/holdfast.db"
    assert "Type=notify" in text


def test_kubectl_takes_the_manifests_together(tmp_path: Path) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([kubectl, "kustomize", KUBERNETES], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kinds = {each["kind"] for each in yaml.safe_load_all(done.stdout)}
    assert kinds == {"Namespace", "Deployment", "Service", "PodDisruptionBudget"}


def test_the_manifests_agree_with_each_other_and_with_the_server() -> None:
    deployment, service, disruption, job = (
        document(kind)["spec"] for kind in ("Deployment", "Service", "PodDisruptionBudget", "Job")
    )
    labels = deployment["template"]["metadata"]["labels"]
    assert (
        labels == deployment["selector"]["matchLabels"] == service["selector"] == disruption["selector"]["matchLabels"]
    )
    assert deployment["replicas"] > disruption["minAvailable"]
    assert document("Secret")["stringData"].keys() == SECRETS.keys()
    (node,) = deployment["template"]["spec"]["containers"]
    (migration,) = job["template"]["spec"]["containers"]
    for container in (node, migration):
        environ = {
            each["name"]: each.get("value") or SECRETS[each["valueFrom"]["secretKeyRef"]["key"]]
            for each in container["env"]
        }
        if container is node:
            assert settings_of(image_environ() | environ).trusted_proxies
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert not container["securityContext"]["allowPrivilegeEscalation"]
    open_paths = {route.path for route in ROUTES if route.scope is None}
    probes = {name: node[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert set(probes.values()) <= open_paths
    assert probes["readinessProbe"] == "/health/ready"
    assert probes["livenessProbe"] == "/health/live"
    assert service["ports"][0]["targetPort"] == node["ports"][0]["name"]
    assert {mount["name"] for mount in node["volumeMounts"]} == {
        volume["name"] for volume in deployment["template"]["spec"]["volumes"]
    }
