"""`channels tokens`: the credentials of a connector; values go in and are never printed."""

from __future__ import annotations

import datetime as dt
from uuid import UUID

import click

from services.cli.managing import acting, actor, every, for_tenant, show, showing, vault
from shared.adapters.tables import ChannelConnector, ChannelToken
from shared.domain.enums import TokenKind
from shared.management.lists import list_parts
from shared.management.ownership import owned_for_change
from shared.management.tokens import NewToken, add_token, revoke_token

_COLUMNS = ("id", "kind", "expires_at", "created_at")
_CONNECTOR = click.option("--connector", "connector_id", required=True, help="Id of the connector.")


@click.group()
def tokens() -> None:
    """List, add and revoke the credentials of a connector."""


@tokens.command("list")
@_CONNECTOR
@showing
def list_(tenant: UUID, connector_id: str, as_json: bool) -> None:
    """Oldest first, without values."""
    with acting(tenant) as session:
        rows = every(lambda asked: list_parts(session, str(tenant), ChannelToken, connector_id, asked))
    show(rows, _COLUMNS, as_json=as_json)


@tokens.command()
@_CONNECTOR
@click.option("--kind", type=click.Choice([kind.value for kind in TokenKind]), required=True)
@click.option("--value", envvar="CHANNELS_NEW_TOKEN", prompt="Token", hide_input=True, help="Better left out: it asks.")
@click.option("--expires-at", type=click.DateTime(), help="UTC; left out: never.")
@for_tenant
def add(tenant: UUID, connector_id: str, kind: str, value: str, expires_at: dt.datetime | None) -> None:
    """One more credential; older ones stay usable. The value: typed, or in CHANNELS_NEW_TOKEN."""
    new = NewToken(kind=TokenKind(kind), value=value, expires_at=expires_at and expires_at.replace(tzinfo=dt.UTC))
    with acting(tenant, change=True) as session:
        connector = owned_for_change(session, ChannelConnector, connector_id, str(tenant))
        token = add_token(session, vault(), connector.id, new, actor=actor())
    click.echo(f"added {token.id}")


@tokens.command()
@click.argument("token_id")
@for_tenant
def revoke(tenant: UUID, token_id: str) -> None:
    """Delete it here (not at the provider); an active connector keeps a valid one."""
    with acting(tenant, change=True) as session:
        revoke_token(session, owned_for_change(session, ChannelToken, token_id, str(tenant)).id, actor=actor())
    click.echo(f"revoked {token_id}")
