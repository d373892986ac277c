"""`channels certificates`: the public certificates by which the edge proves SNS messages."""

from __future__ import annotations

import getpass

import click

from services.cli.groups import Group
from shared.adapters.certificate_source import CertificateSource
from shared.adapters.database import create_engine_for, unit_of_work
from shared.adapters.tables import ChannelConnector
from shared.management.acting import act_for_connector
from shared.management.certificates import certificates_of, fetch_certificate, utc_now
from shared.management.changes import find
from shared.management.rules import rules_enforced
from shared.runtime.settings import DatabaseSettings, load, require

_CONNECTOR = click.option("--connector", "connector_id", required=True, help="Id of the connector.")


@click.group(cls=Group, examples=("channels certificates list --connector 0198c0de-0000-7000-8000-000000000001",))
def certificates() -> None:
    """Fetch and list certificates of webhook signatures (Amazon SNS)."""


@certificates.command(
    examples=(
        "channels tail channel.account.sync_required     # cause certificate_missing: the address is there",
        "channels certificates fetch --connector 0198c0de-0000-7000-8000-000000000001 --url https://sns.sa-east-1.amazonaws.com/SimpleNotificationService-0.pem",
    )
)
@_CONNECTOR
@click.option("--url", "urls", multiple=True, help="Address as the edge asked for it; without it, those known are fetched anew.")
def fetch(connector_id: str, urls: tuple[str, ...]) -> None:
    """Fetch a certificate and put it into the connector's snapshot.

    The address is in the event channel.account.sync_required (cause certificate_missing).
    """
    engine = create_engine_for(_database_url(), application_name="channels-certificates")
    try:
        with rules_enforced(), unit_of_work(engine) as session:
            act_for_connector(session, connector_id)
            wanted = urls or tuple(row.url for row in certificates_of(session, connector_id))
            if not wanted:
                raise click.UsageError("the connector has no certificate yet: give --url")
            for url in wanted:
                found = fetch_certificate(
                    session, connector_id, url, CertificateSource(), now=utc_now(), actor=f"cli:{getpass.getuser()}"
                )
                session.commit()
                state = "stored " if found.changed else "kept   "
                click.echo(f"{state} {found.not_after:%Y-%m-%d}  {found.url}")
    finally:
        engine.dispose()


@certificates.command("list", examples=("channels certificates list --connector 0198c0de-0000-7000-8000-000000000001",))
@_CONNECTOR
def list_(connector_id: str) -> None:
    """Show the connector's certificates and when each ends."""
    engine = create_engine_for(_database_url(), application_name="channels-certificates")
    try:
        with rules_enforced(), unit_of_work(engine) as session:
            act_for_connector(session, connector_id)
            find(session, ChannelConnector, connector_id)
            rows = certificates_of(session, connector_id)
            for row in rows:
                click.echo(f"ends {row.not_after:%Y-%m-%d}  fetched {row.fetched_at:%Y-%m-%d %H:%M}  {row.url}")
            if not rows:
                click.echo("none")
    finally:
        engine.dispose()


def _database_url() -> str:
    return require(load(DatabaseSettings).database_api_url, "CHANNELS_DATABASE_API_URL")
