"""`channels subscriptions`: confirm what an SNS topic asked for, from the sealed record that holds the address."""

from __future__ import annotations

import getpass

import click

from services.cli.groups import Group
from shared.adapters.avro import Codec
from shared.adapters.certificate_source import CertificateSource
from shared.adapters.configuration_rows import read_configuration
from shared.adapters.database import create_engine_for, unit_of_work
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
from shared.management.acting import act_for_connector
from shared.management.certificates import allowed_topics
from shared.management.changes import find
from shared.management.rules import rules_enforced
from shared.management.subscriptions import confirm_subscription, waiting_confirmations
from shared.runtime.keys import key_provider
from shared.runtime.settings import DatabaseSettings, KafkaSettings, ObjectStoreSettings, VaultSettings, load, require

_SNS_TYPE = "x-amz-sns-message-type"


@click.group(cls=Group, examples=("channels subscriptions confirm --connector 0198c0de-0000-7000-8000-000000000001",))
def subscriptions() -> None:
    """Confirm subscriptions of Amazon SNS topics."""


@subscriptions.command(examples=("channels subscriptions confirm --connector 0198c0de-0000-7000-8000-000000000001",))
@click.option("--connector", "connector_id", required=True, help="Id of the connector.")
@click.option("--last", "count", default=1_000, show_default=True, help="How many of its last webhooks are looked through.")
def confirm(connector_id: str, count: int) -> None:
    """Confirm every subscription that waits for it, of topics that the connector allows.

    \b
    Amazon has posted the request to the connector's webhook: it is the connector event `subscription`, state `pending`.
    """
    engine = create_engine_for(
        require(load(DatabaseSettings).database_api_url, "CHANNELS_DATABASE_API_URL"), application_name="channels-subscriptions"
    )
    try:
        with rules_enforced(), unit_of_work(engine) as session:
            act_for_connector(session, connector_id)
            topics = allowed_topics(find(session, ChannelConnector, connector_id))
            row = read_configuration(session.connection(), [connector_id], []).connectors[connector_id]
            waiting = waiting_confirmations(_bodies(row, count), topics)
            for url in waiting.values():
                topic = confirm_subscription(session, connector_id, url, CertificateSource(), actor=f"cli:{getpass.getuser()}")
                session.commit()
                click.echo(f"confirmed {topic}")
            if not waiting:
                click.echo("none waits")
    finally:
        engine.dispose()


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
