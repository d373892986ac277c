"""Hands mails over: one raw record each, sealed, in Kafka before anybody calls it done.

A mail is fetched in parts. Up to 256 KiB it is sealed inside its record. A larger one is hashed and sealed part by part into a
nameless temporary file (so the disk never sees it in clear, and a kill leaves nothing behind) and goes to the object store from
there: memory does not grow with the mail.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from services.mailbox.decide import Mailbox, headers
from shared.adapters.avro import Codec
from shared.adapters.clock import Clock, new_uuid7
from shared.adapters.durable_producer import DurableProducer
from shared.adapters.imap import ImapConnection
from shared.adapters.kafka import event_headers, full_name
from shared.adapters.object_store import ObjectStore
from shared.adapters.raw_body import LARGE_BODY_BYTES, body_aad
from shared.adapters.vault import KeyRing, Vault
from shared.domain.enums import KeyPurpose, RecordSource
from shared.domain.errors import Fenced, Unavailable
from shared.domain.records import BodyReference, SyncRequired, WebhookReceived
from shared.domain.topics import Topic

FIRST_PART_BYTES = LARGE_BODY_BYTES + 1
PART_BYTES = 1_048_576
SOURCE = "/channels/mailbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A mail on its way into Kafka. `safe.result(seconds)` returns once it is there."""

    uid: int
    size_bytes: int
    cut: bool
    safe: Future[None]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterParts:
    """What a writer works with; `loop` is the producer's."""

    loop: asyncio.AbstractEventLoop
    producer: DurableProducer
    codec: Codec
    topic_prefix: str
    objects: ObjectStore
    vault: Vault
    clock: Clock
    spool_dir: Path
    mail_bytes: int
    large_at_once: int


class MailWriter:
    """Writes for all readers of the process; safe for threads."""

    def __init__(self, parts: WriterParts) -> None:
        self._parts = parts
        self._large = threading.BoundedSemaphore(parts.large_at_once)

    @property
    def ready(self) -> bool:
        """Whether Kafka can be expected to take records."""
        return self._parts.producer.ready

    def write(
        self, mailbox: Mailbox, connection: ImapConnection, uid_validity: int, uid: int, stopping: Callable[[], bool]
    ) -> Written | None:
        """Fetch one mail and queue its record; None if the mail is gone. Raises what `ImapConnection.part` raises, Unavailable
        (Kafka, keys, object store), and Fenced when `stopping` says so in the middle of a large mail."""
        first = connection.part(uid, 0, FIRST_PART_BYTES)
        if first is None:
            return None
        mail = _Mail(connection, uid, first.data, first.size_bytes, self._parts.mail_bytes, stopping)
        record_id = new_uuid7()
        ring = self._parts.vault.ring(KeyPurpose.INGEST, mailbox.tenant_id, mailbox.ingest_keys)
        beginning = mail.beginning()
        sealed: bytes | None = None
        reference: BodyReference | None = None
        if len(beginning) <= LARGE_BODY_BYTES:
            sealed = ring.seal_bytes(beginning, body_aad(mailbox.tenant_id, record_id))
        else:
            with self._large:
                reference = self._store(mailbox.tenant_id, record_id, ring, mail)
        record = WebhookReceived(
            record_id=record_id,
            source=RecordSource.MAILBOX,
            tenant_id=mailbox.tenant_id,
            connector_id=mailbox.connector_id,
            url_account_id=mailbox.account_id,
            received_at_ms=self._parts.clock.now_ms(),
            headers=headers(mailbox, uid_validity, uid, _sane(first.received_at), mail.cut_from),
            secret_id=None,
            body_size_bytes=mail.size_bytes,
            sealed_body=sealed,
            body_reference=reference,
        )
        value = self._parts.codec.encode(Topic.WEBHOOK_RECEIVED, record)
        safe = self._send(Topic.WEBHOOK_RECEIVED, mailbox.connector_id, value, record_id, record.received_at_ms)
        return Written(uid=uid, size_bytes=mail.size_bytes, cut=mail.cut_from is not None, safe=safe)

    def ask_for_sync(self, mailbox: Mailbox, cause: str, detail: str) -> Future[None]:
        """Tell with `channel.account.sync_required` that somebody should look at the account."""
        now_ms = self._parts.clock.now_ms()
        event = SyncRequired(
            tenant_id=mailbox.tenant_id,
            connector_id=mailbox.connector_id,
            account_id=mailbox.account_id,
            cause=cause,
            detail=detail,
            requested_at_ms=now_ms,
        )
        value = self._parts.codec.encode(Topic.SYNC_REQUIRED, event)
        return self._send(Topic.SYNC_REQUIRED, mailbox.account_id, value, new_uuid7(), now_ms)

    def _store(self, tenant_id: str, record_id: str, ring: KeyRing, mail: _Mail) -> BodyReference:
        key, digest = f"raw/{tenant_id}/{record_id}", hashlib.sha256()
        stream = ring.seal_stream(body_aad(tenant_id, record_id))
        try:
            with tempfile.TemporaryFile(dir=self._parts.spool_dir) as spool:
                for part in mail.parts():
                    digest.update(part)
                    spool.write(stream.update(part))
                spool.write(stream.finish())
                spool.seek(0)
                self._parts.objects.put_file(key, spool)
        except OSError as error:
            raise Unavailable(f"spool directory {self._parts.spool_dir}: {error.strerror}") from error
        return BodyReference(key=key, size_bytes=mail.size_bytes, sha256=digest.hexdigest())

    def _send(self, topic: Topic, key: str, value: bytes, event_id: str, time_ms: int) -> Future[None]:
        marks = event_headers(event_id=event_id, event_type=topic.value, source=SOURCE, subject=key, time_ms=time_ms)
        name = full_name(self._parts.topic_prefix, topic)

        async def send() -> None:
            await self._parts.producer.send(name, key.encode(), value, marks)

        return asyncio.run_coroutine_threadsafe(send(), self._parts.loop)


