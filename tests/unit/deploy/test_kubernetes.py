"""deploy/kubernetes: of the right form, and true to services, launcher and code."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from deploy.kubernetes.access import ACCESS
from deploy.kubernetes.documents import BASE, SETTINGS, documents
from deploy.local.credentials import (
    READER_PASSWORD,
    SECRET_READERS,
    VERIFIER_PASSWORD,
    app_password,
    owner_password,
)
from deploy.local.postgres import SERVER_SETTINGS
from deploy.local.settings import CHECKOUT, DEFAULTS, SERVICES
from libs.events.topics import ALL, PARTITIONS
from libs.runtime.certificates import certificate_files
from libs.runtime.config import ServiceSettings
from libs.runtime.supervise import CLOSE_LIMIT_S, STOP_LIMIT_S
from services.fulfillment.settings import Settings as FulfillmentSettings
from services.gateway.settings import Settings as GatewaySettings
from services.gateway.settings import service_urls
from services.inventory.settings import Settings as InventorySettings
from services.reservation.settings import Settings as ReservationSettings
from tests.support.kustomize import Manifest, build, containers, merged

FOLDER = BASE.parent
VERSION = "1.35"
"""The oldest version of Kubernetes whose schemas are at hand."""
SCHEMAS = {path.stem: json.loads(path.read_text()) for path in (FOLDER / "schemas").glob("*.json")}
MODELS: dict[str, type[ServiceSettings]] = {
    "gateway": GatewaySettings,
    "inventory": InventorySettings,
    "reservation": ReservationSettings,
    "fulfillment": FulfillmentSettings,
}
# What PostgreSQL's operator sets itself, or what is a default that only tests change.
OPERATORS = {"fsync", "unix_socket_directories", "log_line_prefix"}
SIZES = {"shared_buffers", "max_connections"}
PRODUCTION = build(FOLDER / "production")
RESTORE = build(FOLDER / "restore")
BASES = build(BASE)
"""What is not deployed as it is."""
EVERY = [*BASES, *PRODUCTION, *RESTORE]


def find(kind: str, name: str, *, among: list[Manifest] = PRODUCTION) -> Manifest:
    """Return the one manifest of that kind and name."""
    (found,) = (each for each in among if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return found


def deployment(service: str) -> tuple[Manifest, Manifest]:
    """Return a service's pods and their only container."""
    pods = find("Deployment", f"ota-{service}")["spec"]["template"]["spec"]
    (container,) = pods["containers"]
    return pods, container


def check(manifest: Manifest) -> None:
    """Raise what the schemas say against a manifest."""
    if (schema := SCHEMAS.get(manifest["kind"])) is not None:
        jsonschema.Draft202012Validator(schema).validate(manifest)
    else:
        kubernetes_validate.validate(manifest, VERSION, strict=True)


@pytest.mark.parametrize(
    "manifest", EVERY, ids=lambda each: f"{each['kind']}-{each['metadata']['name']}"
)
def test_every_manifest_has_the_form_of_its_kind(manifest: Manifest) -> None:
    """As the schema says, and no field that the schema has not."""
    check(manifest)


@pytest.mark.parametrize(
    ("kind", "name", "path", "value"),
    [
        ("Deployment", "ota-gateway", ("spec", "replicas"), "two"),
        ("Deployment", "ota-gateway", ("spec", "template", "spec", "replica"), 2),
        ("NetworkPolicy", "ota-services", ("spec", "policyTypes"), "Ingress"),
        ("Kafka", "ota", ("spec", "kafka", "authorisation"), {"type": "simple"}),
        ("KafkaUser", "ota-gateway", ("spec", "authentication", "type"), "plain"),
        ("Cluster", "ota-postgres", ("spec", "postgresql", "parameters", "jit"), False),
        ("PodMonitor", "ota-services", ("spec", "podMetricsEndpoint"), []),
        ("Probe", "ota-certificate", ("spec", "targets", "static"), []),
        ("ObjectStore", "ota-backups", ("spec", "retentionPolicy"), "a month"),
    ],
)
def test_the_schemas_refuse_what_is_wrong(
    kind: str, name: str, path: tuple[str, ...], value: object
) -> None:
    """The control of the test above."""
    wrong = deepcopy(find(kind, name))
    place: Any = wrong
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
        check(wrong)


