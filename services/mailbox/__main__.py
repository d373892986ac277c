"""Start a mailbox process: settings, logging, metrics, build, run; SIGTERM drains."""

from __future__ import annotations

import asyncio
import os
import socket

import structlog
from prometheus_client import CollectorRegistry

from services.mailbox.app import Mailboxes
from services.mailbox.logins import Logins
from services.mailbox.reader import ReaderParts
from services.mailbox.settings import MailboxSettings
from services.mailbox.writing import MailWriter, WriterParts
from shared.adapters.avro import Codec
from shared.adapters.clock import SystemClock, new_uuid7
from shared.adapters.database import create_engine_for
from shared.adapters.durable_producer import DurableProducer
from shared.adapters.guarded_mail import GuardedServers
from shared.adapters.kafka import client_config, full_name
from shared.adapters.mailbox_positions import MailboxPositions
from shared.adapters.object_store import ObjectStore
from shared.adapters.vault import Vault
from shared.domain.enums import KeyPurpose
from shared.domain.topics import Topic
from shared.runtime.http import tenant_egress
from shared.runtime.keys import open_vault
from shared.runtime.lifecycle import StopRequest, on_signals, run
from shared.runtime.logging import configure_logging
from shared.runtime.mail import mail_egress, mail_tls
from shared.runtime.metrics import MailboxMetrics
from shared.runtime.operations import OperationsServer
from shared.runtime.settings import load, require

_FLUSH_SECONDS = 6.0
_WATCHDOG_SECONDS = 10.0  # beyond the drain


def main() -> None:
    """Run until SIGTERM or SIGINT; exit code 2 for a wrong setting or a schema that is not up to date."""
    settings = load(MailboxSettings)
    configure_logging("mailbox", settings)
    asyncio.run(_serve(settings))


async def _serve(settings: MailboxSettings) -> None:
    loop, log, registry, stop = asyncio.get_running_loop(), structlog.get_logger(), CollectorRegistry(), StopRequest()
    on_signals(stop.set, settings.mailbox_drain_seconds + _FLUSH_SECONDS + _WATCHDOG_SECONDS)
    codec = Codec(settings.schema_registry_url)
    codec.prepare([Topic.WEBHOOK_RECEIVED, Topic.SYNC_REQUIRED])
    producer = DurableProducer(
        client_config(settings.kafka_bootstrap, "mailbox"),
        watched_topic=full_name(settings.topic_prefix, Topic.WEBHOOK_RECEIVED),
        delivery_seconds=settings.mailbox_delivery_seconds,
    )
    vault = open_vault(settings, {KeyPurpose.INGEST, KeyPurpose.CREDENTIAL}, registry)
    parts = _reader_parts(settings, vault, MailboxMetrics(registry), codec, producer, loop)
    service = Mailboxes(
        parts,
        lease_seconds=settings.mailbox_lease_seconds,
        readers=settings.mailbox_readers,
        plain_loopback=settings.mailbox_plain_loopback,
    )

    def readiness() -> tuple[bool, str]:
        return service.readiness if producer.ready else (False, producer.reason)

    operations = OperationsServer(settings.mailbox_operations_host, settings.mailbox_operations_port, registry, readiness)
    operations.start()
    producer.start()
    log.info("started", operations_port=operations.port)
    try:
        await asyncio.to_thread(service.run, stop, settings.mailbox_drain_seconds)
    finally:
        log.info("stopped", undelivered=await producer.stop(_FLUSH_SECONDS))
        operations.stop()


def _reader_parts(
    settings: MailboxSettings,
    vault: Vault,
    metrics: MailboxMetrics,
    codec: Codec,
    producer: DurableProducer,
    loop: asyncio.AbstractEventLoop,
) -> ReaderParts:
    worker = create_engine_for(
        require(settings.database_worker_url, "CHANNELS_DATABASE_WORKER_URL"), application_name="channels-mailbox"
    )
    credential = create_engine_for(
        require(settings.database_credential_url, "CHANNELS_DATABASE_CREDENTIAL_URL"),
        pool_size=2,
        application_name="channels-mailbox",
    )
    writer = MailWriter(
        WriterParts(
            loop=loop,
            producer=producer,
            codec=codec,
            topic_prefix=settings.topic_prefix,
            objects=ObjectStore(settings.object_store_url),
            vault=vault,
            clock=SystemClock(),
            spool_dir=settings.mailbox_spool_dir,
            mail_bytes=settings.mailbox_mail_bytes,
            large_at_once=settings.mailbox_large_at_once,
        )
    )
    holder = f"{socket.gethostname()}/{os.getpid()}/{new_uuid7()}"
    return ReaderParts(
        positions=MailboxPositions(worker, holder, settings.mailbox_lease_seconds),
        logins=Logins(credential, vault),
        writer=writer,
        metrics=metrics,
        servers=GuardedServers(mail_egress(tenant_egress(settings)), mail_tls(settings)),
        connect_seconds=settings.mailbox_connect_seconds,
        command_seconds=settings.mailbox_command_seconds,
        idle_seconds=settings.mailbox_idle_seconds,
        poll_seconds=settings.mailbox_poll_seconds,
        delivery_seconds=settings.mailbox_delivery_seconds,
        first_days=settings.mailbox_first_days,
        resync_days=settings.mailbox_resync_days,
    )


if __name__ == "__main__":
    run(main)
