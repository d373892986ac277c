"""One real Apache Kafka node in KRaft mode, broker and controller in one process, for development and tests."""

from __future__ import annotations

import json
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from deploy.local.daemon import Daemon, PartStatus
from deploy.local.home_lock import HomeLock
from deploy.local.jars import KAFKA_VERSION, ensure_jars
from deploy.local.java import find_java
from deploy.local.ports import LOCALHOST, choose_port
from shared.domain.errors import ConfigError, Unavailable

_JVM = (
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseSerialGC",  # a heap this small is collected in milliseconds, and two cores are not kept busy by helpers
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "--enable-native-access=ALL-UNNAMED",  # lz4, zstd and snappy load native code; newer Javas would warn
)
_READY_SECONDS = 60
_STOP_SECONDS = 20
_POLL_SECONDS = 0.1


@dataclass(slots=True, kw_only=True)
class KafkaOptions:
    """What the outside decides. `None` ports: those of the last start, else free ones."""

    cache: Path
    port: int | None = None
    controller_port: int | None = None
    java_home: Path | None = None
    advertised_port: int | None = None  # where clients are sent when it is not `port`: a proxy before the node


@dataclass(slots=True)
class KafkaNode:
    """Start, stop, kill and weigh the node whose data lives in `<home>/kafka`."""

    home: Path
    options: KafkaOptions
    lock: HomeLock
    say: Callable[[str], None]
    daemon: Daemon = field(init=False)
    name: ClassVar[str] = "kafka"

    def __post_init__(self) -> None:
        self.daemon = Daemon(self.name, self.home)

    @property
    def running(self) -> bool:
        """Does its process run? (It may not be ready yet.)"""
        return self.daemon.identity() is not None

    @property
    def bootstrap(self) -> str:
        """`host:port` for clients; raises Unavailable before the first start."""
        ports = self._ports()
        if ports is None:
            raise Unavailable(f"Kafka was never started in {self.home}")
        return f"{LOCALHOST}:{ports[0]}"

    def start(self, *, same_address: bool = False) -> str:
        """Make it run and wait until it answers; returns the bootstrap address. Raises Unavailable, ConfigError.

        `same_address`: its clients know no other, so that of the last start is not replaced; ConfigError if somebody took it.
        """
        with self.lock.held("up"):
            if not self.running:
                self._launch(same_address)
            self._wait_ready()
        return self.bootstrap

    def stop(self) -> bool:
        """Stop it in good order; False if it did not run. Blocks for a few seconds."""
        return self.daemon.stop(grace_seconds=_STOP_SECONDS)

    def kill(self) -> int | None:
        """SIGKILL it, as a crash would end it; returns the process id it had."""
        return self.daemon.kill()

    def restart(self) -> str:
        """Stop and start again, on the same ports."""
        self.stop()
        return self.start(same_address=True)

    def status(self) -> PartStatus:
        """Does it run, does it answer, how much memory."""
        answers = self.running and _answers(self.bootstrap)
        return self.daemon.status(self.bootstrap if self.running else "-", answers, "ready" if answers else "does not answer")

    def memory_bytes(self) -> int:
        """Memory in use by its process."""
        return self.daemon.memory_bytes()

    def _launch(self, same_address: bool) -> None:
        jars = ensure_jars(self.options.cache, self.say)
        java = find_java(self.options.java_home)
        before = self._ports() or (None, None)
        given = before[0] if same_address else self.options.port
        port = choose_port(given=given, before=before[0], purpose="Kafka", variable="CHANNELS_KAFKA_PORT")
        controller = choose_port(
            given=self.options.controller_port,
            before=before[1],
            purpose="Kafka's controller",
            variable="CHANNELS_KAFKA_CONTROLLER_PORT",
            taken=frozenset({port}),
        )
        if before[0] is not None and port != before[0]:
            self.say(f"Kafka's last port {before[0]} is taken by another program; using {port}")
        folder = self.home / "kafka"
        (folder / "data").mkdir(parents=True, exist_ok=True)
        claim_data(folder)
        _write(folder / "ports.json", json.dumps({"broker": port, "controller": controller}))
        properties = folder / "server.properties"
        _write(properties, server_properties(port, controller, self.options.advertised_port))
        _format(folder / "data")
        logging = Path(__file__).with_name("log4j2.properties")
        command = [str(java), *_JVM, f"-Dlog4j2.configurationFile={logging}", "-cp", ":".join(map(str, jars)), "kafka.Kafka"]
        # UTF-8: paths may have letters beyond ASCII, and Java 17 reads the locale to know.
        environment = {"LC_ALL": "C.UTF-8"}
        self.daemon.launch([*command, str(properties)], environment=environment, lock_fd=self.lock.fd, directory=folder)

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not _answers(self.bootstrap):
            if not self.running:
                raise Unavailable(f"Kafka ended while it started; the end of {self.daemon.log_file}:\n{self.daemon.last_words()}")
            if time.monotonic() > deadline:
                raise Unavailable(f"Kafka did not answer within {_READY_SECONDS} s; see {self.daemon.log_file}")
            time.sleep(_POLL_SECONDS)

    def _ports(self) -> tuple[int, int] | None:
        try:
            ports = json.loads((self.home / "kafka" / "ports.json").read_text())
            return int(ports["broker"]), int(ports["controller"])
        except (OSError, ValueError, KeyError):
            return None


