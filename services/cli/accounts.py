"""`channels accounts`: create, route, turn on and off, pause, delete and list; what is known of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from services.cli.addresses import EdgeSettings
from services.cli.groups import Group
from services.cli.managing import CONNECTOR, acting, actor, done, every, for_tenant, listing, show, show_one, showing
from services.cli.values import config_of, configured, members_of, noted
from shared.domain.enums import AccountStatus
from shared.management.accounts import NewAccount, change_account_status, create_account, update_account
from shared.management.lists import AccountFilter, list_accounts
from shared.management.pauses import pause_account, pause_of, resume_account
from shared.management.removal import delete_account
from shared.runtime.settings import load

_COLUMNS = ("id", "connector_id", "identidade", "nome_exibicao", "status", "org_unit_id", "intake_flow_id", "pause_cause")
_STATES = click.Choice([status.value for status in AccountStatus])
_UNIT = click.option("--unit", help="Name or id of the unit that takes its messages.")
_FLOW = click.option("--flow", help="Name or id of the flow that takes them first.")
_SHOW = "channels accounts show 5511900000001"


@click.group(cls=Group, examples=("channels accounts list --connector Meta", _SHOW))
def accounts() -> None:
    """Create, route, turn on and off, and list accounts. ACCOUNT is an `identidade` or an id."""


@accounts.command("list", examples=("channels accounts list --connector Meta --status pending", "channels accounts list --json"))
@click.option("--connector", help="Name or id.")
@click.option("--status", type=_STATES)
@click.option("--identidade", help="As it is stored.")
@_UNIT
@_FLOW
@listing
def list_(
    tenant: str,
    connector: str | None,
    status: str | None,
    identidade: str | None,
    unit: str | None,
    flow: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """By connector, oldest first."""
    with acting(tenant) as work:
        wanted = AccountFilter(
            connector_id=work.connector(connector).id if connector else None,
            status=AccountStatus(status) if status else None,
            identidade=identidade,
            org_unit_id=work.unit(unit) if unit else None,
            intake_flow_id=work.flow(flow) if flow else None,
        )
        rows = every(lambda asked: list_accounts(work.session, work.tenant, wanted, asked), limit)
    show(rows, _COLUMNS, as_json=as_json)


@accounts.command("show", examples=(_SHOW, f"{_SHOW} --json"))
@click.argument("account")
@showing
def show_(tenant: str, account: str, as_json: bool) -> None:
    """One account."""
    with acting(tenant) as work:
        row = work.account(account)
    show_one(row, as_json=as_json)


@accounts.command(
    examples=(
        "channels accounts create --connector Meta --identidade '+55 11 90000-0001' --unit Support"
        " --config phone_number_id=100000000000001",
        "channels accounts create --connector Mail --identidade help@example.com --flow Welcome",
    )
)
@CONNECTOR
@click.option("--identidade", required=True, help="Number, mailbox or slug, in any spelling.")
@click.option("--nome-exibicao", help="Display name.")
@_UNIT
@_FLOW
@noted
@configured
@showing
def create(
    tenant: str,
    connector: str,
    identidade: str,
    nome_exibicao: str | None,
    unit: str | None,
    flow: str | None,
    notes: tuple[str, ...],
    settings: tuple[str, ...],
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Register an account, pending; it needs a unit, a flow, or both. `channels accounts status` turns it on."""
    config = config_of(settings, config_file)
    with acting(tenant, change=True) as work:
        found = work.connector(connector, change=True)
        new = NewAccount(
            identidade=identidade,
            nome_exibicao=nome_exibicao,
            org_unit_id=work.unit(unit) if unit else None,
            intake_flow_id=work.flow(flow) if flow else None,
            config=config or None,
            metadata=members_of(notes, "--metadata") or None,
        )
        row = create_account(work.session, found.id, new, public_url=load(EdgeSettings).address, actor=actor())
    done(row, f"created {row.id}", as_json=as_json)


