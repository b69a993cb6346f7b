"""The images, the compose files and the manifests: checked by linters and schemas, and their commands run for real."""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import sqlalchemy as sa
import yaml
from compose_spec import ComposeSpecification
from mlflow import MlflowClient

from infra.database.connection import open_database
from infra.settings import Settings
from tests.support.databases import Databases

ROOT = Path(__file__).resolve().parents[2]
CONTAINERS, KUBERNETES = ROOT / "infra/containers", ROOT / "infra/kubernetes"
DOCKERFILE = (CONTAINERS / "Dockerfile").read_text()
DASHBOARD = json.loads((CONTAINERS / "grafana/dashboards/cache-policies.json").read_text())
MANIFESTS = sorted(KUBERNETES.glob("*.yaml"))
SPAN_MS = {"${__from}": "1700000000000", "${__to}": "1800000000000"}  # as Grafana puts it in


class _Loader(yaml.SafeLoader):
    """Reads compose files, whose `!override` replaces a list rather than adding to it."""


_Loader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node, deep=True))


def compose(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load((CONTAINERS / name).read_text(), _Loader)
    return found


def services() -> dict[str, dict[str, Any]]:
    """All services by name, those of the second file as NAME+."""
    second = {f"{name}+": service for name, service in compose("compose.postgresql.yaml")["services"].items()}
    return compose("compose.yaml")["services"] | second


def test_the_dockerfile_passes_its_linter():
    done = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), CONTAINERS / "Dockerfile"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("", 0)


def test_images_run_as_a_numbered_user_that_is_not_root_and_say_whether_they_are_well():
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.M) == ["10001:10001"]
    assert re.findall(r"^HEALTHCHECK", DOCKERFILE, re.M) == ["HEALTHCHECK"]
    assert re.findall(r"^FROM (\S+) AS (?:cpu|cuda)$", DOCKERFILE, re.M) == ["program", "program"]


@pytest.mark.parametrize("name", ["compose.yaml", "compose.postgresql.yaml"])
def test_the_compose_files_follow_the_specification(name):
    ComposeSpecification.model_validate(compose(name))


def test_every_image_has_a_version_or_is_built_here():
    images = {service["image"] for service in services().values() if "image" in service}
    own = {image for image in images if image.startswith("ers-ml-trainer:")}
    assert own == {"ers-ml-trainer:${ERS_TAG:-cpu}"}
    assert all(re.search(r":v?\d+\.\d+", image) for image in images - own), images
    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.\d+\.\d+-", DOCKERFILE, re.M)


def test_every_service_but_the_one_that_ends_says_whether_it_is_well():
    for name, service in compose("compose.yaml")["services"].items():
        checked = "healthcheck" in service or name == "worker"  # which has the check of the image
        assert checked, name


def test_compose_and_kubernetes_give_settings_that_exist():
    given = set(compose("compose.yaml")["x-pipeline"]) | set(compose("compose.postgresql.yaml")["x-pipeline"])
    for document in yaml.safe_load_all((KUBERNETES / "settings.yaml").read_text()):
        given |= set(document.get("data", {})) if document else set()
    assert {name.lower() for name in given} <= set(Settings.model_fields)


def test_what_compose_is_asked_for_is_in_the_example():
    asked = set()
    for name in ("compose.yaml", "compose.postgresql.yaml"):
        asked |= set(re.findall(r"\$\{([A-Z_]+)", (CONTAINERS / name).read_text()))
    offered = set(re.findall(r"^([A-Z_]+)=", (CONTAINERS / "example.env").read_text(), re.M))
    assert asked == offered


