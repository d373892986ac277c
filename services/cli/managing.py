"""What the commands that manage one tenant's configuration share: acting for a tenant, and tables or JSON of rows."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import UUID

import click
from sqlalchemy.orm import Session

from shared.adapters.database import create_engine_for, unit_of_work
from shared.adapters.tables import Base
from shared.adapters.vault import Vault
from shared.domain.enums import KeyPurpose
from shared.management.masking import columns_of, masked
from shared.management.paging import MAX_ROWS, Page, Slice
from shared.management.rules import rules_enforced
from shared.runtime.keys import key_provider
from shared.runtime.settings import DatabaseSettings, VaultSettings, load, require

Row = TypeVar("Row", bound=Base)
Command = TypeVar("Command", bound=Callable[..., Any])

_TENANT = click.option("--tenant", type=click.UUID, required=True, envvar="CHANNELS_TENANT", help="Id; or in CHANNELS_TENANT.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def for_tenant(command: Command) -> Command:
    """The option that every command here has."""
    return _TENANT(command)


def showing(command: Command) -> Command:
    """The options of a command that prints rows."""
    return _TENANT(_JSON(command))


@contextmanager
def acting(tenant: UUID, *, change: bool = False) -> Iterator[Session]:
    """A transaction for one tenant, committed at the end where it changes."""
    url = require(load(DatabaseSettings).database_api_url, "CHANNELS_DATABASE_API_URL")
    engine = create_engine_for(url, pool_size=1, application_name="channels-cli")
    try:
        with rules_enforced(), unit_of_work(engine, tenant_id=str(tenant)) as session:
            yield session
            if change:
                session.commit()
    finally:
        engine.dispose()


def vault() -> Vault:
    """For commands that seal."""
    return Vault(key_provider(load(VaultSettings), tuple(KeyPurpose)))


def actor() -> str:
    """Who the audit log names."""
    return f"cli:{getpass.getuser()}"


def every(read: Callable[[Slice], Page[Row]], limit: int | None = None) -> list[Row]:
    """The rows of all pages, or the first `limit`."""
    rows: list[Row] = []
    asked = Slice(limit=MAX_ROWS)
    while True:
        page = read(asked)
        rows += page.rows
        if page.next is None or (limit is not None and len(rows) >= limit):
            return rows[:limit]
        asked = Slice(limit=MAX_ROWS, after=page.next)


def show(rows: Sequence[Base], columns: Sequence[str], *, as_json: bool) -> None:
    """A table of these columns, or JSON of all; secrets are masked in both."""
    told = [masked(columns_of(row)) for row in rows]
    if as_json:
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    cells = [list(columns), *([_cell(one[column]) for column in columns] for one in told)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    for line in cells:
        click.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: object) -> str:
    if value is None:
        return "-"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"
