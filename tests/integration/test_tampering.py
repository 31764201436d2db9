"""A real system is exported and verified; then a superuser falsifies its databases, row by row."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from ota_verify.exporting import export
from ota_verify.files import ExportFolder
from ota_verify.verifying import Options, Report, verify
from tests.support.deciders import Deciders
from tests.support.ledger import DECIDING
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

RECHAIN = """
DO $$
DECLARE
    previous bytea := decode(repeat('00', 32), 'hex');
    e record;
BEGIN
    FOR e IN SELECT * FROM event WHERE partition = {partition} ORDER BY seq LOOP
        UPDATE event SET previous_hash = previous,
               hash = sha256(previous || convert_to(concat_ws(E'\\n', '{service}',
                   e.generation || '-' || e.partition || '-' || e.seq, e.type, e.version, e.subject,
                   to_char(e.decided_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')
                   || '+00:00', e.meta, e.data), 'UTF8'))
         WHERE partition = e.partition AND seq = e.seq RETURNING hash INTO previous;
    END LOOP;
    UPDATE partition_head SET hash = previous WHERE partition = {partition};
    UPDATE recorded_answer a
       SET evidence = split_part(a.evidence, '.', 1) || '.' || encode(f.hash, 'base64')
      FROM event f
     WHERE f.generation || '-' || f.partition || '-' || f.seq = split_part(a.evidence, '.', 1);
END
$$;
"""
STATEMENTS = {
    "inventory": """
        UPDATE event SET data = replace(data, '1', '2') WHERE (partition, seq) = (0, 3);

        UPDATE event SET meta = replace(meta, 'key_id":"', 'key_id":"x') WHERE seq = 3;

        UPDATE event SET subject = subject || 'x' WHERE (partition, seq) = (0, 3);

        UPDATE event SET epoch = epoch + 1 WHERE (partition, seq) = (0, 3);

        UPDATE event SET version = 2 WHERE (partition, seq) = (0, 3);

        UPDATE event SET decided_at = decided_at + interval '1 microsecond' WHERE seq = 3;

        UPDATE event SET hash = sha256(hash) WHERE (partition, seq) = (0, 3);

        UPDATE event SET previous_hash = sha256(previous_hash) WHERE (partition, seq) = (0, 3);

        DELETE FROM event WHERE (partition, seq) = (0, 3);

        TRUNCATE event;

        UPDATE event SET seq = -seq WHERE seq IN (3, 4) AND partition = 0;
        UPDATE event SET seq = 7 + seq WHERE seq < 0;

        DELETE FROM event WHERE partition = 0 AND seq > 4;
        UPDATE partition_head h SET seq = e.seq, hash = e.hash FROM event e
         WHERE (e.partition, e.seq) = (0, 4) AND h.partition = 0;

        UPDATE partition_head h SET seq = e.seq, hash = e.hash FROM event e
         WHERE (e.partition, e.seq) = (0, 4) AND h.partition = 0;

        UPDATE partition_head SET hash = sha256(hash) WHERE partition = 0;

        UPDATE pool SET allotted = allotted + 1 WHERE partition = 0;

        UPDATE pool SET allotted = allotted + 1, held = held + 1 WHERE partition = 0;

        UPDATE hold SET status = 'released' WHERE status = 'sold';

        UPDATE recorded_answer SET answer = replace(answer, 'quantity":1', 'quantity":2');

        DELETE FROM recorded_answer WHERE type = 'ota.answer.hold_placed';

        UPDATE anchor SET hash = sha256(hash);

        DELETE FROM anchor;

        UPDATE event SET meta = replace(meta, 'request_id":"', 'request_id":"x')
         WHERE (partition, seq) = (0, 3);
        RECHAIN
    """,
    "reservation": """
        UPDATE reservation SET order_id = 'ORD-' || order_id WHERE order_id IS NOT NULL;

        UPDATE reservation SET ledger_seq = ledger_seq + 1000;

        DELETE FROM reservation WHERE status = 'active';

        INSERT INTO reservation
        SELECT (jsonb_populate_record(r, jsonb_build_object('reservation_id', reservation_id || 'X',
                                                            'ledger_seq', ledger_seq + 1000))).*
          FROM reservation r WHERE status = 'active';

        UPDATE reservation SET ended_at = ended_at + interval '1 second';

        UPDATE numbering SET orders = orders - 1;

        UPDATE reservation_count SET reservations = reservations + 1;

        DELETE FROM event WHERE type = 'ota.reservation.reservation_cancelled';
    """,
    "fulfillment": """
        DELETE FROM ticket WHERE position = 0;

        UPDATE ticket SET qr_token = qr_token || 'A';

        UPDATE customer_order SET total_minor = 1;

        INSERT INTO ticket
        SELECT partition, ticket_code || '0', order_id, 99, qr_token, customer_type, status
          FROM ticket WHERE position = 0;

        UPDATE customer_order SET customer = replace(customer, 'key_id":"', 'key_id":"x');

        TRUNCATE customer_order;
    """,
}
"""By database, with an empty line between two falsifications; each is made in a copy of its own."""

TAMPERINGS = [
    (service, text.replace("RECHAIN", RECHAIN.format(partition=0, service=service)))
    for service, block in STATEMENTS.items()
    for text in block.split("\n\n")
]
REWRITTEN = next(pair for pair in TAMPERINGS if "DO $$" in pair[1])


class Base:
    """An export of a system that stands still, and copies of its databases to falsify."""

    def __init__(self, deciders: Deciders, folder: Path) -> None:
        self.deciders = deciders
        self.folder = folder
        self.dsns = {
            service: deciders.env[f"OTA_{service.upper()}_VERIFY_DSN"] for service in DECIDING
        }
        self.suffix = self.dsns["inventory"].rpartition("/ota_inventory")[2]
        self.export = folder / "export"
        self.report: Report | None = None

    async def exported(self) -> Report:
        """Export all of it, topics included."""
        bootstrap = self.deciders.stack.broker.bootstrap
        await export(self.export, dsns=self.dsns, bootstrap=bootstrap, progress=quiet)
        return verify(ExportFolder(self.export))

    async def falsified(self, service: str, statements: str, name: str) -> Report:
        """Export it with one database falsified by a superuser, and verify that."""
        cluster, copy = self.deciders.stack.cluster, f"_{name}"
        cluster.create_databases(services=[service], suffix=copy, template_suffix=self.suffix)
        try:
            cluster.run_sql(script=statements, database=f"ota_{service}{copy}")
            dsn = self.dsns[service].removesuffix(self.suffix) + copy
            folder = self.folder / name
            dsns = {**self.dsns, service: dsn}
            await export(folder, dsns=dsns, bootstrap=None, progress=quiet)
        finally:
            cluster.drop_databases(services=[service], suffix=copy)
        for path in self.export.glob("topics.*"):
            (folder / path.name).symlink_to(path)
        return verify(ExportFolder(folder))


def quiet(what: str, rows: int) -> None:
    """Say nothing of progress."""


@pytest_asyncio.fixture(scope="module")
async def base(
    all_deciders: Deciders, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Base]:
    """A system that has sold, released and expired; anchored by owners that came after."""
    deciders = all_deciders
    deciders.fresh()
    async with deciders.partner() as partner:
        stock = await partner.open_pool(units=30)
        other = await partner.open_pool(units=5, partition=1)
        for quantity in (1, 2, 3):
            await partner.ordered(stock, quantity=quantity)
            held = await partner.held(stock, quantity=quantity)
            await partner.insist(partner.cancel(held.reservation_id))
        await partner.insist(partner.hold(other, quantity=50))
        await partner.cap(stock, units=20)
        await partner.held(stock)
        soon = datetime.now(UTC) + timedelta(seconds=1)
        await partner.insist(partner.hold(stock, expires_at=soon))
        await deciders.audit(partner)
    for name in DECIDING:
        deciders.processes[name].stop()
    deciders.ensure()  # new owners anchor what they find
    made = Base(deciders, tmp_path_factory.mktemp("tampering"))
    await eventually(lambda: anchored(made.dsns), what="anchors")
    for name in DECIDING:
        deciders.processes[name].stop()
    made.report = await made.exported()
    yield made
    deciders.ensure()


async def anchored(dsns: dict[str, str]) -> bool:
    """Say whether every head is anchored."""
    for dsn in dsns.values():
        connection = await asyncpg.connect(dsn)
        try:
            missing = await connection.fetchval(
                "SELECT count(*) FROM partition_head h WHERE seq > 0 AND NOT EXISTS"
                " (SELECT FROM anchor a WHERE (a.partition, a.seq) = (h.partition, h.seq))"
            )
        finally:
            await connection.close()
        if missing:
            return False
    return True


async def test_a_real_system_is_sound(base: Base) -> None:
    """Exported with the verifier's own role: databases, topics, anchors."""
    report = base.report
    assert report is not None
    assert [] == report.findings.kept
    assert min(report.events.values()) >= 3
    assert (report.pins > 6, report.records >= sum(report.events.values())) == (True, True)


async def test_what_a_superuser_falsifies_is_detected(base: Base) -> None:
    """Edits, deletions, swaps, cut tails, old heads, entity tables, anchors, chains made anew."""
    missed = []
    for number, (service, statements) in enumerate(TAMPERINGS):
        report = await base.falsified(service, statements, f"x{number}")
        if report.sound:
            missed.append(statements)
    assert [] == missed


async def test_a_falsification_that_changes_nothing_is_none(base: Base) -> None:
    """Control: the same way through a copy, without a change, is sound."""
    for service in DECIDING:
        statement = "UPDATE partition_head SET seq = seq;"
        report = await base.falsified(service, statement, f"same_{service}")
        assert [] == report.findings.kept


async def test_without_anchors_a_chain_made_anew_is_missed(base: Base) -> None:
    """Control: the databases alone cannot show it."""
    await base.falsified(*REWRITTEN, "control")
    folder = ExportFolder(base.folder / "control")
    assert verify(folder, Options(anchors=False, topics=False)).sound
    assert not verify(folder, Options(topics=False)).sound
