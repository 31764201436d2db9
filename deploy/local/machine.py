"""What the machine has to have (PostgreSQL, Java, Maven), where it is, and how it is got when it is
missing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local.processes import tail

POSTGRES_VERSION_MIN: Final = 15
JAVA_VERSION_MIN: Final = 17
_CLUSTER_CONF: Final = Path("/etc/postgresql-common/createcluster.conf")
_UNITS: Final = Path("/etc/systemd/system")
_INSTALL_TIMEOUT_S: Final = 900
# Packages whose own servers Debian starts at once; ours are started by the launcher.
_WITH_SERVERS: Final = ("prometheus", "prometheus-alertmanager", "prometheus-node-exporter")


# Otherwise written pages wait up to 30 s, and flushes then for all of them (docs/sizing.md).
STEADY_DISK: Final = {"vm.dirty_background_bytes": 8_388_608, "vm.dirty_writeback_centisecs": 50}
_KERNEL: Final = Path("/proc/sys")


class MachineError(Exception):
    """The machine lacks something; the message says what, and the exact command that gets it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked for: where it is, or what is wrong and which Debian package mends it."""

    name: str
    package: str
    place: Path | None
    problem: str = ""


def find_postgres(*, configured: Path | None) -> Finding:
    """Look for PostgreSQL's server binaries; the place is their folder.

    Raises MachineError if they are not in the folder that was configured: nothing that could be
    installed would mend that.
    """
    wrong = f"PostgreSQL {POSTGRES_VERSION_MIN} or later (server binaries) not found"
    for folder in [configured] if configured else _postgres_folders():
        if not all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb", "psql")):
            continue
        version = postgres_major(binaries=folder)
        if version >= POSTGRES_VERSION_MIN:
            return Finding(f"PostgreSQL {version}", "postgresql", folder)
        wrong = f"PostgreSQL {version} is too old: {POSTGRES_VERSION_MIN} or later is needed"
    if configured:
        raise MachineError(f"{wrong} in {configured}, which OTA_POSTGRES_BIN names")
    return Finding("PostgreSQL", "postgresql", None, wrong)


def _postgres_folders() -> Iterator[Path]:
    # Debian keeps each version apart and off the PATH.
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(debian, key=lambda path: _number(path.parent.name), reverse=True)
    if binary := shutil.which("postgres"):
        yield Path(binary).resolve().parent


def postgres_major(*, binaries: Path) -> int:
    """Return the major version of the PostgreSQL in a folder; 0 if it does not say."""
    return _version(argv=[str(binaries / "postgres"), "--version"], pattern=r"(\d+)")


def find_java(*, java_home: str | None) -> Finding:
    """Look for a Java run time that is new enough for the broker."""
    candidates = [Path(java_home) / "bin" / "java"] if java_home else []
    if on_path := shutil.which("java"):
        candidates.append(Path(on_path))
    wrong = f"a Java {JAVA_VERSION_MIN} or later run time not found"
    for java in candidates:
        version = _version(argv=[str(java), "-version"], pattern=r'version "(\d+)')
        if version >= JAVA_VERSION_MIN:
            return Finding(f"Java {version}", "default-jre-headless", java)
        if version:
            wrong = f"Java {version} is too old: {JAVA_VERSION_MIN} or later is needed"
    return Finding("Java", "default-jre-headless", None, wrong)


def find_maven() -> Finding:
    """Look for Maven, which is needed only to fetch Kafka's jars."""
    binary = shutil.which("mvn")
    if binary is None:
        return Finding("Maven", "maven", None, "Maven (mvn) not found")
    return Finding("Maven", "maven", Path(binary))


