"""`channels certificates`: the public certificates by which the edge proves SNS messages."""

from __future__ import annotations

import click

from services.cli.groups import Group
from services.cli.managing import JSON, acting_for_connector, actor, one_connector
from services.cli.printing import print_json, print_table
from services.cli.sns import asking_sns
from shared.adapters.tables import ChannelConnector
from shared.management.certificates import certificates_of, fetch_certificate, utc_now
from shared.management.changes import find

_ID = "0198c0de-0000-7000-8000-000000000001"
_URL = "https://sns.sa-east-1.amazonaws.com/SimpleNotificationService-0.pem"


@click.group(cls=Group, examples=(f"channels certificates list --connector {_ID}",))
def certificates() -> None:
    """Fetch and list certificates of webhook signatures (Amazon SNS)."""


@certificates.command(
    examples=(
        "channels tail channel.account.sync_required     # cause certificate_missing: the address is there",
        f"channels certificates fetch --connector {_ID} --url {_URL}",
    )
)
@one_connector
@click.option("--url", "urls", multiple=True, help="Address as the edge asked for it; without it, those known are fetched anew.")
def fetch(connector: str, tenant: str | None, urls: tuple[str, ...]) -> None:
    """Fetch a certificate and put it into the connector's snapshot.

    The address is in the event channel.account.sync_required (cause certificate_missing).
    """
    with acting_for_connector(connector, tenant) as (session, connector_id):
        wanted = urls or tuple(row.url for row in certificates_of(session, connector_id))
        if not wanted:
            raise click.UsageError("the connector has no certificate yet: give --url")
        with asking_sns() as source:
            for url in wanted:
                found = fetch_certificate(session, connector_id, url, source, now=utc_now(), actor=actor())
                session.commit()
                state = "stored " if found.changed else "kept   "
                click.echo(f"{state} {found.not_after:%Y-%m-%d}  {found.url}")


@certificates.command("list", examples=(f"channels certificates list --connector {_ID}",))
@one_connector
@JSON
def list_(connector: str, tenant: str | None, as_json: bool) -> None:
    """Show the connector's certificates and when each ends."""
    with acting_for_connector(connector, tenant) as (session, connector_id):
        find(session, ChannelConnector, connector_id)
        rows = certificates_of(session, connector_id)
    told = [{"url": row.url, "not_after": row.not_after.isoformat(), "fetched_at": row.fetched_at.isoformat()} for row in rows]
    if as_json:
        print_json(told)
    elif told:
        print_table(told, ("not_after", "fetched_at", "url"))
    else:
        click.echo("none")