@accounts.command(
    examples=(
        "channels accounts update 5511900000001 --unit Sales --no-flow",
        "channels accounts update 5511900000001 --nome-exibicao 'Help desk'",
        "channels accounts update 5511900000001 --provider-name",
    )
)
@click.argument("account")
@click.option("--nome-exibicao", help="Display name; it no longer follows the provider's.")
@click.option("--provider-name", is_flag=True, help="The name that the provider shows again, now and as it changes.")
@_UNIT
@click.option("--no-unit", is_flag=True, help="No unit any more; a flow must be left.")
@_FLOW
@click.option("--no-flow", is_flag=True, help="No flow any more; a unit must be left.")
@click.option("--webhook-url", help="Where the provider posts to for this account alone.")
@noted
@configured
@showing
def update(
    tenant: str,
    account: str,
    nome_exibicao: str | None,
    provider_name: bool,
    unit: str | None,
    no_unit: bool,
    flow: str | None,
    no_flow: bool,
    webhook_url: str | None,
    notes: tuple[str, ...],
    settings: tuple[str, ...],
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Change what is given. --config-file replaces all settings, --config single ones; notes are replaced together."""
    if (unit and no_unit) or (flow and no_flow):
        raise click.UsageError("a target cannot be given and taken away at once")
    if nome_exibicao is not None and provider_name:
        raise click.UsageError("the name is given, or the provider's")
    plain = {"nome_exibicao": nome_exibicao, "webhook_url": webhook_url, "metadata": members_of(notes, "--metadata") or None}
    changes: dict[str, Any] = {name: value for name, value in plain.items() if value is not None}
    if provider_name:
        changes["nome_exibicao"] = None
    with acting(tenant, change=True) as work:
        row = work.account(account, change=True)
        if unit or no_unit:
            changes["org_unit_id"] = work.unit(unit) if unit else None
        if flow or no_flow:
            changes["intake_flow_id"] = work.flow(flow) if flow else None
        if settings or config_file is not None:
            changes["config"] = config_of(settings, config_file, row.config)
        if not changes:
            raise click.UsageError("nothing to change is given")
        row = update_account(work.session, row.id, changes, actor=actor())
    done(row, f"updated {row.id}", as_json=as_json)


@accounts.command(examples=("channels accounts status 5511900000001 active", "channels accounts status 5511900000001 inactive"))
@click.argument("account")
@click.argument("wanted", type=_STATES)
@for_tenant
def status(tenant: str, account: str, wanted: str) -> None:
    """Turn it on or off; an active account needs an active connector."""
    with acting(tenant, change=True) as work:
        row = work.account(account, change=True)
        change_account_status(work.session, row.id, AccountStatus(wanted), actor=actor())
    click.echo(f"{row.id} is {row.status}")


@accounts.command(examples=("channels accounts pause 5511900000001 --cause flow_out_of_order",))
@click.argument("account")
@click.option("--cause", required=True, metavar="CODE", help="A short code, such as `maintenance`; readers of the topics see it.")
@for_tenant
def pause(tenant: str, account: str, cause: str) -> None:
    """Pause its route: its flow is not asked; inbound goes to its unit, or waits until `resume`."""
    with acting(tenant, change=True) as work:
        row = work.account(account, change=True)
        told = pause_of(pause_account(work.session, row.id, cause, actor=actor()))
    click.echo(f"{row.id} is paused: {told['pause_cause']}, since {told['paused_since']}")


@accounts.command(examples=("channels accounts resume 5511900000001",))
@click.argument("account")
@for_tenant
def resume(tenant: str, account: str) -> None:
    """Open its route again; what waited comes out in order."""
    with acting(tenant, change=True) as work:
        row = work.account(account, change=True)
        resume_account(work.session, row.id, actor=actor())
    click.echo(f"{row.id} is open")


@accounts.command(examples=("channels accounts delete 5511900000001",))
@click.argument("account")
@for_tenant
def delete(tenant: str, account: str) -> None:
    """Delete one that never carried anything; set others to `inactive`."""
    with acting(tenant, change=True) as work:
        row = work.account(account, change=True)
        delete_account(work.session, row.id, actor=actor())
    click.echo(f"deleted {row.id}")
