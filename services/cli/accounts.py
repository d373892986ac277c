"""`channels accounts`: list, turn on and off, delete. `channels apply` creates and changes them."""

from __future__ import annotations

from uuid import UUID

import click

from services.cli.managing import acting, actor, every, for_tenant, show, showing
from shared.adapters.tables import ChannelAccount
from shared.domain.enums import AccountStatus
from shared.management.accounts import change_account_status
from shared.management.lists import AccountFilter, list_accounts
from shared.management.ownership import owned, owned_for_change
from shared.management.removal import delete_account

_COLUMNS = ("id", "connector_id", "identidade", "nome_exibicao", "status", "org_unit_id", "intake_flow_id")


@click.group()
def accounts() -> None:
    """List accounts, turn them on and off, delete them."""


@accounts.command("list")
@click.option("--connector", "connector_id", default=None, help="Id of the connector.")
@click.option("--status", type=click.Choice([status.value for status in AccountStatus]))
@showing
def list_(tenant: UUID, connector_id: str | None, status: str | None, as_json: bool) -> None:
    """By connector, oldest first."""
    wanted = AccountFilter(connector_id=connector_id, status=AccountStatus(status) if status else None)
    with acting(tenant) as session:
        rows = every(lambda asked: list_accounts(session, str(tenant), wanted, asked))
    show(rows, _COLUMNS, as_json=as_json)


@accounts.command("show")
@click.argument("account_id")
@for_tenant
def show_(tenant: UUID, account_id: str) -> None:
    """One account, as JSON."""
    with acting(tenant) as session:
        row = owned(session, ChannelAccount, account_id, str(tenant))
    show([row], (), as_json=True)


@accounts.command()
@click.argument("account_id")
@click.argument("wanted", type=click.Choice([status.value for status in AccountStatus]))
@for_tenant
def status(tenant: UUID, account_id: str, wanted: str) -> None:
    """Turn it on or off; an active account needs an active connector."""
    with acting(tenant, change=True) as session:
        row = owned_for_change(session, ChannelAccount, account_id, str(tenant))
        change_account_status(session, row.id, AccountStatus(wanted), actor=actor())
    click.echo(f"{row.id} is {row.status}")


@accounts.command()
@click.argument("account_id")
@for_tenant
def delete(tenant: UUID, account_id: str) -> None:
    """Delete one that never carried anything; set others to `inactive`."""
    with acting(tenant, change=True) as session:
        row = owned_for_change(session, ChannelAccount, account_id, str(tenant))
        delete_account(session, row.id, actor=actor())
    click.echo(f"deleted {account_id}")