class _Mail:
    """The bytes of one mail, part after part, up to the limit. The end is an empty part, or a short one at the size that the
    server stated: some only guess the size, and some give less than was asked for."""

    def __init__(
        self,
        connection: ImapConnection,
        uid: int,
        first: bytes,
        stated_bytes: int | None,
        limit_bytes: int,
        stopping: Callable[[], bool],
    ) -> None:
        self.size_bytes = 0
        self.cut_from: int | None = None
        self._connection = connection
        self._uid = uid
        self._held = first
        self._ended = len(first) < FIRST_PART_BYTES and len(first) >= (stated_bytes or 0)
        self._stated = stated_bytes or 0
        self._limit = limit_bytes
        self._stopping = stopping

    def beginning(self) -> bytes:
        """The whole mail if it is small, else its first bytes (more than LARGE_BODY_BYTES); they are part of `parts`, too."""
        while not self._ended and len(self._held) < FIRST_PART_BYTES:
            more = self._fetch(len(self._held), FIRST_PART_BYTES - len(self._held))
            self._held += more
        self.size_bytes = len(self._held)
        return self._held

    def parts(self) -> Iterator[bytes]:
        """All parts; `size_bytes` and `cut_from` are final after the last."""
        part, self._held, self.size_bytes = self._held, b"", 0
        while True:
            self.size_bytes += len(part)
            yield part
            if self._ended:
                return
            if self._stopping():
                raise Fenced("stopped in the middle of a large mail; it will be read again")
            part = self._fetch(self.size_bytes, min(PART_BYTES, self._limit + 1 - self.size_bytes))
            if self.size_bytes + len(part) > self._limit:
                self.cut_from = max(self._stated, self._limit + 1)
                part, self._ended = part[: self._limit - self.size_bytes], True

    def _fetch(self, offset: int, size_bytes: int) -> bytes:
        found = self._connection.part(self._uid, offset, size_bytes)
        data = b"" if found is None else found.data
        self._ended = not data or (len(data) < size_bytes and offset + len(data) >= self._stated)
        return data


def _sane(received_at: dt.datetime | None) -> dt.datetime | None:
    """A server may state any year."""
    return (
        received_at if received_at is not None and received_at.tzinfo is not None and 1971 <= received_at.year <= 9000 else None
    )
