"""A mailbox service under test: real Kafka, real PostgreSQL, real processes; the mail server is the test's choice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from shared.adapters.clock import new_uuid7
from shared.adapters.kafka import client_config, full_name
from shared.adapters.sealing import Aad
from shared.adapters.topics import apply_topics
from shared.adapters.vault import LocalKeyFiles, Vault
from shared.domain.enums import KeyPurpose
from shared.domain.records import SyncRequired
from shared.domain.snapshots import WrappedDataKey
from shared.domain.topics import Topic
from tests.database_fixtures import DatabaseUnderTest
from tests.edge import START_SECONDS, Edge, EdgeProcess, Stored, free_port
from tests.integration.rows import connect
from tests.mail.dovecot import PASSWORD
from tests.waiting import eventually

MailKey = tuple[str, str, str, str]


def mail(number: int | str, size_bytes: int = 0) -> bytes:
    """A mail that can be told from others by its Message-ID."""
    head = f"From: bob@example.org\r\nTo: ana@example.com\r\nSubject: mail {number}\r\nMessage-ID: <{number}@example.org>\r\n\r\n"
    line = b"0123456789 abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVW\r\n"
    body = head.encode() + b"hello\r\n"
    return body + line * (max(0, size_bytes - len(body)) // len(line) + 1 if size_bytes else 0)


def identity(body: bytes) -> str:
    """The number that `mail` was given."""
    return body.partition(b"Message-ID: <")[2].partition(b"@")[0].decode()


@dataclass
class MailboxScene:
    """The installation; `mailbox` adds one to read, `start` a process that reads."""

    edge: Edge
    database: DatabaseUnderTest
    keys: dict[KeyPurpose, WrappedDataKey] = field(default_factory=dict)
    listed: set[str] = field(default_factory=set)  # servers that the egress guard admits, of accounts made before the start
    vault: Vault = field(init=False)

    @classmethod
    def create(cls, bootstrap: str, prefix: str, database: DatabaseUnderTest, directory: Path) -> MailboxScene:
        """Topics, keys, a tenant and one connector without accounts."""
        scene = cls(Edge.create(bootstrap, prefix, directory), database)
        apply_topics(bootstrap, prefix, only=(Topic.SYNC_REQUIRED,), partitions={Topic.SYNC_REQUIRED: 1})
        scene.vault = Vault(LocalKeyFiles(directory / "keys", frozenset(KeyPurpose)))
        tenant = scene.edge.tenant_id
        with connect(database.owner_url) as rows:
            rows.execute("INSERT INTO tenant (id, name) VALUES (%s, 'Example')", (tenant,))
            rows.execute("INSERT INTO org_unit (id, tenant_id, name) VALUES (%s, %s, 'Sales')", (new_uuid7(), tenant))
            for purpose in KeyPurpose:
                key = scene.edge.data_key if purpose is KeyPurpose.INGEST else scene.vault.new_data_key(purpose, tenant)
                scene.keys[purpose] = key
                rows.execute(
                    "INSERT INTO data_key (key_id, tenant_id, purpose, wrapped) VALUES (%s, %s, %s, %s)",
                    (key.key_id, tenant, purpose.value, key.wrapped),
                )
            rows.execute(
                "INSERT INTO channel_connector (id, tenant_id, tipo, nome, config, status)"
                " VALUES (%s, %s, 'email', 'Mail', %s, 'pending')",
                (scene.edge.connector_id, tenant, json.dumps({"dialect": "imap"})),
            )
        return scene

    def mailbox(self, address: str, **config: object) -> str:
        """An account whose mailbox is to be read, at a server that the installation lists; returns its id."""
        account = new_uuid7()
        self.list_server(config)
        with connect(self.database.owner_url) as rows:
            rows.execute(
                "INSERT INTO channel_account (id, connector_id, identidade, status, org_unit_id, config)"
                " SELECT %s, %s, %s, 'pending', id, %s FROM org_unit",
                (account, self.edge.connector_id, address, json.dumps(config)),
            )
        return account

    def list_server(self, config: Mapping[str, object]) -> None:
        """Have the processes that are started from now on admit the server of this config."""
        scheme = "imaps" if config.get("imap_tls", "implicit") == "implicit" else "imap"
        if config.get("imap_host") and config.get("imap_port"):
            self.listed.add(f"{scheme}://{config['imap_host']}:{config['imap_port']}")

    def configure(self, account: str, **config: object) -> None:
        """Replace an account's config."""
        self.list_server(config)
        with connect(self.database.owner_url) as rows:
            rows.execute("UPDATE channel_account SET config = %s WHERE id = %s", (json.dumps(config), account))

    def token(self, value: str = PASSWORD, *, kind: str = "secret", account: str | None = None, expires_at: object = None) -> str:
        """A sealed credential; `account`: the address that it is for, if for one only."""
        token, ring = new_uuid7(), self.vault.ring(KeyPurpose.CREDENTIAL, self.edge.tenant_id, [self.keys[KeyPurpose.CREDENTIAL]])
        sealed = ring.seal_text(value.encode(), Aad(self.edge.tenant_id, "channel_token", "valor_encrypted", token))
        with connect(self.database.owner_url) as rows:
            rows.execute(
                "INSERT INTO channel_token (id, connector_id, kind, valor_encrypted, expires_at, metadata)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                (token, self.edge.connector_id, kind, sealed, expires_at, json.dumps({"account": account} if account else {})),
            )
        return token

    def start(self, **settings: object) -> EdgeProcess:
        """Start a process and wait until it is ready."""
        process = self.launch(**settings)
        eventually(lambda: process.ready, START_SECONDS)
        return process

    def launch(self, **settings: object) -> EdgeProcess:
        """Start a process; `settings` by their names without `mailbox_` (or those of database and HTTP)."""
        port = free_port()
        given = {
            "stack": "external",
            "kafka_bootstrap": self.edge.bootstrap,
            "topic_prefix": self.edge.prefix,
            "database_worker_url": self.database.worker_url,
            "database_credential_url": self.database.credential_url,
            "keys_dir": self.edge.directory / "keys",
            "object_store_url": (self.edge.directory / "objects").as_uri(),
            "log_format": "json",
            "http_allow": ",".join(sorted(self.listed)),
            "mailbox_operations_port": port,
            "mailbox_lease_seconds": 2,
            "mailbox_poll_seconds": 0.3,
            **{name if name.startswith(("database_", "http_")) else f"mailbox_{name}": value for name, value in settings.items()},
        }
        log = self.edge.directory / f"mailbox-{port}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "services.mailbox"],
                env=os.environ | {f"CHANNELS_{name.upper()}": str(value) for name, value in given.items()},
                stdout=output,
                stderr=output,
            )
        started = EdgeProcess(process, 0, port, log)
        self.edge.processes.append(started)
        return started

    def stored(self) -> list[Stored]:
        """Every raw record, its body opened."""
        return self.edge.stored()

    def received(self) -> Counter[str]:
        """How often each mail came, by its number."""
        return Counter(identity(one.body) for one in self.stored())

    def wait_for(self, count: int, seconds: float = 30) -> Counter[str]:
        """Wait until so many raw records are there."""
        eventually(lambda: self.edge.end_offset() >= count, seconds)
        return self.received()

    def keys_of_mails(self) -> dict[str, set[MailKey]]:
        """The headers that name a mail, per number: one entry each, however often it came."""
        found: dict[str, set[MailKey]] = {}
        for one in self.stored():
            given = one.record.headers
            key = tuple(given[f"x-channels-{name}"] for name in ("mailbox", "folder-name", "uidvalidity", "uid"))
            found.setdefault(identity(one.body), set()).add(key)  # type: ignore[arg-type]
        return found

    def sync_required(self) -> list[SyncRequired]:
        """Every request to have a look."""
        consumer = Consumer({**client_config(self.edge.bootstrap, "test"), "group.id": "none", "enable.auto.commit": False})
        place = TopicPartition(full_name(self.edge.prefix, Topic.SYNC_REQUIRED), 0, 0)
        found: list[SyncRequired] = []
        try:
            end = consumer.get_watermark_offsets(place, timeout=10)[1]
            consumer.assign([place])
            while len(found) < end:
                message = consumer.poll(10)
                assert message is not None
                assert message.error() is None
                found.append(self.edge.codec.decode(Topic.SYNC_REQUIRED, message.value() or b""))
        finally:
            consumer.close()
        return found

    def position(self, account: str) -> dict[str, Any]:
        """The row of one mailbox."""
        with connect(self.database.owner_url) as rows:
            cursor = rows.execute("SELECT * FROM mailbox_position WHERE account_id = %s", (account,))
            names = [column.name for column in cursor.description or ()]
            row = cursor.fetchone()
        return dict(zip(names, row, strict=True)) if row else {}

    def last_uid(self, account: str) -> int:
        """How far it was read; 0 before the first time."""
        return int(self.position(account).get("last_uid", 0))
