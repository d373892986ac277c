"""`channels subscriptions`: confirm what an SNS topic asked for, from the sealed record that holds the address."""

from __future__ import annotations

import click

from services.cli.groups import Group
from services.cli.managing import acting_for_connector, actor, one_connector
from services.cli.sns import asking_sns
from shared.adapters.avro import Codec
from shared.adapters.configuration_rows import read_configuration
from shared.adapters.object_store import ObjectStore
from shared.adapters.tables import ChannelConnector
from shared.adapters.vault import Vault
from shared.domain.enums import KeyPurpose
from shared.management.certificates import allowed_topics
from shared.management.changes import find
from shared.management.sns_records import SnsRecords
from shared.management.subscriptions import call_confirmation, note_confirmed, requested_confirmation, waiting_records
from shared.runtime.keys import key_provider
from shared.runtime.settings import KafkaSettings, ObjectStoreSettings, VaultSettings, load


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
        bodies = dict(_records().last(row, count))
        waiting = waiting_records(list(bodies.items()), topics)
        found = {one: requested_confirmation(session, connector_id, one, bodies[one]) for one in waiting.values()}
        wanted = {record_id: confirmation for record_id, confirmation in found.items() if confirmation is not None}
        with asking_sns() as source:
            for record_id, confirmation in wanted.items():
                call_confirmation(source, confirmation)
                note_confirmed(session, connector_id, record_id, confirmation.topic, actor=actor())
                session.commit()
                click.echo(f"confirmed {confirmation.topic}")
        if not wanted:
            click.echo("none waits")


def _records() -> SnsRecords:
    kafka = load(KafkaSettings)
    return SnsRecords(
        bootstrap=kafka.kafka_bootstrap,
        topic_prefix=kafka.topic_prefix,
        codec=Codec(kafka.schema_registry_url),
        vault=Vault(key_provider(load(VaultSettings), (KeyPurpose.INGEST,))),
        objects=ObjectStore(load(ObjectStoreSettings).object_store_url),
    )
