"""`channels audit`: who did what."""

from __future__ import annotations

import datetime as dt
from uuid import UUID

import click

from services.cli.managing import acting, every, show, showing
from shared.management.lists import AuditFilter, list_audit


@click.command()
@click.option("--subject", "subject_id", default=None, help="Id of what was changed.")
@click.option("--who", default=None, help="As the log names them: cli:…, api:….")
@click.option("--action", default=None, help="Such as connector.updated.")
@click.option("--since", type=click.DateTime(), help="UTC.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@showing
def audit(
    tenant: UUID,
    subject_id: str | None,
    who: str | None,
    action: str | None,
    since: dt.datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """Newest first; JSON has the masked values before and after."""
    wanted = AuditFilter(subject_id=subject_id, actor=who, action=action, since=since and since.replace(tzinfo=dt.UTC))
    with acting(tenant) as session:
        rows = every(lambda asked: list_audit(session, str(tenant), wanted, asked), limit)
    show(rows, ("at", "actor", "action", "subject_type", "subject_id"), as_json=as_json)
