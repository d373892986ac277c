"""Give up root for a program that refuses it (PostgreSQL), keeping only the right to read below closed directories.

Root's home, and with it the virtual environment that holds the program, is usually closed to others. Opening those
directories would change the machine for good; one ambient capability of the process does not (capabilities(7)).
"""

from __future__ import annotations

import ctypes
import os
import pwd
import sys
from pathlib import Path

from shared.domain.errors import ConfigError

_PR_SET_KEEPCAPS = 8
_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP = 28, 1 << 2
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAP_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2


def unprivileged_user() -> tuple[int, int] | None:
    """(uid, gid) to run PostgreSQL as: None when this process is not root, else those of `nobody`."""
    if os.geteuid() != 0:
        return None
    if not sys.platform.startswith("linux"):
        raise ConfigError("PostgreSQL refuses to run as root; run `channels up` as an ordinary user")
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError as error:
        raise ConfigError("PostgreSQL refuses to run as root and this machine has no user `nobody` to run it as") from error
    return entry.pw_uid, entry.pw_gid


def become(uid: int, gid: int) -> None:
    """Change this process's user for good; raises OSError where the machine does not allow it."""
    capability = next((wanted for wanted in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE) if _permitted() >> wanted & 1), None)
    libc = ctypes.CDLL(None, use_errno=True)
    if capability is not None:
        # access(2), by which PostgreSQL looks at its own programs, forgets capabilities of who is not root, unless told not to.
        # Where this may not be set, it works below open directories only. All other capabilities are given up below.
        libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    _checked(libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if capability is None:
        return
    header = (ctypes.c_uint32 * 2)(_CAP_VERSION_3, 0)
    bit = 1 << capability
    sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)  # effective, permitted, inheritable; low and high words
    _checked(libc.capset(header, sets))
    _checked(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0))


def _permitted() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapPrm:"):
            return int(line.split()[1], 16)
    return 0


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
