"""docker-compose.yml and .env.example: true to each other, to the launcher and to the services."""

from __future__ import annotations

import importlib
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from deploy.local import kafka, postgres
from deploy.local.credentials import SECRET_READERS, SERVICE_SECRETS, names
from deploy.local.kafka_jars import jar_version
from deploy.local.settings import CHECKOUT, DEFAULTS, MONITORING, SERVICES
from libs.runtime.config import ServiceSettings
from libs.runtime.tracing import ENDPOINTS

# Read before any settings are, by deploy/bootstrap.sh and by the tests, or in containers only.
TOOL_VARIABLES = {"OTA_PYTHON", "OTA_TEST_CONTAINERS", "OTA_GRAFANA_PORT", "OTA_IMAGE_EXTRAS"}
# Read by OpenTelemetry itself.
TRACING_VARIABLES = {"OTEL_EXPORTER_OTLP_ENDPOINT"}
VERIFIER_VARIABLES = {f"OTA_{service.upper()}_VERIFY_DSN" for service in SERVICES}
SERVICE_KEYS = {
    *("build", "cap_drop", "command", "depends_on", "environment", "healthcheck", "image", "init"),
    *(
        "cpus",
        "mem_limit",
        "pids_limit",
        "ports",
        "read_only",
        "restart",
        "security_opt",
        "stop_grace_period",
        "tmpfs",
    ),
    *("profiles", "volumes"),
}
SUBSTITUTION = re.compile(r"\$\{(?P<name>[A-Z_]+)(?::-(?P<default>[^}]*)|:\?[^}]+)\}")
PUBLISHED = re.compile(
    r"127\.0\.0\.1:\$\{(?P<name>OTA_[A-Z_]+):-(?P<default>\d+)\}:(?P<inside>\d+)"
)
COMPOSE_TEXT = (CHECKOUT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
STEPS: dict[str, dict[str, Any]] = COMPOSE["services"]


def settings_classes(service: str) -> dict[str, type[ServiceSettings]]:
    """Return the settings models of a service by name; `Settings` is that of its run command."""
    module = importlib.import_module(f"services.{service}.settings")
    return {
        name: each
        for name, each in vars(module).items()
        if isinstance(each, type)
        and issubclass(each, ServiceSettings)
        and each is not ServiceSettings
    }


def variables(model: type[ServiceSettings], *, required: bool = False) -> set[str]:
    """Return the variables that a model reads, or only those that it cannot do without."""
    prefix = model.model_config["env_prefix"]
    return {
        f"{prefix}{name}".upper()
        for name, field in model.model_fields.items()
        if field.is_required() or not required
    }


def all_service_variables() -> set[str]:
    """Return every variable that any service reads."""
    return {
        name
        for service in SERVICES
        for model in settings_classes(service).values()
        for name in variables(model)
    }


def own_steps() -> dict[str, tuple[str, str]]:
    """Return service and command of every step that runs our image."""
    return {
        name: (step["command"][0].removeprefix("ota-"), step["command"][1])
        for name, step in STEPS.items()
        if "build" in step
    }


def example_variables() -> dict[str, str]:
    """Return the variables of .env.example, those in comments included."""
    text = (CHECKOUT / ".env.example").read_text(encoding="utf-8")
    found = re.findall(r"^(?:# )?((?:OTA|OTEL)_[A-Z_]+)=(.*)$", text, flags=re.MULTILINE)
    assert len(found) == len(dict(found)), "a variable is there twice"
    return dict(found)


def test_the_file_has_the_form_of_the_compose_specification() -> None:
    """Only known keys, dependencies that exist, and conditions that can come true."""
    extensions = {key for key in COMPOSE if key.startswith("x-")}
    assert {"name", "services", "volumes"} == set(COMPOSE) - extensions
    for name, step in STEPS.items():
        assert SERVICE_KEYS >= set(step), name
        assert all(isinstance(text, str) for text in step.get("environment", {}).values()), name
        for other, wanted in step.get("depends_on", {}).items():
            if wanted["condition"] == "service_healthy":
                assert "healthcheck" in STEPS[other], (name, other)
            else:
                assert "service_completed_successfully" == wanted["condition"]
                assert "restart" not in STEPS[other], (name, other)
        for volume in step.get("volumes", []):
            source = SUBSTITUTION.sub(lambda found: found["default"], volume).split(":")[0]
            if source.startswith("./"):
                assert (CHECKOUT / source).exists(), source
            else:
                assert source in COMPOSE["volumes"]


def test_every_task_is_waited_for() -> None:
    """`up --wait` takes the end of a task for a failure unless another step waits for that end."""
    tasks = {name for name, step in STEPS.items() if "healthcheck" not in step}
    awaited = {
        other
        for step in STEPS.values()
        for other, wanted in step.get("depends_on", {}).items()
        if wanted["condition"] == "service_completed_successfully"
    }
    assert tasks == awaited


def test_every_step_has_limits_and_servers_a_health_check() -> None:
    """Nothing can eat the machine, and nothing is taken for well without being asked."""
    for name, step in STEPS.items():
        assert {"mem_limit", "cpus", "pids_limit"} <= set(step), name
        # Docker refuses more cores than the machine has; two is what we ask for.
        assert 0 < step["cpus"] <= 2, name
        assert ("restart" in step) == ("healthcheck" in step), name


def pinned(image: str) -> bool:
    """Say whether an image has a patch version, and a Debian release where it floats."""
    name, _, tag = image.rpartition(":")
    exact = {
        "postgres": r"\d+\.\d+-bookworm",  # its patch version has two numbers
        "python": r"\d+\.\d+\.\d+-slim-bookworm",
    }
    return re.fullmatch(exact.get(name, r"v?\d+\.\d+\.\d+"), tag) is not None


def test_images_have_exact_versions() -> None:
    """What runs tomorrow is what runs today; our own is built here, from such a one."""
    dockerfile = (CHECKOUT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    images = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", dockerfile, flags=re.MULTILINE)
    assert 1 == len(images)
    images += {step["image"] for step in STEPS.values() if "build" not in step}
    assert [] == [image for image in images if not pinned(image)]


@pytest.mark.parametrize(
    "image",
    [
        *("python", "python:latest", "python:3.11", "python:3.11-slim", "python:3.11.14-slim"),
        *("postgres:15", "postgres:15.18", "prom/prometheus:v2.42", "grafana/grafana:11"),
    ],
)
def test_a_floating_tag_is_noticed(image: str) -> None:
    """The control of the test above."""
    assert not pinned(image)


def test_who_watches_reads_the_generated_files() -> None:
    """Each file that Prometheus and Alertmanager name is mounted, each address is a step's."""
    folder = CHECKOUT / "deploy" / "prometheus"
    prometheus = yaml.safe_load((folder / "prometheus.yml").read_text(encoding="utf-8"))
    targets = yaml.safe_load((folder / "targets.json").read_text(encoding="utf-8"))
    files = [
        *prometheus["rule_files"],
        *prometheus["scrape_configs"][0]["file_sd_configs"][0]["files"],
    ]
    assert all((folder / Path(file).relative_to("/etc/prometheus")).exists() for file in files)
    addresses = {address for group in targets for address in group["targets"]}
    addresses |= set(re.findall(r"http://([\w-]+:\d+)", (folder / "alertmanager.yml").read_text()))
    assert {address.split(":")[0] for address in addresses} <= set(STEPS)
    watchers = {name for name, step in STEPS.items() if step.get("profiles") == ["monitoring"]}
    assert {"prometheus", "alertmanager", "alerts", "node-exporter", "grafana"} == watchers
    # Without the profile nothing is missing to what remains.
    for name in set(STEPS) - watchers:
        assert not watchers & set(STEPS[name].get("depends_on", {}))


def test_published_ports_are_unique_local_and_the_launchers() -> None:
    """No two steps publish one port, none beyond this machine, each under the same variable."""
    published = {}
    for step in STEPS.values():
        for port in step.get("ports", []):
            found = PUBLISHED.fullmatch(port)
            assert found is not None, port
            assert example_variables()[found["name"]] == found["default"]
            assert found["name"] not in published
            published[found["name"]] = found["inside"]
    ports = {name for name in DEFAULTS if name.endswith("_PORT")}
    # The controller speaks inside its container only; who watches is a profile of its own.
    inside = {"OTA_KAFKA_CONTROLLER_PORT", "OTA_GRAFANA_PORT"}
    inside |= {variable for _, _, variable in MONITORING}
    assert ports - inside == set(published) - inside


@pytest.mark.parametrize("service", SERVICES)
def test_health_checks_ask_the_services_own_ops_port(service: str) -> None:
    """The path is one that the ops server has, the port the one that the service is told."""
    (url,) = re.findall(r"http://[^']+", STEPS[service]["healthcheck"]["test"][-1])
    port = STEPS[service]["environment"][f"OTA_{service.upper()}_OPS_PORT"]
    assert f"http://127.0.0.1:{port}/readyz" == url
    ops = (CHECKOUT / "libs" / "runtime" / "ops.py").read_text(encoding="utf-8")
    assert '"/readyz"' in ops


@pytest.mark.parametrize("name", sorted(own_steps()))
def test_a_step_is_told_what_its_service_knows_and_needs(name: str) -> None:
    """No variable that the service does not read, and all that it cannot do without."""
    service, command = own_steps()[name]
    models = settings_classes(service)
    told = {key for key in STEPS[name]["environment"] if key not in shared_variables()}
    assert told <= set().union(*map(variables, models.values()))
    if command == "run":
        assert variables(models["Settings"], required=True) <= told
    for secret, readers in SECRET_READERS.items():
        assert secret not in told or service in readers


def shared_variables() -> set[str]:
    """Return the variables that all steps are told alike, whether they read them or not."""
    return set(COMPOSE["x-shared"])


def test_shared_variables_are_read_by_some_service() -> None:
    """Nothing is told to everybody that nobody reads."""
    assert shared_variables() - TRACING_VARIABLES <= all_service_variables()
    assert set(ENDPOINTS) >= TRACING_VARIABLES


def test_secrets_are_given_to_the_services_that_read_them() -> None:
    """The launcher's table of who reads which secret is that of the services' settings."""
    for secret, readers in SECRET_READERS.items():
        found = {
            service
            for service in SERVICES
            if any(secret in variables(model) for model in settings_classes(service).values())
        }
        assert set(readers) == found, secret


def test_postgres_and_kafka_are_set_as_by_the_launcher() -> None:
    """One truth about durability, time stamps and sizes, in containers and without."""
    command = dict(word.removeprefix("--").split("=", 1) for word in command_options("postgres"))
    # In a container the socket is used by the image's own set-up.
    expected = dict(postgres.SERVER_SETTINGS)
    del expected["unix_socket_directories"]
    assert {name: text.strip() for name, text in expected.items()} == command
    environment = STEPS["kafka"]["environment"]
    for name, text in kafka.SERVER_PROPERTIES.items():
        assert text == environment[f"KAFKA_{name.upper().replace('.', '_')}"], name
    assert f"apache/kafka:{jar_version()}" == STEPS["kafka"]["image"]


def command_options(name: str) -> list[str]:
    """Return the words of a step's command after the program."""
    return list(STEPS[name]["command"][1:])


def test_substituted_variables_are_documented_with_the_same_default() -> None:
    """Whatever the file takes from outside stands in .env.example or among the secrets."""
    example = example_variables()
    for found in SUBSTITUTION.finditer(COMPOSE_TEXT):
        if found["default"] is None:
            assert found["name"] in names()
        else:
            assert found["default"] == example[found["name"]], found["name"]


def test_the_example_documents_every_variable_and_no_other() -> None:
    """What launcher, services and tools read is there; what nobody reads is not."""
    known = {*DEFAULTS, *SERVICE_SECRETS, *TOOL_VARIABLES, *all_service_variables()}
    known |= VERIFIER_VARIABLES | TRACING_VARIABLES
    assert known == set(example_variables())


def test_the_example_changes_nothing_when_it_is_copied() -> None:
    """Its values are the defaults of launcher and services."""
    values = dotenv_values(CHECKOUT / ".env.example", interpolate=False)
    for name, default in DEFAULTS.items():
        assert default == values.pop(name)
    for service in SERVICES:
        for model in settings_classes(service).values():
            for field, info in model.model_fields.items():
                if (text := values.get(f"OTA_{field}".upper())) is not None:
                    assert text == str("" if info.default is None else info.default), field


def test_every_variable_of_the_example_has_a_comment() -> None:
    """Above each variable, or above the group that it stands in, a sentence says what it is."""
    text = (CHECKOUT / ".env.example").read_text(encoding="utf-8")
    for block in re.split(r"\n\n+", text):
        lines = block.splitlines()
        first = next((n for n, line in enumerate(lines) if "OTA_" in line and "=" in line), None)
        if first is not None:
            assert lines[0].startswith("# "), block


def test_the_containers_secrets_are_the_launchers(tmp_path: Path) -> None:
    """The shell script makes the same names, as long, private, and only once."""
    file = tmp_path / "docker.env"
    make = ["sh", str(CHECKOUT / "deploy" / "docker-secrets.sh"), str(file)]
    subprocess.run(make, check=True)
    made = dotenv_values(file)
    assert set(names()) == set(made)
    assert all(re.fullmatch(r"[0-9a-f]{64}", text or "") for text in made.values())
    assert len(made) == len(set(made.values()))
    assert 0o600 == file.stat().st_mode & 0o777
    subprocess.run(make, check=True)
    assert made == dotenv_values(file)
    older = [line for line in file.read_text().splitlines() if "ANCHOR" not in line]
    file.write_text("\n".join(older) + "\n")
    subprocess.run(make, check=True)  # a release that needs a secret more
    added = dotenv_values(file)
    assert {"OTA_ANCHOR_SIGNING_KEY"} == {name for name in made if made[name] != added[name]}
    assert re.fullmatch(r"[0-9a-f]{64}", added["OTA_ANCHOR_SIGNING_KEY"] or "")