def test_the_mounted_files_exist():
    for service in services().values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith(".") or (CONTAINERS / source).exists(), source


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the image gets, in a folder of their own: what .dockerignore lets through of the checkout."""
    folder = tmp_path_factory.mktemp("image")
    lines = (ROOT / ".dockerignore").read_text().split()
    for name in (line[1:] for line in lines if line.startswith("!")):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


def image_variables(home: Path) -> dict[str, str]:
    """The environment of the image, its state in `home`."""
    blocks = re.findall(r"^ENV ((?:.*\\\n)*.*)$", DOCKERFILE, re.M)
    (block,) = (block for block in blocks if "PYTHONPATH" in block)
    pairs = (word.partition("=") for word in shlex.split(block.replace("\\\n", " ")))
    variables = {name: value.replace("/var/lib/ers", str(home)) for name, _, value in pairs}
    own = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return variables | own | {"PYTHONPATH": ""}


@pytest.mark.parametrize(
    "words", [("python", "-m", "flows", "train", "--help"), ("python", "-m", "infra.stack", "--help")], ids=" ".join
)
def test_the_program_runs_from_the_files_of_the_image(program, tmp_path, words):
    before = sorted(path for path in program.rglob("*"))
    done = subprocess.run(
        words, cwd=program, env=image_variables(tmp_path), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "usage: " in done.stdout
    assert sorted(path for path in program.rglob("*")) == before  # nothing is written beside the program


def test_the_image_has_every_package_that_its_files_import(program):
    present = {path.name for path in program.iterdir() if path.is_dir()}
    ours = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    for file in program.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            needed = {name.split(".")[0] for name in names} & ours
            assert needed <= present, (file, needed - present)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_the_manifests_follow_the_schemas_of_kubernetes(path):
    for document in yaml.safe_load_all(path.read_text()):
        kubernetes_validate.validate(document, "1.32", strict=True)


def test_the_template_of_jobs_names_only_variables_that_it_has_and_makes_a_job():
    template = json.loads((KUBERNETES / "base-job-template.json").read_text())
    configuration = json.dumps(template["job_configuration"])
    variables = template["variables"]["properties"]
    assert set(re.findall(r"\{\{ (\w+) \}\}", configuration)) == set(variables)
    manifest = json.loads(json.dumps(template["job_configuration"]["job_manifest"]))
    filled = json.loads(
        re.sub(
            r'"\{\{ (\w+) \}\}(-?)"',
            lambda found: json.dumps("run-" if found[2] else variables[found[1]]["default"]),
            json.dumps(manifest),
        )
    )
    filled["metadata"]["name"] = filled["metadata"].pop("generateName")[:-1]
    container = filled["spec"]["template"]["spec"]["containers"][0]
    container |= {"args": ["prefect", "flow-run", "execute"], "env": [{"name": "A", "value": "b"}]}
    kubernetes_validate.validate(filled, "1.32", strict=True)


def queries(source: str) -> list[str]:
    texts = [
        target["rawSql"]
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", [])
        if target["datasource"]["uid"] == source
    ]
    for macro, value in SPAN_MS.items():
        texts = [text.replace(macro, value) for text in texts]
    assert texts
    assert not [text for text in texts if "$" in text]
    return texts


@pytest.mark.parametrize("kind", ["mariadb", "postgresql"])
def test_the_dashboard_asks_what_the_database_can_answer(databases: Databases, tmp_path, kind):
    engine = open_database(databases.settings(kind, tmp_path))
    with engine.connect() as connection:
        for text in queries("ers"):
            connection.exec_driver_sql(text).all()
    engine.dispose()


def test_the_dashboard_shows_what_trainings_log(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(uri)
    run_id = client.create_run("0", start_time=1_750_000_000_000).info.run_id
    logged = {"test/value_ratio": 0.5, "test/over_best": 0.1, "test/over_best_low": 0.05, "test/over_best_high": 0.15}
    for name, value in (logged | {"test/gap_closed": 0.25}).items():
        client.log_metric(run_id, name, value)
    engine = sa.create_engine(uri)
    with engine.connect() as connection:
        shown = [connection.exec_driver_sql(text).all() for text in queries("mlflow")]
    engine.dispose()
    assert shown == [[(1_750_000_000, value)] for value in (0.5, 0.1, 0.05, 0.15, 0.25)]


def test_the_dashboard_has_the_sources_that_are_provisioned():
    provisioned = yaml.safe_load((CONTAINERS / "grafana/provisioning/datasources/ers.yaml").read_text())["datasources"]
    used = {panel["datasource"]["uid"] for panel in DASHBOARD["panels"] if "datasource" in panel}
    assert used == {source["uid"] for source in provisioned}


def test_prometheus_asks_services_that_exist():
    jobs = yaml.safe_load((CONTAINERS / "prometheus.yml").read_text())["scrape_configs"]
    hosts = {target.split(":")[0] for job in jobs for config in job["static_configs"] for target in config["targets"]}
    assert hosts - {"127.0.0.1"} <= set(compose("compose.yaml")["services"])
