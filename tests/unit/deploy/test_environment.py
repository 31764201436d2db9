"""What the services are told: everything they need, and nothing that only others may know."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.credentials import load_or_make, names
from deploy.local.plan import (
    Plan,
    console_environment,
    ops_addresses,
    own_environment,
    service_environment,
)
from deploy.local.settings import CHECKOUT, SERVICES, parse
from deploy.local.stack import Stack, Tools
from services.gateway.settings import service_urls

GIVEN = {
    "PATH": "/bin",
    "OTA_KAFKA_PORT": "19092",
    "OTA_POSTGRES_PORT": "15433",
    "OTA_PARTNER_PORT": "18080",
    "OTA_KAFKA_BOOTSTRAP": "elsewhere:1",
    "OTA_INVENTORY_DSN": "postgresql://elsewhere/db",
    "OTA_MASTER_KEY": "ab" * 32,
    "OTA_LOG_LEVEL": "DEBUG",
    "OTA_KILL_AT": "",
}


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """Return a stack in the test's folder; nothing of it is started."""
    return Stack(parse(environment={**GIVEN, "OTA_DATA_DIR": str(tmp_path)}, checkout=tmp_path))


@pytest.fixture
def plan(stack: Stack, tmp_path: Path) -> Plan:
    """Return the plan of that stack."""
    return stack.make_plan(
        tools=Tools(postgres_binaries=tmp_path, java=tmp_path / "java", jars=tmp_path)
    )


def test_our_servers_and_given_secrets_win(stack: Stack, plan: Plan) -> None:
    """Addresses are those of the servers that we start; a secret set outside is kept."""
    environment = service_environment(
        settings=stack.settings,
        secrets_by_name=load_or_make(file=stack.secrets_file),
        cluster=plan.cluster,
        broker=plan.broker,
        ops=ops_addresses(stack.settings),
    )
    assert "127.0.0.1:19092" == environment["OTA_KAFKA_BOOTSTRAP"]
    assert environment["OTA_INVENTORY_DSN"].endswith("@127.0.0.1:15433/ota_inventory")
    assert "ab" * 32 == environment["OTA_MASTER_KEY"]
    assert "18080" == environment["OTA_PARTNER_PORT"]
    assert "9103" == environment["OTA_RESERVATION_OPS_PORT"]
    assert "DEBUG" == environment["OTA_LOG_LEVEL"]
    assert "OTA_KILL_AT" not in environment


def test_the_console_asks_every_process_and_prometheus() -> None:
    """All but the spare ones, which are there during a rolling restart only."""
    settings = parse(environment={"OTA_INSTANCES_INVENTORY": "2"}, checkout=CHECKOUT)
    ops = ops_addresses(settings)
    assert ["inventory", "inventory-2", "inventory-3"] == list(ops["inventory"])
    told = console_environment(settings=settings, ops=ops)
    assert {
        "inventory": "http://127.0.0.1:9102",
        "inventory-2": f"http://127.0.0.1:{ops['inventory']['inventory-2'].port}",
        "reservation": "http://127.0.0.1:9103",
        "fulfillment": "http://127.0.0.1:9104",
    } == service_urls(told["OTA_CONSOLE_SERVICES"])
    assert "http://127.0.0.1:9090" == told["OTA_PROMETHEUS_URL"]
    alone = parse(environment={"OTA_MONITORING": "0"}, checkout=CHECKOUT)
    assert not console_environment(settings=alone, ops=ops)["OTA_PROMETHEUS_URL"]


def test_no_service_gets_the_credentials_of_another(plan: Plan) -> None:
    """A running service knows its own application role and the reader, and no owner."""
    for step in plan.services:
        told = step.command.environment
        service = Path(step.command.argv[0]).name.removeprefix("ota-")
        own = {f"OTA_{service.upper()}_DSN"}
        if step.name.startswith("migrate-"):
            own.add(f"OTA_{service.upper()}_OWNER_DSN")
        dsns = {name for name in told if name.endswith("_DSN") and not name.endswith("_READ_DSN")}
        assert own == dsns
        assert "OTA_POSTGRES_PASSWORD" not in told


def test_only_the_gateway_can_unwrap_personal_data() -> None:
    """The master key is hidden from every other service."""
    environment = {"OTA_MASTER_KEY": "x", "PATH": "/bin"}
    readers = [
        name
        for name in SERVICES
        if "OTA_MASTER_KEY" in own_environment(environment=environment, service=name, owner=True)
    ]
    assert ["gateway"] == readers


def test_every_step_waits_only_for_steps_that_exist(plan: Plan) -> None:
    """No dependency is misspelt, and each server is stopped exactly once, callers first."""
    known = {step.name for step in plan.services}
    assert all(set(step.after) <= known for step in plan.services)
    stopped = [name for wave in plan.stop_order for name in wave]
    # Also what is there only during a rolling restart.
    further = {steps[-1].name for steps in plan.instances.values()}
    expected = {*known, *further, *(step.name for step in plan.infrastructure)}
    assert sorted(stopped) == sorted(expected)
    assert stopped.index("gateway") < stopped.index("inventory") < stopped.index("kafka")
    assert "postgres" == stopped[-1]


def test_each_process_of_a_service_has_an_ops_port_of_its_own(plan: Plan) -> None:
    """All gateways share the partner port; one process more is there for rolling restarts."""
    for service, steps in plan.instances.items():
        ports = [step.command.environment[f"OTA_{service.upper()}_OPS_PORT"] for step in steps]
        assert [service, f"{service}-2"] == [step.name for step in steps]
        assert len(steps) == len(set(ports))
        shared = {id(step.listening) for step in steps}
        assert 1 == len(shared)
        assert (service == "gateway") == (steps[0].listening is not None)
    assert not {steps[-1].name for steps in plan.instances.values()} & {
        step.name for step in plan.services
    }


def test_secrets_are_made_once_and_only_for_their_owner(tmp_path: Path) -> None:
    """A second call gives the same secrets; nobody else may read the file."""
    file = tmp_path / "secrets.env"
    made = load_or_make(file=file)
    assert set(names()) == set(made)
    assert len(made) == len(set(made.values()))
    assert all(64 == len(text) for text in made.values())
    assert 0o600 == file.stat().st_mode & 0o777
    assert made == load_or_make(file=file)


def test_a_secret_that_is_new_joins_those_that_are_kept(tmp_path: Path) -> None:
    """A file of an older checkout gains what it lacks and loses nothing."""
    file = tmp_path / "secrets.env"
    file.write_text("OTA_MASTER_KEY=kept\n", encoding="ascii")
    assert "kept" == load_or_make(file=file)["OTA_MASTER_KEY"]
    assert "kept" == load_or_make(file=file)["OTA_MASTER_KEY"]
