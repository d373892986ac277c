"""`channels audit`: who did what."""

from __future__ import annotations

import datetime as dt

import click

from services.cli.groups import Command
from services.cli.managing import acting, every, show, showing
from services.cli.values import Moment
from shared.domain.errors import InvalidInput
from shared.management.lists import AuditFilter, list_audit
from shared.management.naming import is_id

_COLUMNS = ("id", "at", "actor", "action", "subject_type", "subject_id")
_EXAMPLES = (
    "channels audit --since 2030-01-31 --who cli:ana",
    "channels audit --subject 0198c0de-0000-7000-8000-000000000001 --json",
    "channels audit --action connector.updated --limit 200",
    "channels audit --before 1234                              # the page behind the line with this id",
)


@click.command(cls=Command, examples=_EXAMPLES)
@click.option("--subject", "subject_id", default=None, help="Id of what was changed.")
@click.option("--who", default=None, help="As the log names them: cli:…, api:….")
@click.option("--action", default=None, help="Such as connector.updated.")
@click.option("--since", type=Moment(), help="From then on; without a zone UTC.")
@click.option("--until", type=Moment(), help="Before then.")
@click.option("--before", type=click.IntRange(min=1), help="Only older ones than the line with this id.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@showing
def audit(
    tenant: str,
    subject_id: str | None,
    who: str | None,
    action: str | None,
    since: dt.datetime | None,
    until: dt.datetime | None,
    before: int | None,
    limit: int,
    as_json: bool,
) -> None:
    """Newest first; JSON has the masked values before and after."""
    if subject_id is not None and is_id(subject_id) is None:
        raise InvalidInput(f"--subject {subject_id[:64]!r} is no id; `list` and `show` of the object tell it")
    wanted = AuditFilter(subject_id=subject_id, actor=who, action=action, since=since, until=until)
    after = None if before is None else (before,)
    with acting(tenant) as work:
        rows = every(lambda asked: list_audit(work.session, work.tenant, wanted, asked), limit + 1, after)
    show(rows[:limit], _COLUMNS, as_json=as_json)
    if len(rows) > limit:
        click.echo(f"there are older ones: --before {rows[limit - 1].id}, or a higher --limit", err=True)
