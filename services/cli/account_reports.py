"""`channels accounts report|checks|usage`: what is known of one account."""

from __future__ import annotations

import datetime as dt
from typing import Any

import click

from services.cli.accounts import accounts
from services.cli.managing import acting, every, listing, show, showing
from services.cli.printing import print_fields, print_json
from services.cli.values import Moment
from services.cli.views import seen
from shared.domain.enums import HealthStatus, UsageType
from shared.domain.syncing import SyncState
from shared.management.account_status import AccountStatusReport, account_status
from shared.management.lists import CheckFilter, UsageFilter, list_checks, list_usage

_DAY = click.DateTime(["%Y-%m-%d"])


@accounts.command(examples=("channels accounts report 5511900000001", "channels accounts report 5511900000001 --json"))
@click.argument("account")
@showing
def report(tenant: str, account: str, as_json: bool) -> None:
    """What is known right now: connectivity, route, limits, webhooks. The API tells the length of the queue too."""
    with acting(tenant) as work:
        known = account_status(work.session, work.tenant, work.account(account).id)
    told = _told(known)
    if as_json:
        print_json(told)
        return
    connectivity, route, limits = told["connectivity"], told["route"], told["limits"]
    check = connectivity["last_check"]
    print_fields(
        {
            "account": f"{known.account.identidade} ({known.account.status})",
            "connector": f"{known.connector.nome} ({known.connector.status})",
            "waits because": connectivity["cause"],
            "last check": check and f"{check['status']} at {check['executado_em']}: {check['mensagem']}",
            "route": route["state"],
            "paused for": route["pause_cause"],
            "paused since": route["paused_since"],
            "fallback": route["fallback"],
            "tier": told["described"]["tier"],
            "features": ", ".join(row["feature"] for row in limits["capabilities"] if row["enabled"]),
            "used today": ", ".join(f"{tipo} {count}" for tipo, count in limits["used_today"].items()) or None,
            "webhooks": ", ".join(row["evento"] for row in told["webhooks"] if row["status"] == "active") or None,
            "registered": ", ".join(_registered(row) for row in told["syncs"]) or None,
        }
    )


@accounts.command(examples=("channels accounts checks 5511900000001 --status failed --limit 5",))
@click.argument("account")
@click.option("--status", type=click.Choice([one.value for one in HealthStatus]))
@click.option("--since", type=Moment(), help="Such as 2030-01-31 or 2030-01-31T12:00:00-03:00; without a zone UTC.")
@listing
def checks(tenant: str, account: str, status: str | None, since: Any, limit: int | None, as_json: bool) -> None:
    """Its own health checks, newest first."""
    with acting(tenant) as work:
        wanted = CheckFilter(account_id=work.account(account).id, status=HealthStatus(status) if status else None, since=since)
        rows = every(lambda asked: list_checks(work.session, work.tenant, wanted, asked), limit)
    show(rows, ("executado_em", "status", "duracao_ms", "mensagem"), as_json=as_json)


@accounts.command(examples=("channels accounts usage 5511900000001 --from 2030-01-01 --to 2030-01-31",))
@click.argument("account")
@click.option("--tipo", type=click.Choice([one.value for one in UsageType]))
@click.option("--from", "first_day", type=_DAY, help="First day.")
@click.option("--to", "last_day", type=_DAY, help="Last day.")
@listing
def usage(
    tenant: str,
    account: str,
    tipo: str | None,
    first_day: dt.datetime | None,
    last_day: dt.datetime | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Its volumes per day and type, newest day first."""
    with acting(tenant) as work:
        wanted = UsageFilter(
            account_id=work.account(account).id,
            tipo=UsageType(tipo) if tipo else None,
            first_day=first_day.date() if first_day else None,
            last_day=last_day.date() if last_day else None,
        )
        rows = every(lambda asked: list_usage(work.session, work.tenant, wanted, asked), limit)
    show(rows, ("data", "tipo", "quantidade"), as_json=as_json)


def _registered(row: dict[str, Any]) -> str:
    """How the last sync ended, why and what to do; and since when another one waits, or runs, or waits for a person."""
    last = " ".join(part for part in (row["outcome"], row["cause"], row["action"] and f"({row['action']})") if part)
    if row["state"] == SyncState.IDLE:
        return last or "never"
    pending = f"{row['state']} since {row['asked_since']}"
    return f"{pending}, last: {last}" if last else pending


def _told(known: AccountStatusReport) -> dict[str, Any]:
    """As the API tells it, without the queue."""
    account, connector, state = known.account, known.connector, known.state
    heartbeat = connector.ultimo_heartbeat
    return {
        "account_id": account.id,
        "connector_id": connector.id,
        "connectivity": {
            "connector": connector.status.value,
            "account": account.status.value,
            "cause": state.cause if state else None,
            "since": state.since.isoformat() if state else None,
            "ultimo_heartbeat": heartbeat.isoformat() if heartbeat else None,
            "last_check": seen(known.check) if known.check else None,
        },
        "route": {
            "org_unit_id": account.org_unit_id,
            "intake_flow_id": account.intake_flow_id,
            "state": state.route if state else "open",
            "pause_cause": state.route_cause if state else None,
            "paused_since": state.route_since.isoformat() if state and state.route_since else None,
            "fallback": state.fallback if state else None,
        },
        "described": _described_of(known),
        "limits": {
            "capabilities": [seen(row) for row in known.capabilities],
            "today": known.today.isoformat(),
            "used_today": {tipo.value: count for tipo, count in known.used_today.items()},
        },
        "webhooks": [seen(row) for row in known.webhooks],
        "syncs": [seen(row) for row in known.syncs],
    }


def _described_of(known: AccountStatusReport) -> dict[str, Any]:
    """What the provider said last of the account, as the API shows it."""
    told = known.description
    names = ("display_name", "verified_name", "tier", "throughput", "quality", "app_id")
    values = {name: getattr(told, name) if told else None for name in names}
    return {
        "nome_exibicao_manual": known.name_held,
        **values,
        "changed_at": told.changed_at.isoformat() if told else None,
    }
