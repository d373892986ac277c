"""The processes of the fleet on one machine: each under a name, detached, with its log in `<home>/logs/<name>.log`."""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from deploy.local.daemon import Daemon, PartStatus
from deploy.local.home_lock import HomeLock
from deploy.local.last_error import last_error
from deploy.local.ports import LOCALHOST
from shared.domain.errors import NotFound, Unavailable

_READY_SECONDS = 30.0
_STOP_SECONDS = 25.0  # a service drains for at most 20 s
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetService:
    """One process: `python -m <module>` with these variables over the environment of the caller."""

    name: str
    module: str
    operations_port: int  # answers /readyz
    environment: Mapping[str, str] = field(default_factory=dict)


def ingest_process(number: int, *, port: int, operations_port: int) -> FleetService:
    """An edge process; all of them may share `port`."""
    environment = {"CHANNELS_INGEST_PORT": str(port), "CHANNELS_INGEST_OPERATIONS_PORT": str(operations_port)}
    return FleetService(
        name=f"ingest-{number}", module="services.ingest", operations_port=operations_port, environment=environment
    )


def router_process(slot: int, *, operations_port: int) -> FleetService:
    """A router; `slot` is its stable place in the consumer group."""
    environment = {"CHANNELS_ROUTER_SLOT": str(slot), "CHANNELS_ROUTER_OPERATIONS_PORT": str(operations_port)}
    return FleetService(name=f"router-{slot}", module="services.router", operations_port=operations_port, environment=environment)


def relay_process(*, operations_port: int) -> FleetService:
    """The relay: one is active."""
    environment = {"CHANNELS_RELAY_OPERATIONS_PORT": str(operations_port)}
    return FleetService(name="relay", module="services.relay", operations_port=operations_port, environment=environment)


def mailbox_process(number: int, *, operations_port: int) -> FleetService:
    """A reader of mailboxes; any number share them."""
    environment = {"CHANNELS_MAILBOX_OPERATIONS_PORT": str(operations_port)}
    return FleetService(
        name=f"mailbox-{number}", module="services.mailbox", operations_port=operations_port, environment=environment
    )


def sync_process(*, operations_port: int) -> FleetService:
    """What follows other modules' units and flows."""
    environment = {"CHANNELS_SYNC_OPERATIONS_PORT": str(operations_port)}
    return FleetService(name="sync", module="services.sync", operations_port=operations_port, environment=environment)


def token_rotator_process(*, operations_port: int) -> FleetService:
    """What renews tokens."""
    environment = {"CHANNELS_TOKEN_ROTATOR_OPERATIONS_PORT": str(operations_port)}
    return FleetService(
        name="token_rotator", module="services.token_rotator", operations_port=operations_port, environment=environment
    )


def health_process(*, operations_port: int) -> FleetService:
    """What checks connectors and accounts."""
    environment = {"CHANNELS_HEALTH_OPERATIONS_PORT": str(operations_port)}
    return FleetService(name="health", module="services.health", operations_port=operations_port, environment=environment)


def control_process(*, port: int, operations_port: int) -> FleetService:
    """The management API."""
    environment = {"CHANNELS_CONTROL_PORT": str(port), "CHANNELS_CONTROL_OPERATIONS_PORT": str(operations_port)}
    return FleetService(name="control", module="services.control", operations_port=operations_port, environment=environment)


