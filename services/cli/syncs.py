"""`channels connectors|accounts sync`, `channels connectors syncs`: register webhooks at providers, and see how it went."""

from __future__ import annotations

import time
from typing import Any

import click

from services.cli import account_reports  # noqa: F401  its commands are in the group too
from services.cli.accounts import accounts
from services.cli.connectors import connectors
from services.cli.managing import acting, actor, every, for_tenant, listing, show
from services.cli.printing import print_table
from services.cli.running import ExitCode
from services.cli.views import seen
from shared.domain.errors import Unavailable
from shared.domain.syncing import GOOD
from shared.management.sync_requests import Asked, list_syncs, subjects_of, sync_account, sync_connector, syncs_since

_GOOD = frozenset(outcome.value for outcome in GOOD)
_COLUMNS = ("account_id", "state", "asked_since", "outcome", "cause", "action", "missing", "registered_url")
_POLL_SECONDS = 0.5
_WAIT = click.option("--wait", is_flag=True, help="Wait for the result; 1 if it is not good, 4 if none comes.")
_SECONDS = click.option(
    "--seconds", type=click.FloatRange(1, 3_600), default=120, show_default=True, help="With --wait: at most."
)


@connectors.command(examples=("channels connectors sync Meta --wait",))
@click.argument("connector")
@_WAIT
@_SECONDS
@for_tenant
def sync(tenant: str, connector: str, wait: bool, seconds: float) -> None:
    """Register its webhook at the provider and read it back; where each account has its own, those of all accounts."""
    with acting(tenant, change=True) as work:
        asked = sync_connector(work.session, work.connector(connector, change=True).id, actor=actor())
    _told(tenant, asked, wait=wait, seconds=seconds)


@accounts.command("sync", examples=("channels accounts sync 5511900000001 --wait",))
@click.argument("account")
@_WAIT
@_SECONDS
@for_tenant
def sync_one(tenant: str, account: str, wait: bool, seconds: float) -> None:
    """The same for one account; where its connector has one registration for all of them, that one."""
    with acting(tenant, change=True) as work:
        asked = sync_account(work.session, work.account(account, change=True).id, actor=actor())
    _told(tenant, asked, wait=wait, seconds=seconds)


@connectors.command(examples=("channels connectors syncs Meta", "channels connectors syncs Meta --json"))
@click.argument("connector")
@listing
def syncs(tenant: str, connector: str, limit: int | None, as_json: bool) -> None:
    """What is registered at the provider, of the connector or of each of its accounts, and what a person must do."""
    with acting(tenant) as work:
        connector_id = work.connector(connector).id
        rows = every(lambda asked: list_syncs(work.session, work.tenant, connector_id, asked), limit)
    show(rows, _COLUMNS, as_json=as_json)


def _told(tenant: str, asked: Asked, *, wait: bool, seconds: float) -> None:
    if not wait:
        click.echo("asked for; `channels connectors syncs` shows how it goes")
        return
    deadline = time.monotonic() + seconds
    while True:
        with acting(tenant) as work:
            subjects = subjects_of(work.session, asked)
            rows = [seen(row) for row in syncs_since(work.session, subjects, asked)]
        if not subjects:
            click.echo("nothing to sync: no account is turned on")
            return
        if len(rows) == len(subjects):
            break
        if time.monotonic() >= deadline:
            raise Unavailable(f"{len(subjects) - len(rows)} of {len(subjects)} syncs have no result yet; do sync and relay run?")
        time.sleep(_POLL_SECONDS)
    _show(rows)


def _show(rows: list[dict[str, Any]]) -> None:
    print_table(rows, _COLUMNS)
    for one in rows:
        for sentence in one["by_hand"]:
            click.echo(f"by hand: {sentence}")
    if any(one["outcome"] not in _GOOD for one in rows):
        raise click.exceptions.Exit(ExitCode.REFUSED)
