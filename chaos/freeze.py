"""Stops one thread of a process for a while, the one that runs its event loop (``python -m
chaos.freeze PID SECONDS``). The other threads go on, the watchdog's among them.

Exit code 3: the system does not let us (ptrace(2)).
"""

from __future__ import annotations

import ctypes
import os
import sys
import time

NOT_ALLOWED = 3
_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17
_WAIT_ALL = 0x40000000


def freeze(pid: int, seconds: float) -> bool:
    """Stop the main thread of *pid* for so long; say whether that was possible."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(_SEIZE, pid, None, None) != 0:
        return False
    try:
        if libc.ptrace(_INTERRUPT, pid, None, None) != 0:
            return False
        os.waitpid(pid, _WAIT_ALL)
        until = time.monotonic() + seconds
        while time.monotonic() < until and os.path.exists(f"/proc/{pid}"):
            time.sleep(0.02)
    finally:
        libc.ptrace(_DETACH, pid, None, None)
    return True


if __name__ == "__main__":
    sys.exit(0 if freeze(int(sys.argv[1]), float(sys.argv[2])) else NOT_ALLOWED)
