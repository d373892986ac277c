"""`channels fallbacks`: where an account's traffic goes when its checks keep failing."""

from __future__ import annotations

from typing import Any

import click

from services.cli.groups import Group
from services.cli.managing import ACCOUNT, CONNECTOR, acting, actor, done, every, for_tenant, listing, show, show_one, showing
from shared.adapters.tables import ChannelFallback
from shared.domain.enums import FallbackType
from shared.management.fallbacks import NewFallback, create_fallback, delete_fallback, set_default_fallback, update_fallback
from shared.management.lists import list_fallbacks

_TYPES = click.Choice([tipo.value for tipo in FallbackType])
_DESTINO = "A number of one of the tenant's accounts, or a mail address."
_ADD = "channels fallbacks add --account 5511900000001 --tipo email_forward --destino ops@example.com"
_ID = "0198c0de-0000-7000-8000-000000000001"


@click.group(cls=Group, examples=("channels fallbacks list --account 5511900000001", _ADD))
def fallbacks() -> None:
    """List, add, change and delete fallbacks, and set a connector's default."""


@fallbacks.command("list", examples=("channels fallbacks list --account 5511900000001 --json",))
@ACCOUNT
@listing
def list_(tenant: str, account: str, limit: int | None, as_json: bool) -> None:
    """Of one account, oldest first."""
    with acting(tenant) as work:
        found = work.account(account)
        rows = every(lambda asked: list_fallbacks(work.session, work.tenant, found.id, asked), limit)
    show(rows, ("id", "tipo", "destino", "ativo"), as_json=as_json)


@fallbacks.command("show", examples=(f"channels fallbacks show {_ID}",))
@click.argument("fallback_id")
@showing
def show_(tenant: str, fallback_id: str, as_json: bool) -> None:
    """One fallback."""
    with acting(tenant) as work:
        row = work.part(ChannelFallback, fallback_id)
    show_one(row, as_json=as_json)


@fallbacks.command(
    examples=(_ADD, "channels fallbacks add --account 5511900000001 --tipo fallback_number --destino 5511900000002 --off")
)
@ACCOUNT
@click.option("--tipo", type=_TYPES, required=True)
@click.option("--destino", required=True, help=_DESTINO)
@click.option("--off", is_flag=True, help="Keep it, but do not use it yet.")
@showing
def add(tenant: str, account: str, tipo: str, destino: str, off: bool, as_json: bool) -> None:
    """One more; numbers that lead back to where they began are refused."""
    with acting(tenant, change=True) as work:
        found = work.account(account, change=True)
        new = NewFallback(tipo=FallbackType(tipo), destino=destino, ativo=not off)
        row = create_fallback(work.session, found.id, new, actor=actor())
    done(row, f"added {row.id}", as_json=as_json)


@fallbacks.command(
    examples=(f"channels fallbacks update {_ID} --off", f"channels fallbacks update {_ID} --destino night@example.com")
)
@click.argument("fallback_id")
@click.option("--tipo", type=_TYPES)
@click.option("--destino", help=_DESTINO)
@click.option("--on/--off", "ativo", default=None, help="Use it, or only keep it.")
@showing
def update(tenant: str, fallback_id: str, tipo: str | None, destino: str | None, ativo: bool | None, as_json: bool) -> None:
    """Change what is given."""
    given: dict[str, Any] = {"tipo": FallbackType(tipo) if tipo else None, "destino": destino, "ativo": ativo}
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        raise click.UsageError("nothing to change is given")
    with acting(tenant, change=True) as work:
        row = work.part(ChannelFallback, fallback_id, change=True)
        row = update_fallback(work.session, row.id, changes, actor=actor())
    done(row, f"updated {row.id}", as_json=as_json)


@fallbacks.command(examples=(f"channels fallbacks delete {_ID}",))
@click.argument("fallback_id")
@for_tenant
def delete(tenant: str, fallback_id: str) -> None:
    """Take it away; a connector's default stays."""
    with acting(tenant, change=True) as work:
        row = work.part(ChannelFallback, fallback_id, change=True)
        delete_fallback(work.session, row.id, actor=actor())
    click.echo(f"deleted {row.id}")


@fallbacks.command(
    examples=(f"channels fallbacks default --connector Meta --fallback {_ID}", "channels fallbacks default --connector Meta")
)
@CONNECTOR
@click.option("--fallback", "fallback_id", default=None, help="Id; left out: none.")
@for_tenant
def default(tenant: str, connector: str, fallback_id: str | None) -> None:
    """Set what the connector's accounts without one of their own use."""
    with acting(tenant, change=True) as work:
        found = work.connector(connector, change=True)
        set_default_fallback(work.session, found.id, fallback_id, actor=actor())
    click.echo(f"default of {found.id}: {fallback_id or 'none'}")
