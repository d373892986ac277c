"""`channels router`: look after the router."""

from __future__ import annotations

import click

from services.cli.groups import Group
from shared.management.router_progress import adopt as adopt_offsets
from shared.runtime.settings import DatabaseSettings, KafkaSettings, load, require


@click.group(cls=Group, examples=("channels router adopt --dry-run",))
def router() -> None:
    """Look after the router."""


@router.command(examples=("channels router adopt --dry-run", "channels router adopt --yes"))
@click.option("--dry-run", is_flag=True, help="Only print what would be adopted.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def adopt(dry_run: bool, yes: bool) -> None:
    """Accept Kafka's committed offsets after a restore or a re-created topic. Stop all routers first."""
    kafka, database = load(KafkaSettings), load(DatabaseSettings)
    url = require(database.database_worker_url, "CHANNELS_DATABASE_WORKER_URL")
    for line in adopt_offsets(kafka.kafka_bootstrap, kafka.topic_prefix, url, dry_run=True):
        click.echo(line)
    if dry_run:
        return
    if not yes:
        click.confirm("Records before these offsets will never be processed. Adopt?", abort=True)
    adopt_offsets(kafka.kafka_bootstrap, kafka.topic_prefix, url)
    click.echo("adopted; start the routers again")
