"""`channels connectors`: list, move between states, delete. `channels apply` creates and changes them."""

from __future__ import annotations

from uuid import UUID

import click

from services.cli.managing import acting, actor, every, for_tenant, show, showing
from shared.adapters.tables import ChannelConnector
from shared.domain.enums import ConnectorStatus, ConnectorType
from shared.management.connectors import change_status
from shared.management.lists import ConnectorFilter, list_connectors
from shared.management.ownership import owned, owned_for_change
from shared.management.removal import delete_connector

_COLUMNS = ("id", "tipo", "nome", "status", "ultimo_heartbeat")


@click.group()
def connectors() -> None:
    """List connectors, move them between states, delete them."""


@connectors.command("list")
@click.option("--tipo", type=click.Choice([tipo.value for tipo in ConnectorType]))
@click.option("--status", type=click.Choice([status.value for status in ConnectorStatus]))
@showing
def list_(tenant: UUID, tipo: str | None, status: str | None, as_json: bool) -> None:
    """Oldest first."""
    wanted = ConnectorFilter(tipo=ConnectorType(tipo) if tipo else None, status=ConnectorStatus(status) if status else None)
    with acting(tenant) as session:
        rows = every(lambda asked: list_connectors(session, str(tenant), wanted, asked))
    show(rows, _COLUMNS, as_json=as_json)


@connectors.command("show")
@click.argument("connector_id")
@for_tenant
def show_(tenant: UUID, connector_id: str) -> None:
    """One connector, as JSON."""
    with acting(tenant) as session:
        row = owned(session, ChannelConnector, connector_id, str(tenant))
    show([row], (), as_json=True)


@connectors.command()
@click.argument("connector_id")
@click.argument("wanted", type=click.Choice([status.value for status in ConnectorStatus]))
@for_tenant
def status(tenant: UUID, connector_id: str, wanted: str) -> None:
    """Move it to another state; its accounts follow when it leaves `active`."""
    with acting(tenant, change=True) as session:
        row = owned_for_change(session, ChannelConnector, connector_id, str(tenant))
        change_status(session, row.id, ConnectorStatus(wanted), cause="changed by hand", actor=actor())
    click.echo(f"{row.id} is {row.status}")


@connectors.command()
@click.argument("connector_id")
@for_tenant
def delete(tenant: UUID, connector_id: str) -> None:
    """Delete one that never carried anything; set others to `archived`."""
    with acting(tenant, change=True) as session:
        row = owned_for_change(session, ChannelConnector, connector_id, str(tenant))
        delete_connector(session, row.id, actor=actor())
    click.echo(f"deleted {connector_id}")
