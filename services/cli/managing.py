"""What the commands that manage one tenant's configuration share: acting for a tenant, naming its objects, showing rows."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from sqlalchemy.orm import Session

from services.cli.printing import print_fields, print_json, print_table
from services.cli.views import seen
from shared.adapters.database import act_for, create_engine_for, unit_of_work
from shared.adapters.tables import AutomationFlow, Base, ChannelAccount, ChannelConnector, OrgUnit
from shared.adapters.vault import Vault
from shared.domain.enums import KeyPurpose
from shared.domain.errors import InvalidInput, NotFound
from shared.management.acting import act_for_connector
from shared.management.changes import lock_connector
from shared.management.naming import account_named, connector_named, is_id, require_tenant, target_named, tenant_id_of
from shared.management.ownership import owned, owned_for_change
from shared.management.paging import MAX_ROWS, Page, Slice
from shared.management.rules import rules_enforced
from shared.runtime.keys import key_provider
from shared.runtime.settings import DatabaseSettings, VaultSettings, load, require

Row = TypeVar("Row", bound=Base)
Command = TypeVar("Command", bound=Callable[..., Any])

TENANT = click.option("--tenant", required=True, envvar="CHANNELS_TENANT", help="Name or id; or in CHANNELS_TENANT.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
CONNECTOR = click.option("--connector", required=True, help="Name (`nome`) or id of the connector.")
ACCOUNT = click.option("--account", required=True, help="`identidade` or id of the account.")
LIMIT = click.option("--limit", type=click.IntRange(1, 1_000_000), help="At most so many.  [default: all]")


@dataclass(frozen=True, slots=True)
class Work:
    """One transaction for one tenant. What is found for a change is locked until its end."""

    session: Session
    tenant: str

    def connector(self, given: str, *, change: bool = False) -> ChannelConnector:
        """By name or id; raises NotFound that tells which there are."""
        row = connector_named(self.session, self.tenant, given)
        return lock_connector(self.session, row.id) if change else row

    def account(self, given: str, *, change: bool = False) -> ChannelAccount:
        """By `identidade` or id."""
        row = account_named(self.session, self.tenant, given)
        return owned_for_change(self.session, ChannelAccount, row.id, self.tenant) if change else row

    def unit(self, given: str) -> str:
        """Id of a unit, by name or id."""
        return target_named(self.session, self.tenant, OrgUnit, given)

    def flow(self, given: str) -> str:
        """Id of a flow, by name or id."""
        return target_named(self.session, self.tenant, AutomationFlow, given)

    def part(self, table: type[Row], given: str, *, change: bool = False) -> Row:
        """What has no name of its own: by id."""
        what = table.__tablename__.removeprefix("channel_")
        try:
            find = owned_for_change if change else owned
            return find(self.session, table, given, self.tenant)
        except NotFound:
            known = is_id(given)
            told = f"no {what} {known}" if known else f"{given[:64]!r} is no id of a {what}"
            raise NotFound(f"{told}; `channels {what}s list` shows them") from None


@contextmanager
def working(application_name: str) -> Iterator[Session]:
    """A transaction that acts for nobody yet; nothing stays unless the block commits."""
    url = require(load(DatabaseSettings).database_api_url, "CHANNELS_DATABASE_API_URL")
    engine = create_engine_for(url, pool_size=1, application_name=application_name)
    try:
        with rules_enforced(), unit_of_work(engine) as session:
            yield session
    finally:
        engine.dispose()


@contextmanager
def acting(tenant: str, *, change: bool = False) -> Iterator[Work]:
    """A transaction for one tenant, by name or id; committed at the end where it changes."""
    with working("channels-cli") as session:
        tenant_id = tenant_id_of(session, tenant)
        act_for(session, tenant_id)
        require_tenant(session, tenant_id)
        yield Work(session, tenant_id)
        if change:
            session.commit()


@contextmanager
def acting_for_connector(connector: str, tenant: str | None) -> Iterator[tuple[Session, str]]:
    """A transaction for the tenant of one connector, with the connector's id; the caller commits. Raises NotFound."""
    with working("channels-cli") as session:
        connector_id = is_id(connector)
        if tenant is not None:
            tenant_id = tenant_id_of(session, tenant)
            act_for(session, tenant_id)
            connector_id = connector_named(session, tenant_id, connector).id
        elif connector_id is not None:
            act_for_connector(session, connector_id)
        else:
            raise InvalidInput("a connector's name says nothing without --tenant (or CHANNELS_TENANT); or give its id")
        yield session, connector_id


def one_connector(command: Command) -> Command:
    """The options of a command that looks after one connector, whoever's it is."""
    named = click.option("--connector", required=True, help="Id of the connector, or its name in --tenant.")
    told = "Name or id; only needed where the connector is given by name."
    return named(click.option("--tenant", envvar="CHANNELS_TENANT", help=told)(command))


def for_tenant(command: Command) -> Command:
    """The option that every command here has."""
    return TENANT(command)


def showing(command: Command) -> Command:
    """The options of a command that prints."""
    return TENANT(JSON(command))


def listing(command: Command) -> Command:
    """The options of a command that prints rows."""
    return TENANT(LIMIT(JSON(command)))


def vault() -> Vault:
    """For commands that seal."""
    return Vault(key_provider(load(VaultSettings), tuple(KeyPurpose)))


def actor() -> str:
    """Who the audit log names."""
    return f"cli:{getpass.getuser()}"


def every(read: Callable[[Slice], Page[Row]], limit: int | None = None, after: tuple[Any, ...] | None = None) -> list[Row]:
    """The rows of all pages, or the first `limit`, after a position."""
    rows: list[Row] = []
    asked = Slice(limit=MAX_ROWS, after=after)
    while True:
        page = read(asked)
        rows += page.rows
        if page.next is None or (limit is not None and len(rows) >= limit):
            return rows[:limit]
        asked = Slice(limit=MAX_ROWS, after=page.next)


def show(rows: Sequence[Base], columns: Sequence[str], *, as_json: bool) -> None:
    """A table of these columns, or a JSON array of all; no secret in either."""
    views = [seen(row) for row in rows]
    if as_json:
        print_json(views)
    elif views:
        print_table(views, columns)
    else:
        click.echo("none")


def show_one(row: Base, *, as_json: bool) -> None:
    """One row: a line per field, or a JSON object."""
    if as_json:
        print_json(seen(row))
    else:
        print_fields(seen(row))


def done(row: Base, told: str, *, as_json: bool) -> None:
    """What a change says: one line, or the row as it is now."""
    if as_json:
        print_json(seen(row))
    else:
        click.echo(told)
