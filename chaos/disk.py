"""A small disk of a server's own: an ext4 image on a loop device. Needs root.

A power cut is a copy of the image while the processes are stopped: only what was flushed is in it.
The file system commits by itself every 300 s only, so that nothing gets there by chance.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

MOUNT_OPTIONS = "loop,commit=300,noatime"
TOOLS = ("mkfs.ext4", "mount", "umount", "fallocate")
COMMAND_TIMEOUT_S = 120
FILLER = "filler"


def can_have_disks() -> bool:
    """Say whether this process may make and mount images."""
    return (
        os.geteuid() == 0 and all(map(shutil.which, TOOLS)) and Path("/dev/loop-control").exists()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """One image and where it is mounted."""

    image: Path
    place: Path
    mib: int

    def make(self) -> None:
        """Make the image, empty, and mount it."""
        self.image.parent.mkdir(parents=True, exist_ok=True)
        self.place.mkdir(parents=True, exist_ok=True)
        _run("truncate", "-s", f"{self.mib}M", str(self.image))
        _run("mkfs.ext4", "-q", "-F", "-m", "0", str(self.image))
        self.mount()

    def mount(self) -> None:
        """Mount the image; after a power cut the file system mends itself by its journal."""
        _run("mount", "-o", MOUNT_OPTIONS, str(self.image), str(self.place))

    def unmount(self) -> None:
        """Unmount it."""
        _run("umount", str(self.place))

    def flush(self) -> None:
        """Bring everything to the image: what is old has reached any real disk long ago."""
        _run("sync", "-f", str(self.place))

    def copy(self) -> Path:
        """Copy the image as it is at this moment, whatever has not reached it yet left out."""
        cut = self.image.with_suffix(".cut")
        _run("cp", "--sparse=always", str(self.image), str(cut))
        return cut

    def put_back(self, cut: Path) -> None:
        """Go on from a copy: what was written after it is gone.

        The end of a full disk may be among it; that is ours, and is done again.
        """
        self.unmount()
        cut.replace(self.image)
        self.mount()
        (self.place / FILLER).unlink(missing_ok=True)

    def fill(self, *, left: float = 0.0) -> Path:
        """Take all space but that share of the disk; returns the file that has it."""
        filler = self.place / FILLER
        free = os.statvfs(self.place)
        blocks = int((free.f_bavail - left * free.f_blocks) * free.f_frsize)
        while blocks > 4096:
            size = blocks
            ended = subprocess.run(
                ["fallocate", "-l", str(size), str(filler)],
                capture_output=True,
                check=False,
                timeout=COMMAND_TIMEOUT_S,
            )
            if ended.returncode == 0:
                break
            blocks = int(blocks * 0.98)
        return filler

    def remove(self) -> None:
        """Unmount and delete it, whatever state it is in."""
        if os.path.ismount(self.place):
            subprocess.run(
                ["umount", "-l", str(self.place)], check=False, timeout=COMMAND_TIMEOUT_S
            )
        self.image.unlink(missing_ok=True)
        self.image.with_suffix(".cut").unlink(missing_ok=True)


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, timeout=COMMAND_TIMEOUT_S)
