"""The command ``ota-verify``: export a system, verify an export, or both at once."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from ota_verify.exporting import export
from ota_verify.files import DECIDING, ExportError, ExportFolder
from ota_verify.findings import CHECKS
from ota_verify.verifying import Options, Report, verify

SERVICES = (*DECIDING, "gateway")
SHOWN_MAX = 20
DESCRIPTION = """\
Verifies a system from its stored rows alone: hash chains, signed heads, conservation of units,
exactly-once, tables against a replay of the events, topics against the ledgers. Shares no code
with the services.
"""
EPILOG = """\
Addresses come from OTA_<SERVICE>_VERIFY_DSN and OTA_KAFKA_BOOTSTRAP, or from --dsn and
--bootstrap. Exit code 0: nothing is wrong; 1: something is; 2: it could not be verified.
"""


class Usage(Exception):
    """What was asked for cannot be done; the message says why."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; raises SystemExit with its exit code."""
    parsed = _parser().parse_args(arguments)
    try:
        code = int(parsed.run(parsed))
    except (Usage, ExportError, OSError) as error:
        _say(f"ota-verify: {error}")
        code = 2
    except Exception as error:  # drivers have errors of many kinds: all mean "not verified"
        _say(f"ota-verify: {type(error).__name__}: {error}")
        code = 2
    raise SystemExit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ota-verify",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    making = commands.add_parser("export", help="write everything that is verified to a folder")
    making.add_argument("folder", type=Path, help="a folder that is empty or not there")
    _add_addresses(making)
    making.set_defaults(run=_export)
    system = commands.add_parser("system", help="export a running system and verify it")
    system.add_argument("--keep", type=Path, metavar="DIR", help="keep the export here")
    _add_addresses(system)
    _add_options(system)
    system.set_defaults(run=_system)
    exported = commands.add_parser("exported", help="verify an export")
    exported.add_argument("folder", type=Path, help="what `ota-verify export` has written")
    _add_options(exported)
    exported.set_defaults(run=_exported)
    return parser