def test_generated_files_are_those_of_the_code() -> None:
    """`make kubernetes` has been run, and the base names each of its files."""
    for name, text in documents().items():
        assert text == (BASE / name).read_text(encoding="utf-8"), f"{name}: run `make kubernetes`"
        assert f"- {name}\n" in (BASE / "kustomization.yaml").read_text(encoding="utf-8")


def test_every_topic_has_three_copies() -> None:
    """All topics of the catalogue and no other, each as the services would make it."""
    topics = {each["metadata"]["name"]: each["spec"] for each in PRODUCTION if is_topic(each)}
    assert {topic.name for topic in ALL} == set(topics)
    for topic in ALL:
        assert topic.partitions == topics[topic.name]["partitions"]
        assert topic.retention_ms == topics[topic.name]["config"]["retention.ms"]
        assert 3 == topics[topic.name]["replicas"]


def is_topic(manifest: Manifest) -> bool:
    """Say whether a manifest is a topic."""
    return str(manifest["kind"]) == "KafkaTopic"


@pytest.mark.parametrize("name", sorted(ACCESS))
def test_users_may_do_what_they_need_and_no_more(name: str) -> None:
    """They read and write by topic; nobody makes or deletes topics, or joins a group."""
    rights = find("KafkaUser", f"ota-{name}")["spec"]["authorization"]["acls"]
    assert {"topic"} == {right["resource"]["type"] for right in rights}
    granted = {operation for right in rights for operation in right["operations"]}
    assert {"Describe", "Read"} | ({"Write"} if ACCESS[name].writes else set()) == granted
    literal = [right for right in rights if right["resource"]["patternType"] == "literal"]
    assert {"Describe"} == {
        operation for right in rights if right not in literal for operation in right["operations"]
    }
    written = {r["resource"]["name"] for r in literal if "Write" in r["operations"]}
    others = {f"ota.{other}.events.v1" for other in SERVICES if other != name}
    assert not written & others, "events are their owner's"


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_told_what_it_knows_and_needs(service: str) -> None:
    """No variable that it does not read, and all that it cannot do without."""
    _, container = deployment(service)
    own = {each["name"] for each in container["env"]}
    told = {name for name in own if name.startswith("OTA_")}
    shared = {name for name in SETTINGS if name.startswith("OTA_")}
    fields = MODELS[service].model_fields
    assert told | shared <= {f"OTA_{name}".upper() for name in fields}
    needed = {f"OTA_{name}".upper() for name, field in fields.items() if field.is_required()}
    assert needed <= told
    for variable, readers in SECRET_READERS.items():
        assert variable not in told or service in readers
    values = " ".join(each.get("value", "") for each in container["env"])
    assert set(re.findall(r"\$\((\w+)\)", values)) <= own
    # An expansion sees only what stands before it.
    seen: set[str] = set()
    for each in container["env"]:
        assert set(re.findall(r"\$\((\w+)\)", each.get("value", ""))) <= seen, each["name"]
        seen.add(each["name"])


def test_the_console_is_told_whom_to_ask() -> None:
    """Every other service at its ops port, through a Service that is there; and Prometheus."""
    told = {each["name"]: each.get("value") for each in deployment("gateway")[1]["env"]}
    urls = service_urls(str(told["OTA_CONSOLE_SERVICES"]))
    assert set(SERVICES) - {"gateway"} == set(urls)
    for service, url in urls.items():
        _, name, port = re.split(r"://|:", url)
        (served,) = find("Service", name)["spec"]["ports"]
        assert (f"ota-{service}", int(port), "ops") == (name, served["port"], served["targetPort"])
        ports = deployment(service)[1]["ports"]
        assert {"name": "ops", "containerPort": int(port)} in ports
    asked = re.fullmatch(r"http://[\w-]+\.([\w-]+):(\d+)", str(told["OTA_PROMETHEUS_URL"]))
    assert asked is not None
    (way,) = find("NetworkPolicy", "ota-gateway")["spec"]["egress"]
    (where,) = way["to"]
    labels = where["namespaceSelector"]["matchLabels"]
    assert {"kubernetes.io/metadata.name": asked[1]} == labels
    assert [{"protocol": "TCP", "port": int(asked[2])}] == way["ports"]


def test_every_process_has_as_many_partitions_as_there_are_topics_for() -> None:
    """One number means the same pools everywhere."""
    assert str(PARTITIONS) == SETTINGS["OTA_PARTITIONS"]


