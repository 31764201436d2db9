"""A broker's user gets another password: what becomes of who is signed in, and who comes later."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError

from deploy.local.kafka import Broker
from deploy.local.ports import free_ports
from deploy.local.settings import load
from deploy.local.stack import provide_tools
from libs.events.kafka.publisher import producer
from tests.support.servers import ServerProcess

pytestmark = pytest.mark.integration

HOST = "127.0.0.1"
TOPIC = "ota.test.users"
USER = "ota-inventory"
MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"


class BrokerWithUsers:
    """A local broker with a second port, where users sign in by SCRAM-SHA-512."""

    def __init__(self, folder: Path) -> None:
        tools = provide_tools(settings=load(process_environment=os.environ), say=print)
        port, controller, self.port = free_ports(count=3)
        self.broker = Broker(
            folder=folder,
            host=HOST,
            connect_host=HOST,
            port=port,
            controller_port=controller,
            heap_mib=256,
            java=tools.java,
            jars=tools.jars,
            log=folder / "kafka.log",
        )
        self.command = self.broker.command(environment=os.environ)
        self.server = ServerProcess(
            "kafka", command=self.command, prepare=self._prepare, probe=self.broker.probe
        )

    def _prepare(self) -> None:
        self.broker.prepare()
        file = self.broker.folder / "server.properties"
        text = file.read_text(encoding="utf-8")
        for name in ("\nlisteners=", "\nadvertised.listeners="):
            text = text.replace(name, f"{name}USERS://{HOST}:{self.port},")
        protocols = "USERS:SASL_PLAINTEXT,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"
        text += f"listener.security.protocol.map={protocols}\n"
        text += "listener.name.users.sasl.enabled.mechanisms=SCRAM-SHA-512\n"
        text += f"listener.name.users.scram-sha-512.sasl.jaas.config={MODULE} required;\n"
        file.write_text(text, encoding="utf-8")

    def change_password(self, password: str) -> None:
        """Do what Strimzi does when the secret of a user is another one."""
        subprocess.run(
            [
                *(str(self.broker.java), "kafka.admin.ConfigCommand"),
                *("--bootstrap-server", self.broker.bootstrap, "--alter"),
                *("--add-config", f"SCRAM-SHA-512=[password={password}]"),
                *("--entity-type", "users", "--entity-name", USER),
            ],
            env=dict(self.command.environment),
            check=True,
            capture_output=True,
            timeout=60,
        )

    def address(self, password: str) -> str:
        """Return what a service is told."""
        return f"scram+plain://{USER}:{password}@{HOST}:{self.port}"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerWithUsers]:
    """A broker of this module's own."""
    made = BrokerWithUsers(tmp_path_factory.mktemp("kafka"))
    made.server.start()
    try:
        made.server.wait_ready()
        yield made
    finally:
        made.server.kill()


async def test_who_is_signed_in_goes_on_and_who_comes_needs_the_new_password(
    broker: BrokerWithUsers,
) -> None:
    """A running service works until it connects anew: roll it soon, but nothing stops at once."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.broker.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, 1, 1)])
    await admin.close()
    broker.change_password("old")
    running = producer(bootstrap=broker.address("old"), client_id="running")
    await running.start()
    await running.send_and_wait(TOPIC, b"before")
    broker.change_password("new")
    await running.send_and_wait(TOPIC, b"after")
    late = producer(bootstrap=broker.address("old"), client_id="late")
    with pytest.raises(KafkaConnectionError):
        await late.start()
    await late.stop()
    rolled = producer(bootstrap=broker.address("new"), client_id="rolled")
    await rolled.start()
    await rolled.send_and_wait(TOPIC, b"rolled")
    await rolled.stop()
    await running.stop()
