"""`channels snapshots`: tell readers anew what is configured; list accounts whose target is gone."""

from __future__ import annotations

import json
from dataclasses import asdict
from uuid import UUID

import click

from services.cli.groups import Group
from shared.domain.errors import InvalidInput
from shared.runtime.settings import DatabaseSettings, KafkaSettings, load, require


@click.group(cls=Group, examples=("channels snapshots rebuild", "channels snapshots lost-targets"))
def snapshots() -> None:
    """What every service knows of the configuration."""


@snapshots.command(
    examples=("channels snapshots rebuild", "channels snapshots rebuild --connector 0198c0de-0000-7000-8000-000000000001")
)
@click.option("--connector", "connectors", multiple=True, metavar="ID", help="Only this connector; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per connector.")
def rebuild(connectors: tuple[str, ...], as_json: bool) -> None:
    """Publish every connector and account anew, with a higher version. Safe beside running services; the relay must run.

    Versions are lifted above what the topics hold, so that running readers take the snapshots of a database that was restored to
    an earlier state; what the topics hold and the database does not know is told to be gone.
    """
    from shared.adapters.avro import Codec
    from shared.adapters.database import create_engine_for
    from shared.adapters.snapshot_contents import published_snapshots
    from shared.management.snapshot_rebuild import rebuild_snapshots, repeat_deletions, tell_strangers_gone

    kafka = load(KafkaSettings)
    published = published_snapshots(kafka.kafka_bootstrap, kafka.topic_prefix, Codec(kafka.schema_registry_url))
    api, worker = (create_engine_for(url, pool_size=1) for url in _urls())
    done = accounts = 0
    try:
        wanted = [_id(text) for text in connectors] or None
        for one in rebuild_snapshots(api, worker, wanted, published=published, actor="cli"):
            done, accounts = done + 1, accounts + one.accounts
            click.echo(json.dumps(asdict(one)) if as_json else f"{one.connector_id}  {one.accounts} accounts")
        gone = 0 if connectors else repeat_deletions(api, worker) + tell_strangers_gone(api, worker, published)
    finally:
        api.dispose()
        worker.dispose()
    if not as_json:
        click.echo(f"{done} connectors, {accounts} accounts and {gone} deletions wait in the outbox; the relay publishes them")


@snapshots.command(
    "lost-targets",
    examples=(
        "channels snapshots lost-targets",
        "channels snapshots lost-targets --tenant 0198c0de-0000-7000-8000-000000000001 --json",
    ),
)
@click.option("--tenant", metavar="ID", help="Only this tenant's.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per account.")
def lost_targets(tenant: str | None, as_json: bool) -> None:
    """List accounts whose unit was deleted, or whose flow may no longer take messages in. Exit 1 if there are any."""
    from shared.adapters.database import create_engine_for
    from shared.adapters.lost_targets import read_lost_targets

    engine = create_engine_for(_urls()[1], pool_size=1)
    try:
        with engine.connect() as connection:
            found = read_lost_targets(connection, None if tenant is None else _id(tenant))
    finally:
        engine.dispose()
    for one in found:
        if as_json:
            click.echo(json.dumps(asdict(one)))
            continue
        lost = " and ".join(name for name, is_lost in (("unit", one.org_unit_lost), ("flow", one.intake_flow_lost)) if is_lost)
        click.echo(f"{one.account_id}  {one.identidade}  {lost} lost, {'routed elsewhere' if one.routed else 'NOT ROUTED'}")
    if not found and not as_json:
        click.echo("every account has a target that can be used")
    if found:
        raise SystemExit(1)


def _urls() -> tuple[str, str]:
    database = load(DatabaseSettings)
    return (
        require(database.database_api_url, "CHANNELS_DATABASE_API_URL"),
        require(database.database_worker_url, "CHANNELS_DATABASE_WORKER_URL"),
    )


def _id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise InvalidInput(f"{text[:64]} is not an id") from None
