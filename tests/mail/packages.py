"""Finds a Dovecot for the tests: the machine's own, or Debian's packages unpacked into a cache, which needs no root.

`apt-get download` and `dpkg-deb -x` are all that is used; nothing is installed. Where that does not work the tests that
need a real IMAP server are skipped, and the reason says what to install.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

WANTED = "dovecot-imapd"
SUBMISSION = "dovecot-submissiond"
INSTALL = "install it with `apt-get install dovecot-imapd dovecot-submissiond` (or make `apt-get download` of both work here)"
_SECONDS = 120
_READY, _READY_TO_SUBMIT = ".complete", ".complete-submission"
_BUILT_FOR = b"/usr/lib/dovecot"


class NoDovecot(Exception):
    """Raised with the reason why there is none."""


@dataclass(frozen=True, slots=True)
class Dovecot:
    """Where the programs and their libraries lie."""

    program: Path
    reader: Path  # `doveconf`
    libexec: Path
    libraries: tuple[Path, ...]


def find_dovecot() -> Dovecot:
    """Dovecot 2.3 or newer, ready to be run; downloads 6 MB the first time. Raises NoDovecot."""
    program = shutil.which("dovecot", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    libexec = Path("/usr/lib/dovecot")
    if program is not None and (libexec / "imap").exists() and (libexec / "submission").exists():
        return Dovecot(Path(program), Path("/usr/bin/doveconf"), libexec, ())
    folder = _cache()
    if not (folder / _READY).exists():
        _fetch(folder)
    if not (folder / _READY_TO_SUBMIT).exists():
        _fetch_submission(folder)
    root = folder / "root"
    _link(root / "usr/lib/dovecot")
    libraries = sorted({path.parent for path in (root / "usr/lib").rglob("*.so*") if "modules" not in path.parts})
    return Dovecot(root / "usr/sbin/dovecot", root / "usr/bin/doveconf", _place(), tuple(libraries))


def _cache() -> Path:
    """Not below a home: a server that gives up root must be able to read it."""
    folder = Path("/var/tmp") / f"channels-dovecot-{os.geteuid()}"
    try:
        folder.mkdir(mode=0o755, exist_ok=True)
    except OSError as error:
        raise NoDovecot(f"{folder}: {error.strerror}; {INSTALL}") from error
    if folder.stat().st_uid != os.geteuid() or folder.is_symlink():
        raise NoDovecot(f"{folder} belongs to somebody else")
    return folder


def _fetch(folder: Path) -> None:
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise NoDovecot(f"this machine has neither Dovecot nor {tool}; {INSTALL}")
    packages = re.findall(
        r"^Inst (\S+)", _run(folder, "apt-get", "install", "-s", "--no-install-recommends", WANTED), re.MULTILINE
    )
    if WANTED not in packages:
        raise NoDovecot(f"apt-get does not know {WANTED} (`apt-get update` may help); {INSTALL}")
    shutil.rmtree(folder / "root", ignore_errors=True)
    _unpack(folder, *packages)
    (folder / _READY).touch()


def _fetch_submission(folder: Path) -> None:
    """Beside the rest, which may be in use."""
    _unpack(folder, SUBMISSION)
    (folder / _READY_TO_SUBMIT).touch()


def _unpack(folder: Path, *packages: str) -> None:
    _run(folder, "apt-get", "download", *packages)
    for archive in sorted(folder.glob("*.deb")):
        _run(folder, "dpkg-deb", "-x", str(archive), str(folder / "root"))
        archive.unlink()
    for path in (folder / "root/usr").rglob("*"):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            if _BUILT_FOR in data:
                path.write_bytes(data.replace(_BUILT_FOR, os.fsencode(_place())))


def _place() -> Path:
    """Dovecot finds its modules by a path that is fixed when it is built. A link at a path of the same length takes its place, as
    package managers do that put programs below any directory."""
    name = hashlib.sha256(str(os.geteuid()).encode()).hexdigest()[: len(_BUILT_FOR) - len("/var/tmp/")]
    return Path("/var/tmp") / name


def _link(target: Path) -> None:
    place = _place()
    if not place.is_symlink():
        try:
            place.symlink_to(target)
        except OSError as error:
            raise NoDovecot(f"{place}: {error.strerror}; {INSTALL}") from error
    if place.lstat().st_uid != os.geteuid() or place.readlink() != target:
        raise NoDovecot(f"{place} is not ours; {INSTALL}")


def _run(folder: Path, *command: str) -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoDovecot(f"{command[0]}: {error}; {INSTALL}") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise NoDovecot(f"`{' '.join(command[:2])}` failed ({last}); {INSTALL}")
    return done.stdout