def server_properties(port: int, controller_port: int, advertised_port: int | None = None) -> str:
    """The node's configuration (https://kafka.apache.org/documentation/#brokerconfigs), to be run beside its `data`."""
    one_copy = ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
    settings: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{LOCALHOST}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{LOCALHOST}:{port},CONTROLLER://{LOCALHOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{LOCALHOST}:{advertised_port or port}",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": "data",  # a list, in a file of Latin-1: an absolute path could hold a comma, or any letter
        "auto.create.topics.enable": "false",
        **{f"{topic}.replication.factor": 1 for topic in one_copy},
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.num.partitions": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "offsets.retention.minutes": 30 * 24 * 60,  # design, section 4
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,  # sessions of 6-10 s, and shorter ones in tests
        "group.consumer.min.session.timeout.ms": 1000,
        "group.consumer.min.heartbeat.interval.ms": 200,
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 500,  # a dead router's records wait for this
        "broker.session.timeout.ms": 3000,  # how long a killed broker's successor waits; the default is 9 s
        "broker.heartbeat.interval.ms": 500,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "background.threads": 2,
        "log.cleaner.dedupe.buffer.size": 8 * 1024 * 1024,  # of the heap; the default takes a quarter of it
        "log.index.size.max.bytes": 1024 * 1024,
        "log.message.timestamp.after.max.ms": 2**63 - 1,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def claim_data(folder: Path) -> None:
    """Note which version writes the data. Raises ConfigError for data of a newer one, whose format this one cannot read."""
    note = folder / "version"
    made_by = note.read_text().strip() if note.exists() else None
    if made_by is None and (folder / "data" / "meta.properties").exists():
        made_by = "4.3.1"  # which left no note
    if made_by is not None and _numbers(made_by) > _numbers(KAFKA_VERSION):
        raise ConfigError(
            f"the data in {folder} were written by Kafka {made_by}; this release runs {KAFKA_VERSION}, which cannot read them."
            f" They are development data: `channels down`, remove {folder}, and start again"
        )
    _write(note, KAFKA_VERSION + "\n")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def _format(data: Path) -> None:
    # What `kafka-storage format` writes for a static quorum, without a second start of Java.
    # The layout is MetaPropertiesEnsemble's, version 1.
    if (data / "meta.properties").exists():
        return
    cluster, directory = (urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=") for _ in range(2))
    _write(data / "meta.properties", f"version=1\ncluster.id={cluster}\nnode.id=1\ndirectory.id={directory}\n")


def _answers(bootstrap: str) -> bool:
    from confluent_kafka import KafkaException  # the CLI's other commands start without a driver
    from confluent_kafka.admin import AdminClient

    client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, "socket.connection.setup.timeout.ms": 1000})
    try:
        return bool(client.list_topics(timeout=2).brokers)
    except KafkaException:
        return False


def _write(path: Path, text: str) -> None:
    draft = path.with_name(path.name + ".new")
    draft.write_text(text)
    draft.replace(path)
