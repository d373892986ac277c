"""`channels tokens`: the credentials of a connector; values go in and are never printed."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import click

from services.cli.groups import Group
from services.cli.managing import CONNECTOR, acting, actor, done, every, for_tenant, listing, show, show_one, showing, vault
from services.cli.printing import print_json, print_table
from services.cli.values import Moment, members_of, noted, secret_from, secret_of
from services.cli.views import seen
from shared.adapters.tables import ChannelToken
from shared.domain.enums import TokenKind
from shared.management.lists import list_parts
from shared.management.renewed_tokens import renew_now, renewals_of
from shared.management.tokens import NewToken, add_token, describe_token, revoke_token

_RENEWAL = ("token_id", "kind", "task", "state", "due_at", "ends_at", "cause", "action")
_LISTED = ("id", "kind", "expires_at", "renewal", "due_at", "cause", "action")
_KIND = click.Choice([kind.value for kind in TokenKind])
_EXPIRES = click.option("--expires-at", type=Moment(), help="Without a zone UTC; left out: never.")
_ADDING = (
    "channels tokens add --connector Meta --kind access_token                # asks for it",
    "channels tokens add --connector Meta --kind access_token --value-env META_TOKEN",
    "pass show meta | channels tokens add --connector Meta --kind access_token --value-file -",
)


@click.group(cls=Group, examples=("channels tokens list --connector Meta", *_ADDING))
def tokens() -> None:
    """List, add and revoke the credentials of a connector; see and order their renewals."""


@tokens.command("list", examples=("channels tokens list --connector Meta",))
@CONNECTOR
@listing
def list_(tenant: str, connector: str, limit: int | None, as_json: bool) -> None:
    """Oldest first, without values; `renewal` and `due_at`: what the token rotator has planned."""
    with acting(tenant) as work:
        row = work.connector(connector)
        rows = every(lambda asked: list_parts(work.session, work.tenant, ChannelToken, row.id, asked), limit)
    if as_json or not rows:
        show(rows, (), as_json=as_json)
    else:
        print_table([_line(row) for row in rows], _LISTED)


def _line(row: ChannelToken) -> dict[str, Any]:
    view = seen(row)
    renewal = view["renewal"] or {}
    return {**view, "renewal": renewal.get("state"), **{name: renewal.get(name) for name in ("due_at", "cause", "action")}}


@tokens.command(examples=("channels tokens renewals --connector Meta",))
@CONNECTOR
@showing
def renewals(tenant: str, connector: str, as_json: bool) -> None:
    """What the token rotator has planned for each token, and what stands in its way."""
    with acting(tenant) as work:
        rows = renewals_of(work.session, work.connector(connector).id)
    views = [dict(zip(_RENEWAL, row, strict=True)) for row in rows]
    if as_json:
        print_json(views)
    elif views:
        print_table(views, _RENEWAL)
    else:
        click.echo("none")


@tokens.command(examples=("channels tokens renew 0198c0de-0000-7000-8000-000000000001",))
@click.argument("token_id")
@for_tenant
def renew(tenant: str, token_id: str) -> None:
    """Make its renewal due now, also one that has stopped; a running token rotator does it within seconds."""
    with acting(tenant, change=True) as work:
        row = work.part(ChannelToken, token_id, change=True)
        renew_now(work.session, row.id, actor=actor())
    click.echo(f"{row.id} is due now")


@tokens.command("show", examples=("channels tokens show 0198c0de-0000-7000-8000-000000000001",))
@click.argument("token_id")
@showing
def show_(tenant: str, token_id: str, as_json: bool) -> None:
    """What is known of one token."""
    with acting(tenant) as work:
        row = work.part(ChannelToken, token_id)
    show_one(row, as_json=as_json)


@tokens.command(examples=_ADDING)
@CONNECTOR
@click.option("--kind", type=_KIND, required=True)
@secret_from
@_EXPIRES
@noted
@showing
def add(
    tenant: str,
    connector: str,
    kind: str,
    value_file: Path | None,
    value_env: str | None,
    expires_at: dt.datetime | None,
    notes: tuple[str, ...],
    as_json: bool,
) -> None:
    """One more credential; older ones stay usable. The value: a file, a variable, CHANNELS_NEW_TOKEN, typed, or piped in."""
    with acting(tenant) as work:
        connector_id = work.connector(connector).id  # before the question, which might be in vain
    value = secret_of(value_file, value_env, "CHANNELS_NEW_TOKEN", "Token")
    metadata = members_of(notes, "--metadata") or None
    new = NewToken(kind=TokenKind(kind), value=value, expires_at=expires_at, metadata=metadata)
    with acting(tenant, change=True) as work:
        row = add_token(work.session, vault(), work.connector(connector_id, change=True).id, new, actor=actor())
    done(row, f"added {row.id}", as_json=as_json)


@tokens.command(
    examples=(
        "channels tokens update 0198c0de-0000-7000-8000-000000000001 --expires-at 2030-01-31",
        "channels tokens update 0198c0de-0000-7000-8000-000000000001 --metadata owner=ops",
    )
)
@click.argument("token_id")
@_EXPIRES
@noted
@showing
def update(tenant: str, token_id: str, expires_at: dt.datetime | None, notes: tuple[str, ...], as_json: bool) -> None:
    """Correct when it expires, or what is noted of it (all notes at once). Its value never changes: add another."""
    if expires_at is None and not notes:
        raise click.UsageError("nothing to change is given")
    with acting(tenant, change=True) as work:
        row = work.part(ChannelToken, token_id, change=True)
        metadata = members_of(notes, "--metadata") or None
        describe_token(work.session, row.id, expires_at=expires_at, metadata=metadata, actor=actor())
    done(row, f"updated {row.id}", as_json=as_json)


@tokens.command(examples=("channels tokens revoke 0198c0de-0000-7000-8000-000000000001",))
@click.argument("token_id")
@for_tenant
def revoke(tenant: str, token_id: str) -> None:
    """Delete it here (not at the provider); an active connector keeps a valid one."""
    with acting(tenant, change=True) as work:
        row = work.part(ChannelToken, token_id, change=True)
        revoke_token(work.session, row.id, actor=actor())
    click.echo(f"revoked {row.id}")