@pytest.mark.parametrize("service", SERVICES)
def test_probes_ask_the_ops_port_and_there_is_time_to_end(service: str) -> None:
    """Paths that the ops server has, its port, and more time than a process takes at most."""
    pods, container = deployment(service)
    ops = next(each["containerPort"] for each in container["ports"] if each["name"] == "ops")
    assert DEFAULTS[f"OTA_{service.upper()}_OPS_PORT"] == str(ops)
    paths = {probe: container[f"{probe}Probe"]["httpGet"] for probe in ("startup", "liveness")}
    assert {"path": "/startupz", "port": "ops"} == paths["startup"]
    assert {"path": "/livez", "port": "ops"} == paths["liveness"]
    assert {"path": "/readyz", "port": "ops"} == container["readinessProbe"]["httpGet"]
    slept = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert pods["terminationGracePeriodSeconds"] >= slept + STOP_LIMIT_S + CLOSE_LIMIT_S


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_survives_the_loss_of_a_node(service: str) -> None:
    """Two processes at least, apart from each other, and never both taken away at once."""
    made = find("Deployment", f"ota-{service}")["spec"]
    assert made["replicas"] >= 2
    assert made["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    spread = made["template"]["spec"]["topologySpreadConstraints"]
    labels = made["template"]["metadata"]["labels"]
    budget = find("PodDisruptionBudget", f"ota-{service}")["spec"]
    assert 1 == budget["maxUnavailable"]
    selectors = [each["labelSelector"] for each in spread] + [made["selector"], budget["selector"]]
    assert all(each["matchLabels"].items() <= labels.items() for each in selectors)
    assert {"kubernetes.io/hostname", "topology.kubernetes.io/zone"} == {
        each["topologyKey"] for each in spread
    }


def test_every_container_is_confined() -> None:
    """Nobody is root, nobody writes to the image, memory has a limit, images have exact tags."""
    made = [each for each in EVERY if containers(each)]
    assert len(made) > 8
    for manifest in made:
        pods = manifest["spec"]["template"]["spec"]
        assert pods["securityContext"]["runAsNonRoot"]
        assert {"type": "RuntimeDefault"} == pods["securityContext"]["seccompProfile"]
        assert pods["automountServiceAccountToken"] is False
        volumes = {each["name"] for each in pods["volumes"]}
        for each in containers(manifest):
            assert each["securityContext"]["readOnlyRootFilesystem"]
            assert ["ALL"] == each["securityContext"]["capabilities"]["drop"]
            assert each["securityContext"]["allowPrivilegeEscalation"] is False
            assert {"memory"} == set(each["resources"]["limits"])
            assert {"memory", "cpu"} == set(each["resources"]["requests"])
            assert {mount["name"] for mount in each["volumeMounts"]} == volumes
            if manifest not in BASES:
                assert re.search(r":v?\d+\.\d+", each["image"]), each["image"]


def referred(value: Any) -> set[tuple[str, str]]:
    """Return every key of a secret that is named anywhere in a manifest."""
    found: set[tuple[str, str]] = set()
    if isinstance(value, list):
        for each in value:
            found |= referred(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name in {"secretKeyRef", "accessKeyId", "secretAccessKey"}:
                found.add((each["name"], each["key"]))
            elif name == "secret" and "items" in each:
                found |= {(each["secretName"], item["key"]) for item in each["items"]}
            elif name == "secretName" and "items" not in value:
                found |= {(each, "tls.crt"), (each, "tls.key")}
            else:
                found |= referred(each)
    return found


def test_secrets_are_referred_to_and_documented() -> None:
    """No manifest holds one; what is named stands in the list, and what is listed is named."""
    assert not [each for each in EVERY if each["kind"] == "Secret"]
    named = referred(PRODUCTION)
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([\w-]+)` \| (.*?) \|", readme, flags=re.MULTILINE))
    operators = {"ota-kafka-cluster-ca-cert", "ota-postgres-superuser"}
    operators |= {f"ota-{service}" for service in SERVICES}
    assert set(rows) == {secret for secret, _ in named} - operators
    for secret, key in named:
        if secret in rows and secret != "ota-database-passwords":
            assert f"`{key}`" in rows[secret]
    passwords = {key for secret, key in named if secret == "ota-database-passwords"}
    expected = {
        function(service=s) for s in SERVICES for function in (owner_password, app_password)
    }
    assert expected | {READER_PASSWORD, VERIFIER_PASSWORD} == passwords


@pytest.mark.parametrize("name", ["ota-postgres", "ota-postgres-restored"])
def test_postgresql_is_set_as_by_the_launcher(name: str) -> None:
    """One truth about durability and time limits; sizes are the cluster's own."""
    cluster = find("Cluster", name, among=[*PRODUCTION, *RESTORE])["spec"]
    parameters = cluster["postgresql"]["parameters"]
    for setting, text in SERVER_SETTINGS.items():
        if setting not in OPERATORS | SIZES:
            assert text == parameters[setting], setting
    assert "required" == cluster["postgresql"]["synchronous"]["dataDurability"]
    assert cluster["instances"] >= 3
    assert cluster["plugins"][0]["isWALArchiver"]


def test_network_policies_name_pods_that_exist() -> None:
    """Each of our pods is chosen by a policy that lets it out."""
    policy = find("NetworkPolicy", "ota-services")["spec"]["podSelector"]["matchExpressions"]
    names = next(each["values"] for each in policy if each["key"] == "app.kubernetes.io/name")
    own = find("NetworkPolicy", "ota-certificate-probe")["spec"]
    assert {"Ingress", "Egress"} == set(own["policyTypes"])
    names = [*names, own["podSelector"]["matchLabels"]["app.kubernetes.io/name"]]
    pods = {
        each["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"]
        for each in [*PRODUCTION, *RESTORE]
        if containers(each)
    }
    assert pods == set(names)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_tells_of_the_certificates_that_it_is_given(service: str) -> None:
    """Every file of authorities that is mounted is one that its addresses name."""
    pods, container = deployment(service)
    told = {each["name"]: each.get("value", "") for each in container["env"]}
    addresses = "\n".join(text for text in told.values() if "://" in text)
    (authorities,) = (each for each in pods["volumes"] if each["name"] == "kafka-ca")
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == "kafka-ca")
    for item in authorities["secret"]["items"]:
        assert f"ca={mount['mountPath']}/{item['path']}" in addresses
    settings = ServiceSettings(kafka_bootstrap=told["OTA_KAFKA_BOOTSTRAP"])
    assert ("/kafka/ca.crt",) == certificate_files(settings)


def test_the_public_certificate_is_asked_for() -> None:
    """At the way in's host, by a module and a Service that are there, by whoever may."""
    probe = find("Probe", "ota-certificate")["spec"]
    hosts = [host for tls in find("Ingress", "ota-gateway")["spec"]["tls"] for host in tls["hosts"]]
    assert [f"{host}:443" for host in hosts] == probe["targets"]["staticConfig"]["static"]
    asked, _, port = probe["prober"]["url"].partition(":")
    name, _, namespace = asked.partition(".")
    service = find("Service", name)
    assert namespace == service["metadata"]["namespace"]
    assert [int(port)] == [each["port"] for each in service["spec"]["ports"]]
    config = yaml.safe_load(find("ConfigMap", name)["data"]["blackbox.yml"])
    assert probe["module"] in config["modules"]
    (way,) = find("NetworkPolicy", name)["spec"]["ingress"]
    assert [{"protocol": "TCP", "port": int(port)}] == way["ports"]
    pods = find("Deployment", name)["spec"]["template"]
    assert service["spec"]["selector"].items() <= pods["metadata"]["labels"].items()


def test_the_resolver_merges_as_kustomize_does() -> None:
    """Named entries are merged and new ones come first; other lists are replaced."""
    old = {"env": [{"name": "a", "value": "1"}], "args": ["run"], "kept": True}
    new = {"env": [{"name": "b", "value": "2"}, {"name": "a", "value": "3"}], "args": ["stop"]}
    expected = {
        "env": [{"name": "b", "value": "2"}, {"name": "a", "value": "3"}],
        "args": ["stop"],
        "kept": True,
    }
    assert expected == merged(old, new)


def test_the_documents_are_there() -> None:
    """What the manifests refer to exists; the rules' own tests see to theirs."""
    for path in FOLDER.rglob("*"):
        if path.suffix in {".yaml", ".md"} and path.name != "rules.yaml":
            for name in re.findall(r"docs/([\w-]+\.md)", path.read_text(encoding="utf-8")):
                assert (CHECKOUT / "docs" / name).exists(), (path, name)