class Fleet:
    """The processes of one home directory. What was started once is remembered, so that `start_again` needs the name only."""

    def __init__(self, home: Path, lock: HomeLock | None = None) -> None:
        self.home = home.expanduser().absolute()
        self._lock = lock or HomeLock(self.home)
        self._orders = self.home / "fleet"

    def start(self, service: FleetService) -> None:
        """Start it unless it runs. Blocks until the process exists, not until it is ready."""
        with self._lock.held("up"):
            daemon = self._daemon(service.name)
            if daemon.identity() is not None:
                return
            self._orders.mkdir(parents=True, exist_ok=True)
            order = {**asdict(service), "environment": dict(service.environment)}
            draft = self._orders / f"{service.name}.new"  # renamed when whole: others read while we write
            draft.write_text(json.dumps(order))
            draft.replace(draft.with_suffix(".json"))
            environment = {**os.environ, **service.environment, "CHANNELS_HOME": str(self.home), "PYTHONUNBUFFERED": "1"}
            daemon.launch([sys.executable, "-m", service.module], environment=environment, lock_fd=self._lock.fd)

    def start_again(self, name: str) -> None:
        """Start a process that was stopped or killed, as it was started before; raises NotFound for an unknown name."""
        self.start(self.service(name))

    def wait_ready(self, name: str, seconds: float = _READY_SECONDS) -> None:
        """Block until /readyz says so; raises Unavailable with the last log lines when it ends, or with the reason in time."""
        deadline = time.monotonic() + seconds
        service, daemon = self.service(name), self._daemon(name)
        while True:
            ready, reason = _readiness(service.operations_port)
            if ready:
                return
            if daemon.identity() is None:
                raise Unavailable(f"{name} ended; the end of {daemon.log_file}:\n{daemon.last_words()}")
            if time.monotonic() > deadline:
                raise Unavailable(f"{name} was not ready within {seconds:.0f} s ({reason}); see {daemon.log_file}")
            time.sleep(_POLL_SECONDS)

    def stop(self, name: str) -> bool:
        """SIGTERM, and wait until it has drained (forced after 25 s). False if it did not run."""
        return self._daemon(name).stop(grace_seconds=_STOP_SECONDS)

    def kill(self, name: str) -> int | None:
        """SIGKILL; returns the process id it had."""
        return self._daemon(name).kill()

    def pid(self, name: str) -> int | None:
        """Its process id, or None."""
        return self._daemon(name).pid

    def log_file(self, name: str) -> Path:
        """Where it logs."""
        return self._daemon(name).log_file

    def stop_all(self) -> list[str]:
        """Stop every process that was ever started here, together; the names of those that ran."""
        with self._lock.held("down"):
            names = self.names()
            with ThreadPoolExecutor(max(len(names), 1)) as stoppers:
                ran = list(stoppers.map(self.stop, names))
            for name in names:
                (self._orders / f"{name}.json").unlink(missing_ok=True)
        return [name for name, did in zip(names, ran, strict=True) if did]

    def names(self) -> list[str]:
        """Names of the processes that were started and not taken down since."""
        return sorted(path.stem for path in self._orders.glob("*.json")) if self._orders.exists() else []

    def service(self, name: str) -> FleetService:
        """What was started under this name; raises NotFound."""
        try:
            return FleetService(**json.loads((self._orders / f"{name}.json").read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise NotFound(f"no process {name} was started in {self.home}") from error

    def status(self) -> tuple[PartStatus, ...]:
        """One entry per name; asks each that runs for its readiness."""
        return tuple(self._status(self.service(name)) for name in self.names())

    def memory_bytes(self) -> int:
        """Memory in use by all of them."""
        return sum(self._daemon(name).memory_bytes() for name in self.names())

    def _status(self, service: FleetService) -> PartStatus:
        daemon = self._daemon(service.name)
        ready, reason = _readiness(service.operations_port) if daemon.pid else (False, "")
        address = f"{LOCALHOST}:{service.operations_port} (operations)"
        status = daemon.status(address, ready, "ready" if ready else reason)
        if status.pid is not None:
            return status
        cause = last_error(daemon.log_file)
        return status if cause is None else replace(status, state=f"ended by itself: {cause}")

    def _daemon(self, name: str) -> Daemon:
        return Daemon(name, self.home)


def _readiness(port: int) -> tuple[bool, str]:
    connection = http.client.HTTPConnection(LOCALHOST, port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        text = answer.read(500).decode(errors="replace").strip()
        return answer.status == http.client.OK, text
    except (OSError, http.client.HTTPException) as error:
        return False, f"port {port}: {error}"
    finally:
        connection.close()
