"""`channels fallbacks`: where an account's traffic goes when its checks keep failing."""

from __future__ import annotations

from uuid import UUID

import click

from services.cli.managing import acting, actor, every, for_tenant, show, showing
from shared.adapters.tables import ChannelAccount, ChannelConnector, ChannelFallback
from shared.domain.enums import FallbackType
from shared.management.fallbacks import NewFallback, create_fallback, delete_fallback, set_default_fallback
from shared.management.lists import list_fallbacks
from shared.management.ownership import owned_for_change

_ACCOUNT = click.option("--account", "account_id", required=True, help="Id of the account.")
_COLUMNS = ("id", "tipo", "destino", "ativo")


@click.group()
def fallbacks() -> None:
    """List, add and delete fallbacks, and set a connector's default."""


@fallbacks.command("list")
@_ACCOUNT
@showing
def list_(tenant: UUID, account_id: str, as_json: bool) -> None:
    """Of one account, oldest first."""
    with acting(tenant) as session:
        rows = every(lambda asked: list_fallbacks(session, str(tenant), account_id, asked))
    show(rows, _COLUMNS, as_json=as_json)


@fallbacks.command()
@_ACCOUNT
@click.option("--tipo", type=click.Choice([tipo.value for tipo in FallbackType]), required=True)
@click.option("--destino", required=True, help="A number of one of the tenant's accounts, or a mail address.")
@click.option("--off", is_flag=True, help="Keep it, but do not use it yet.")
@for_tenant
def add(tenant: UUID, account_id: str, tipo: str, destino: str, off: bool) -> None:
    """One more; numbers that lead back to where they began are refused."""
    with acting(tenant, change=True) as session:
        account = owned_for_change(session, ChannelAccount, account_id, str(tenant))
        new = NewFallback(tipo=FallbackType(tipo), destino=destino, ativo=not off)
        row = create_fallback(session, account.id, new, actor=actor())
    click.echo(f"added {row.id}")


@fallbacks.command()
@click.argument("fallback_id")
@for_tenant
def delete(tenant: UUID, fallback_id: str) -> None:
    """Take it away; a connector's default stays."""
    with acting(tenant, change=True) as session:
        delete_fallback(session, owned_for_change(session, ChannelFallback, fallback_id, str(tenant)).id, actor=actor())
    click.echo(f"deleted {fallback_id}")


@fallbacks.command()
@click.option("--connector", "connector_id", required=True, help="Id of the connector.")
@click.option("--fallback", "fallback_id", default=None, help="Id; left out: none.")
@for_tenant
def default(tenant: UUID, connector_id: str, fallback_id: str | None) -> None:
    """What the connector's accounts without one of their own use."""
    with acting(tenant, change=True) as session:
        connector = owned_for_change(session, ChannelConnector, connector_id, str(tenant))
        set_default_fallback(session, connector.id, fallback_id, actor=actor())
    click.echo(f"default of {connector_id}: {fallback_id or 'none'}")
