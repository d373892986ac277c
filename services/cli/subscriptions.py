"""`channels subscriptions`: confirm what an SNS topic asked for, from the sealed record that holds the address."""

from __future__ import annotations

import click

from services.cli.groups import Group
from services.cli.managing import acting_for_connector, actor, one_connector
from shared.adapters.avro import Codec
from shared.adapters.certificate_source import CertificateSource
from shared.adapters.configuration_rows import read_configuration
from shared.adapters.kafka import full_name
from shared.adapters.object_store import ObjectStore
from shared.adapters.raw_body import open_body
from shared.adapters.tables import ChannelConnector
from shared.adapters.topic_reader import TopicReader
from shared.adapters.vault import Vault
from shared.domain.configuration import ConnectorRow
from shared.domain.enums import KeyPurpose
from shared.domain.records import WebhookReceived
from shared.domain.topics import Topic
from shared.management.certificates import allowed_topics
from shared.management.changes import find
from shared.management.subscriptions import confirm_subscription, waiting_confirmations
from shared.runtime.keys import key_provider
from shared.runtime.settings import KafkaSettings, ObjectStoreSettings, VaultSettings, load

_SNS_TYPE = "x-amz-sns-message-type"


@click.group(cls=Group, examples=("channels subscriptions confirm --connector 0198c0de-0000-7000-8000-000000000001",))
def subscriptions() -> None:
    """Confirm subscriptions of Amazon SNS topics."""


@subscriptions.command(examples=("channels subscriptions confirm --connector 0198c0de-0000-7000-8000-000000000001",))
@one_connector
@click.option("--last", "count", default=1_000, show_default=True, help="How many of its last webhooks are looked through.")
def confirm(connector: str, tenant: str | None, count: int) -> None:
    """Confirm every subscription that waits for it, of topics that the connector allows.

    Amazon has posted the request to the connector's webhook: it is the connector event `subscription`, state `pending`.
    """
    with acting_for_connector(connector, tenant) as (session, connector_id):
        topics = allowed_topics(find(session, ChannelConnector, connector_id))
        row = read_configuration(session.connection(), [connector_id], []).connectors[connector_id]
        waiting = waiting_confirmations(_bodies(row, count), topics)
        for url in waiting.values():
            topic = confirm_subscription(session, connector_id, url, CertificateSource(), actor=actor())
            session.commit()
            click.echo(f"confirmed {topic}")
        if not waiting:
            click.echo("none waits")


def _bodies(connector: ConnectorRow, count: int) -> list[bytes]:
    """Bodies of the connector's last SNS messages, the oldest first."""
    kafka = load(KafkaSettings)
    codec, objects = Codec(kafka.schema_registry_url), ObjectStore(load(ObjectStoreSettings).object_store_url)
    ring = Vault(key_provider(load(VaultSettings), (KeyPurpose.INGEST,))).ring(
        KeyPurpose.INGEST, connector.tenant_id, connector.ingest_keys
    )
    with TopicReader(kafka.kafka_bootstrap, full_name(kafka.topic_prefix, Topic.WEBHOOK_RECEIVED)) as reader:
        found = reader.read_last(count, lambda record: record.key == connector.connector_id)
    records: list[WebhookReceived] = [codec.decode(Topic.WEBHOOK_RECEIVED, record.value) for record in found if record.value]
    return [open_body(record, ring, objects) for record in records if _SNS_TYPE in record.headers]
