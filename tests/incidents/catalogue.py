"""The ten incidents."""

from __future__ import annotations

from typing import Final

from libs.events.topics import INVENTORY_COMMANDS
from tests.incidents import stages
from tests.incidents.incident import Glance, Incident, Look

OVERVIEW, PIPELINE, STORES = "ota-overview", "ota-pipeline", "ota-datastores"
PARTNER, BUSINESS = "ota-partner", "ota-business"
STATUSES: Final = "Calls by status"


def _alert(name: str) -> Glance:
    return Glance("/alerts", "alerts", f"firing {name} ")


INCIDENTS: Final = (
    Incident(
        number=1,
        title="Broker gone",
        done="kill -9 of Kafka, and nobody starts it again",
        healed="Kafka is started again",
        alert="BrokerUnreachable",
        stage=stages.broker_gone,
        looks=(
            Look(STORES, "Services with a broker"),
            Look(OVERVIEW, STATUSES),
            Look(PIPELINE, "What should not happen", "did not come"),
        ),
        glances=(_alert("BrokerUnreachable"),),
        pictured="",
    ),
    Incident(
        number=2,
        title="Database slow",
        done="each commit of PostgreSQL waits 100 ms for its disk (`commit_delay`)",
        healed="the setting is taken back",
        alert="DatabaseSlow",
        stage=stages.database_slow,
        looks=(
            Look(PIPELINE, "3 Commit, p50 and p99", "p50"),
            Look(PIPELINE, "1 Round trip of a command", "p50"),
            Look(OVERVIEW, "Latency of writes, p99"),
        ),
        glances=(_alert("DatabaseSlow"),),
    ),
    Incident(
        number=3,
        title="One service hangs",
        done="SIGSTOP of fulfillment, which has no standby",
        healed="SIGCONT",
        alert="ServiceDown",
        labels={"job": "fulfillment"},
        stage=stages.service_hung,
        looks=(
            Look(OVERVIEW, "Services up"),
            Look(OVERVIEW, STATUSES),
            Look(PIPELINE, "Orders and tickets", "orders"),
        ),
        glances=(_alert("ServiceDown"), Glance("/services", "services", "unreachable")),
        pictured="/services",
    ),
    Incident(
        number=4,
        title="A partner at 50 times its limit",
        done="harbour, who may make 60 calls a minute, makes 50 a second",
        healed="it stops",
        alert="PartnerFloods",
        labels={"partner_id": "harbour"},
        stage=stages.partner_floods,
        looks=(
            Look(PARTNER, "Calls by outcome", "harbour"),
            Look(PARTNER, "Limit and what is left of it", "harbour"),
            Look(OVERVIEW, STATUSES),
            Look(OVERVIEW, "Latency"),
        ),
        glances=(_alert("PartnerFloods"), Glance("/partners", "partners", "harbour")),
        pictured="/partners",
    ),
    Incident(
        number=5,
        title="Poison record",
        done="a record that nobody can read among the ledger's commands",
        healed="nothing is to be done: the record was put aside at once",
        alert="DeadLetters",
        labels={"topic": INVENTORY_COMMANDS.name},
        stage=stages.poison_record,
        looks=(Look(PIPELINE, "Dead letters"), Look(PIPELINE, "Halted partitions")),
        glances=(_alert("DeadLetters"), Glance("/dead-letters", "letters", "no message")),
        lingers="it tells of the last ten minutes",
        pictured="/dead-letters",
    ),
    Incident(
        number=6,
        title="Disk nearly full",
        done="the disk of PostgreSQL, Kafka and the logs is filled but for 6 %",
        healed="the file is deleted",
        alert="DiskNearlyFull",
        labels={"mountpoint": "{data}"},
        stage=stages.disk_nearly_full,
        looks=(Look(STORES, "Disk left, the fullest"), Look(STORES, "Size on disk", "inventory")),
        glances=(_alert("DiskNearlyFull"),),
    ),
    Incident(
        number=7,
        title="Clock off by five minutes",
        done="one more gateway starts, on a machine that is five minutes behind, and gets calls",
        healed="it is taken out",
        alert="ClockOff",
        labels={"job": "gateway"},
        stage=stages.clock_off,
        looks=(
            Look(STORES, "Clocks against the database's", "gateway"),
            Look(PIPELINE, "What should not happen", "too old"),
            Look(OVERVIEW, STATUSES),
        ),
        glances=(_alert("ClockOff"),),
    ),
    Incident(
        number=8,
        title="Expiry stopped",
        done="a statement of somebody's locks reservations, as a plain CREATE INDEX would",
        healed="the statement is ended",
        alert="ExpiryStopped",
        stage=stages.expiry_stopped,
        looks=(
            Look(BUSINESS, "How late holds expire", "oldest"),
            Look(BUSINESS, "Open holds", "deadline"),
            Look(PIPELINE, "Behind: seconds", "reservation"),
            Look(OVERVIEW, STATUSES),
        ),
        glances=(_alert("ExpiryStopped"), Glance("/holds", "holds", "overdue")),
        pictured="/holds",
    ),
    Incident(
        number=9,
        title="A partner that holds everything",
        done="magpie holds all 1,500 units of product 108 and activates none",
        healed="its holds are cancelled",
        alert="PartnerHoards",
        labels={"partner_id": "magpie"},
        stage=stages.partner_hoards,
        looks=(
            Look(BUSINESS, "Available units", "108 ota"),
            Look(BUSINESS, "Utilisation by product", "108 ota"),
            Look(BUSINESS, "Held units", "108 ota"),
        ),
        glances=(_alert("PartnerHoards"), Glance("", "stock", "Deluxe Tea Set For Two ota")),
        pictured="/holds",
    ),
    Incident(
        number=10,
        title="A fenced zombie",
        done="an owner of partitions is paused, its standby takes over, and it goes on",
        healed="nothing is to be done: its writes were refused",
        alert="FencedWrites",
        labels={"job": "inventory"},
        stage=stages.zombie,
        looks=(
            Look(PIPELINE, "Fenced writes"),
            Look(PIPELINE, "Served partitions"),
            Look(OVERVIEW, STATUSES),
        ),
        glances=(_alert("FencedWrites"), Glance("/services", "services", "inventory ready")),
        lingers="it tells of the last five minutes",
    ),
)