def _add_addresses(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dsn",
        action="append",
        default=[],
        metavar="SERVICE=ADDRESS",
        help="where a service's database is, for a role that may read all of it",
    )
    parser.add_argument(
        "--bootstrap",
        metavar="HOST:PORT",
        help="a Kafka broker, or scram://USER:PASSWORD@HOST:PORT",
    )
    parser.add_argument("--no-topics", action="store_true", help="leave Kafka alone")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keys",
        action="append",
        default=[],
        metavar="FILE|URL",
        help="public anchor keys that you got otherwise, such as a service's /anchor-keys",
    )
    parser.add_argument(
        "--receipts",
        type=Path,
        metavar="FILE",
        help="receipts that partners kept, one OTA-Receipt a line",
    )
    parser.add_argument(
        "--restored",
        type=int,
        action="append",
        default=[],
        metavar="GENERATION",
        help="a generation that a restore has ended: what it had beyond is gone rightly",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def _addresses(parsed: argparse.Namespace) -> tuple[dict[str, str], str | None]:
    dsns = {
        service: address
        for service in SERVICES
        if (address := os.environ.get(f"OTA_{service.upper()}_VERIFY_DSN"))
    }
    for text in parsed.dsn:
        service, _, address = text.partition("=")
        if service not in SERVICES or not address:
            raise Usage(f"--dsn takes SERVICE=ADDRESS, with one of {', '.join(SERVICES)}")
        dsns[service] = address
    missing = [service for service in DECIDING if service not in dsns]
    if missing:
        names = ", ".join(f"OTA_{service.upper()}_VERIFY_DSN" for service in missing)
        raise Usage(f"no address of {', '.join(missing)}: set {names}, or give --dsn")
    if parsed.no_topics:
        return dsns, None
    bootstrap = parsed.bootstrap or os.environ.get("OTA_KAFKA_BOOTSTRAP")
    if not bootstrap:
        raise Usage("no address of Kafka: set OTA_KAFKA_BOOTSTRAP, or give --bootstrap")
    return dsns, str(bootstrap)


def _options(parsed: argparse.Namespace) -> Options:
    keys: dict[str, bytes] = {}
    for source in parsed.keys:
        keys |= read_keys(source)
    receipts: tuple[str, ...] = ()
    if parsed.receipts is not None:
        receipts = tuple(parsed.receipts.read_text(encoding="utf-8").split())
    return Options(
        keys=keys if parsed.keys else None,
        receipts=receipts,
        restored=frozenset(parsed.restored),
    )


def read_keys(source: str) -> Mapping[str, bytes]:
    """Return the public keys of a file or an ops port's page; raises OSError, Usage."""
    if source.startswith(("http://", "https://")):
        with urllib.request.urlopen(source, timeout=5) as page:
            text = page.read().decode()
    else:
        text = Path(source).read_text(encoding="utf-8")
    try:
        return {key["key_id"]: bytes.fromhex(key["public_key"]) for key in json.loads(text)["keys"]}
    except (ValueError, KeyError, TypeError) as error:
        raise Usage(f"{source} has no keys as /anchor-keys shows them") from error


def _export(parsed: argparse.Namespace) -> int:
    dsns, bootstrap = _addresses(parsed)
    asyncio.run(export(parsed.folder, dsns=dsns, bootstrap=bootstrap, progress=Lines()))
    _say(f"exported to {parsed.folder}")
    return 0


def _system(parsed: argparse.Namespace) -> int:
    dsns, bootstrap = _addresses(parsed)
    options = _options(parsed)
    with tempfile.TemporaryDirectory(prefix="ota-verify-") as scratch:
        folder = parsed.keep or Path(scratch)
        asyncio.run(export(folder, dsns=dsns, bootstrap=bootstrap, progress=Lines()))
        return _told(verify(ExportFolder(folder), options, progress=Lines()), json=parsed.json)


def _exported(parsed: argparse.Namespace) -> int:
    report = verify(ExportFolder(parsed.folder), _options(parsed), progress=Lines())
    return _told(report, json=parsed.json)


class Lines:
    """Tells of long work on the error stream, at most once a second."""

    def __init__(self) -> None:
        self._told_at = time.monotonic()

    def __call__(self, what: str, rows: int) -> None:
        """Say how many rows of something were handled."""
        if time.monotonic() - self._told_at >= 1:
            self._told_at = time.monotonic()
            _say(f"{what}: {rows:,} rows")


def _told(report: Report, *, json: bool) -> int:
    sys.stdout.write(as_json(report) if json else as_text(report))
    return 0 if report.sound else 1


def as_json(report: Report) -> str:
    """Return a report for programs."""
    return json.dumps(report.as_json(), indent=1, ensure_ascii=False) + "\n"


def as_text(report: Report) -> str:
    """Return a report for people: each check on a line, then what is wrong."""
    findings = report.findings
    lines = []
    for check, meaning in CHECKS.items():
        count = findings.counts[check]
        lines.append(f"{'✓' if not count else '✗'} {check:<13} {meaning}" + _times(count))
    lines.append("")
    events = sum(report.events.values())
    services = ", ".join(f"{name} {count:,}" for name, count in report.events.items())
    lines.append(f"{events:,} events ({services}), {report.records:,} published records")
    lines.append(f"{report.pins:,} anchors and receipts, {report.rows:,} rows in all")
    if report.units:
        units = ", ".join(f"{name} {count:,}" for name, count in report.units.items())
        lines.append(f"units: {units}")
    lines.append(f"{report.seconds:.1f} s, {events / max(report.seconds, 1e-9):,.0f} events/s")
    lines += [f"note: {note}" for note in findings.notes]
    first = findings.first()
    if first is None:
        return "\n".join([*lines, "Nothing is wrong.", ""])
    lines += ["", f"First: {first.place()}: {first.text}", ""]
    for each in findings.kept[:SHOWN_MAX]:
        lines.append(f"  {each.check:<13} {each.place()}: {each.text}")
    more = findings.counts.total() - min(len(findings.kept), SHOWN_MAX)
    if more > 0:
        lines.append(f"  ... and {more} more")
    return "\n".join([*lines, ""])


def _times(count: int) -> str:
    return f": {count} found" if count else ""


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