def find_chromium() -> Finding:
    """Look for a browser, which only tests of the console's pages need."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if binary := shutil.which(name):
            return Finding("Chromium", "chromium", Path(binary))
    return Finding("Chromium", "chromium", None, "Chromium not found")


def disk_settings(*, kernel: Path = _KERNEL) -> dict[str, int]:
    """Return how this machine has what makes its disk steady; empty where there is no Linux."""
    found = {}
    for name in STEADY_DISK:
        path = kernel / name.replace(".", "/")
        if path.exists():
            found[name] = int(path.read_text(encoding="ascii"))
    return found


def disk_advice(*, kernel: Path = _KERNEL) -> str | None:
    """Return the command that makes the disk steady, None if it is or can't be made so."""
    found = disk_settings(kernel=kernel)
    if all(0 < value <= STEADY_DISK[name] for name, value in found.items()):
        return None
    given = " ".join(f"{name}={value}" for name, value in STEADY_DISK.items())
    return f"sudo sysctl -w {given}"


def provide(
    *, look: Callable[[], list[Finding]], say: Callable[[str], None], log: Path
) -> dict[str, Path]:
    """Return the places of all that is looked for, by package; install it as root on Debian.

    Raises MachineError when something is missing still.
    """
    findings = look()
    missing = [each for each in findings if each.place is None]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        packages = [each.package for each in missing]
        say(f"installing {', '.join(packages)} (apt-get)")
        install(packages=packages, log=log)
        findings = look()
        missing = [each for each in findings if each.place is None]
    if missing:
        raise MachineError(how_to_get(missing=missing))
    return {each.package: each.place for each in findings if each.place is not None}


def how_to_get(*, missing: list[Finding]) -> str:
    """Say what is missing and give the commands that get it."""
    packages = [each.package for each in missing]
    homebrew = {"postgresql": "postgresql@15", "default-jre-headless": "openjdk@17"}
    return "\n".join(
        [
            "This machine lacks:",
            *(f"  - {each.problem}" for each in missing),
            "Debian or Ubuntu:",
            *(["  " + _keep_debian_cluster_away()] if "postgresql" in packages else []),
            "  sudo apt-get update && sudo apt-get install --no-install-recommends "
            + " ".join(packages),
            "macOS:",
            "  brew install " + " ".join(homebrew.get(each, each) for each in packages),
            "Then run the same command again. With Docker, `make up-docker` needs none of this.",
        ]
    )


def _keep_debian_cluster_away() -> str:
    return (
        "sudo sh -c 'mkdir -p /etc/postgresql-common && "
        f'echo "create_main_cluster = false" > {_CLUSTER_CONF}\'   '
        "# optional: no server of Debian's own on port 5432"
    )


def install(*, packages: list[str], log: Path) -> None:
    """Install Debian packages as root, but let Debian set up no PostgreSQL server of its own.

    Raises MachineError with the last lines of apt-get's output.
    """
    if "postgresql" in packages and not _CLUSTER_CONF.exists():
        _CLUSTER_CONF.parent.mkdir(parents=True, exist_ok=True)
        _CLUSTER_CONF.write_text(
            "# Servers are started by projects, in folders of their own.\n"
            "create_main_cluster = false\n",
            encoding="ascii",
        )
    keep_servers_down(packages=packages)
    log.parent.mkdir(parents=True, exist_ok=True)
    options = ["-y", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold"]
    for argv in (["apt-get", "update"], ["apt-get", "install", *options, *packages]):
        with log.open("ab") as stream:
            ended = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                # In runlevel 1 a package does not start its servers where there is no systemd.
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"},
                check=False,
                timeout=_INSTALL_TIMEOUT_S,
            )
        if ended.returncode != 0:
            last = "\n".join(tail(log=log, lines=15))
            raise MachineError(f"`{' '.join(argv)}` failed:\n{last}")


def keep_servers_down(*, packages: list[str], units: Path = _UNITS) -> None:
    """Mask the services that these packages bring, before they bring them.

    Whoever wants Debian's own as well unmasks it (`systemctl unmask prometheus`).
    """
    for package in set(packages) & set(_WITH_SERVERS):
        unit = units / f"{package}.service"
        if not unit.exists() and not unit.is_symlink():
            units.mkdir(parents=True, exist_ok=True)
            unit.symlink_to("/dev/null")


def _version(*, argv: list[str], pattern: str) -> int:
    try:
        answer = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    except OSError:
        return 0
    found = re.search(pattern, answer.stdout + answer.stderr)
    return int(found[1]) if found else 0


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
