"""Every list begins at an index entry: what PostgreSQL would do, for the very statements that the lists run.

The lists are found, not named: every operation of the description that has a cursor, every command that has a limit; each is
asked with every combination of its filters, on its first page and on a later one, for a tenant with most of all rows and for a
small one, as the role that row-level security binds. A list that is new is in it, or fails here for want of a value.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import click
import psycopg
import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient
from sqlalchemy import Engine, event, text
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from services.cli.__main__ import cli
from services.control.app import create_app
from services.control.call import Parts
from shared.adapters import prepared, reading
from shared.adapters.clock import new_uuid7
from shared.adapters.database import create_engine_for
from shared.domain.enums import ConnectorStatus
from shared.domain.identity import Permission
from shared.management import lists, paging
from tests.bench.estate import Estate, build, superuser_url
from tests.database_fixtures import DatabaseUnderTest, cloned_database
from tests.integration.services.control.scene import Tokens

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
ID = new_uuid7()
SMALL = 3  # a tenant with one connector in a hundred
# Operations that answer a list without pages: of what is the same for everybody, and of one webhook.
SHORT = {"/v1/providers", "/v1/webhooks/{webhook_id}/secrets"}
# Options of commands that are no filters.
PLAIN = {"tenant", "limit", "as_json"}
# A group whose commands have a limit and read a topic, no table.
OF_TOPICS = {"dlq"}

Asked = dict[str, dict[str, Any]]  # text of a statement -> values


class Ears:
    """Hears every statement, and every page that is asked for."""

    def __init__(self) -> None:
        self.statements: Asked = {}
        self.pages: dict[tuple[paging.Listing, frozenset[str]], Mapping[str, Any]] = {}

    def told(self, *_: Any) -> None:
        statement, parameters = _[2], _[3]
        if statement.lstrip().startswith("SELECT") and "FROM" in statement:
            self.statements.setdefault(statement, parameters or {})


@pytest.fixture
def ears(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ears]:
    heard = Ears()
    run, turn = reading.TenantReader.execute_all, lists.page

    def execute_all(self: reading.TenantReader, *asked: reading.Asked) -> list[reading.Rows]:
        for statement, values in asked:
            heard.told(None, None, *_told(statement, values))
        return run(self, *asked)

    def page(reader: Any, listing: paging.Listing, wanted: Mapping[str, Any], asked: paging.Slice) -> paging.Page[Any]:
        given = {name: value for name, value in wanted.items() if value is not None}
        heard.pages[listing, frozenset(given)] = given
        return turn(reader, listing, wanted, asked)

    monkeypatch.setattr(reading.TenantReader, "execute_all", execute_all)
    monkeypatch.setattr(lists, "page", page)
    event.listen(Engine, "before_cursor_execute", heard.told)
    yield heard
    event.remove(Engine, "before_cursor_execute", heard.told)


@pytest.fixture(scope="module")
def database(stack: Any, database_template: str) -> Iterator[DatabaseUnderTest]:
    """One for all: the tests only read."""
    with cloned_database(stack.superuser_url, database_template) as made:
        yield made


@pytest.fixture(scope="module")
def estate(database: DatabaseUnderTest) -> Estate:
    return build(database, connectors=8_000, accounts=24_000)


@contextmanager
def something_of(database: DatabaseUnderTest, tenant: str) -> Iterator[dict[str, str]]:
    """Ids of one of each, by the name of the table."""
    with psycopg.connect(superuser_url(database)) as connection:
        [(connector, account)] = connection.execute(
            "SELECT c.id::text, a.id::text FROM channel_connector c JOIN channel_account a ON a.connector_id = c.id"
            " WHERE c.tenant_id = %s ORDER BY c.id DESC LIMIT 1",
            (tenant,),
        )
    yield {"connector": connector, "account": account}


@pytest.mark.req(39, 47)
@pytest.mark.parametrize("which", [0, SMALL], ids=["large", "small"])
def test_no_list_of_the_api_reads_a_whole_table(database: DatabaseUnderTest, estate: Estate, ears: Ears, which: int) -> None:
    tenant, engine, tokens = estate.tenants[which], create_engine_for(database.api_url, pool_size=1), Tokens()
    token = tokens.issue(tenant, *Permission)
    unused: Any = None
    app = create_app(Parts(engine=engine, vault=unused, edge_url=""), tokens)
    asked = 0
    with something_of(database, tenant) as ids, TestClient(app) as client:
        for path, operation in _lists(app.openapi()):
            filters = [one for one in operation["parameters"] if one["in"] == "query" and one["name"] not in ("limit", "cursor")]
            for some in _subsets(filters):
                values = {one["name"]: _value(one, ids) for one in some}
                place = path.format(connector_id=ids["connector"], account_id=ids["account"])
                answer = client.get(place, params=values, headers={"Authorization": f"Bearer {token}"})
                assert answer.status_code == 200 or "filter_missing" in answer.text, (path, values, answer.text)
                asked += 1
    engine.dispose()
    print(f"\n{asked} lists, {len(ears.statements)} statements, {len(ears.pages)} kinds of pages")
    assert asked > 120
    found = _whole_reads(database, tenant, ears)
    assert not found, "\n\n".join(f"{statement}\n{plan}" for statement, plan in found.items())


@pytest.mark.req(39, 47)
@pytest.mark.parametrize("which", [0, SMALL], ids=["large", "small"])
def test_no_list_of_the_commands_reads_a_whole_table(
    database: DatabaseUnderTest, estate: Estate, ears: Ears, which: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {"STACK": "external", "HOME": str(tmp_path), "DATABASE_API_URL": database.api_url}.items():
        monkeypatch.setenv(f"CHANNELS_{name}", value)
    tenant, asked = estate.tenants[which], 0
    with something_of(database, tenant) as ids:
        for words, command in _list_commands():
            must = [one for one in command.params if one.required and one.name not in PLAIN]
            filters = [one for one in command.params if not one.required and one.name not in PLAIN]
            for some in _subsets(filters):
                arguments = [*words, "--tenant", tenant, "--limit", "20"]
                for one in (*must, *some):
                    arguments += _argument(one, ids, estate.units[which])
                done = CliRunner().invoke(cli, arguments)
                if done.exit_code == 2 and "Error: give --" in done.output:
                    continue  # a list that is never asked for without a filter
                assert done.exit_code == 0, (arguments, done.output, done.exception)
                asked += 1
    assert asked > 60
    found = _whole_reads(database, tenant, ears)
    assert not found, "\n\n".join(f"{statement}\n{plan}" for statement, plan in found.items())


@pytest.mark.req(39, 47)
def test_lists_that_postgresql_would_plan_badly_are_planned_as_they_say(database: DatabaseUnderTest, estate: Estate) -> None:
    # After some calls it would take one plan for all tenants, that sorts all connectors of a large one; and look for the older
    # entries of the audit log through those of others.
    engine = create_engine_for(database.api_url, pool_size=1)
    connectors, entries = lists.ConnectorFilter(status=ConnectorStatus.ACTIVE), lists.AuditFilter(action="account.updated")
    for tenant in [estate.tenants[0], estate.tenants[SMALL]] * 10:
        with reading.reading(engine, tenant) as reader:
            lists.list_connectors(reader, tenant, connectors, paging.Slice(after=(ID,)))
            lists.list_audit(reader, tenant, entries, paging.Slice(after=(10**6,)))
            lists.list_audit(reader, tenant, lists.AuditFilter(), paging.Slice())
    with engine.connect() as connection:
        held = connection.execute(text("SELECT statement, generic_plans, custom_plans FROM pg_prepared_statements")).all()
    engine.dispose()
    of = {table: [row[1:] for row in held if f"FROM {table} " in row[0]] for table in ("channel_connector", "audit_log")}
    assert of == {"channel_connector": [(0, 20)], "audit_log": [(20, 0), (20, 0)]}
    assert {mode for mode in prepared.Plans if any(f"'{mode}'" in row[0] for row in held)} == set(prepared.Plans)


@pytest.mark.req(47)
def test_the_status_of_an_account_reads_no_connector_but_its_own(database: DatabaseUnderTest, estate: Estate, ears: Ears) -> None:
    tenant, engine, tokens = estate.tenants[0], create_engine_for(database.api_url, pool_size=1), Tokens()
    unused: Any = None
    app = create_app(Parts(engine=engine, vault=unused, edge_url=""), tokens)
    token = tokens.issue(tenant, *Permission)
    with something_of(database, tenant) as ids, TestClient(app) as client:
        answer = client.get(f"/v1/accounts/{ids['account']}/status", headers={"Authorization": f"Bearer {token}"})
    engine.dispose()
    assert answer.status_code == 200, answer.text
    assert any("channel_capability" in statement for statement in ears.statements)
    found = _whole_reads(database, tenant, ears)
    assert not found, "\n\n".join(f"{statement}\n{plan}" for statement, plan in found.items())


def test_a_list_that_needs_a_whole_table_is_found(database: DatabaseUnderTest, estate: Estate, ears: Ears) -> None:
    sorted_by_name = "SELECT channel_account.id FROM channel_account ORDER BY channel_account.nome_exibicao LIMIT 51"
    ears.told(None, None, sorted_by_name, {})
    assert list(_whole_reads(database, estate.tenants[0], ears)) == [sorted_by_name]


def test_every_list_of_the_description_has_pages() -> None:
    unused: Any = None
    for path, item in create_app(unused, unused).openapi()["paths"].items():
        schema = item["get"]["responses"]["200"]["content"]["application/json"]["schema"] if "get" in item else {}
        if schema.get("type") == "array" or "PageView" in schema.get("$ref", ""):
            paged = any(one["name"] == "cursor" for one in item["get"].get("parameters", []))
            assert paged is (path not in SHORT), path


def _lists(description: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in description["paths"].items():
        if any(one["name"] == "cursor" for one in item.get("get", {}).get("parameters", [])):
            yield path, item["get"]


def _list_commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    def walk(group: click.Group, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if isinstance(command, click.Group):
                yield from walk(command, (*words, name))
            elif command is not None and not OF_TOPICS & set(words) and any(one.name == "limit" for one in command.params):
                yield (*words, name), command

    return walk(cli, ())


def _subsets(items: list[Any]) -> Iterator[tuple[Any, ...]]:
    return chain.from_iterable(combinations(items, count) for count in range(len(items) + 1))


def _value(parameter: dict[str, Any], ids: dict[str, str]) -> str:
    """One that its description allows; of connectors and accounts one that is there."""
    known = ids.get(parameter["name"].removesuffix("_id"))
    if known is not None:
        return known
    [schema, *_] = [one for one in parameter["schema"].get("anyOf", [parameter["schema"]]) if one.get("type") != "null"]
    if "$ref" in schema:
        return (
            {"status": "active", "tipo": "telegram", "entidade_type": "contact"}[parameter["name"]]
            .replace("active", "passed" if "HealthStatus" in schema["$ref"] else "active")
            .replace("telegram", "message_in" if "UsageType" in schema["$ref"] else "telegram")
        )
    return {"uuid": ID, "date-time": NOW.isoformat(), "date": NOW.date().isoformat(), None: "x"}[schema.get("format")]


def _argument(parameter: click.Parameter, ids: dict[str, str], unit: str) -> list[str]:
    name = parameter.name or ""
    if isinstance(parameter.type, click.Choice):
        value = str(next(iter(parameter.type.choices)))
    else:
        value = {**ids, **CLI_VALUES, "unit": unit}[name]
    return [value] if isinstance(parameter, click.Argument) else [parameter.opts[0], value]


ENUMS = {
    "ConnectorType": "telegram",
    "ConnectorStatus": "active",
    "AccountStatus": "active",
    "HealthStatus": "passed",
    "UsageType": "message_in",
    "EntityType": "contact",
}
CLI_VALUES = {
    "nome": "x",
    "identidade": "5511900000001",
    "flow": "Welcome",
    "since": "2026-01-01",
    "until": "2026-01-02",
    "before": "5",
    "first_day": "2026-01-01",
    "last_day": "2026-01-02",
    "subject_id": ID,
    "chave_externa": "phone:5511900000001",
    "entidade_id": ID,
    "who": "x",
    "action": "x",
}


def _told(statement: Any, values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A statement as it is run, with names in place of numbers, and its values."""
    compiled = statement.compile(dialect=PGDialect_psycopg())  # type: ignore[no-untyped-call]
    return str(compiled), {name: prepared._plain(values.get(name, default)) for name, default in compiled.params.items()}


def _whole_reads(database: DatabaseUnderTest, tenant: str, ears: Ears) -> dict[str, str]:
    """Statements that would read a table, or all connectors of a tenant, from end to end, with their plans."""
    found: dict[str, str] = {}
    for (listing, names), given in ears.pages.items():
        places = {f"after_{number}": _position(column) for number, column in enumerate(listing.order.columns)}
        written, values = _told(paging.statement_of(listing, names, after=True, limit=50), {**given, **places})
        ears.statements[written] = values
    with psycopg.connect(database.api_url.replace("postgresql+psycopg", "postgresql")) as connection:
        connection.execute("SELECT set_config('channels.tenant', %s, false)", (tenant,))
        for statement, values in ears.statements.items():
            plan = "\n".join(line for (line,) in connection.execute(f"EXPLAIN {statement}", values))  # type: ignore[arg-type]
            # Hashed: a list of all connectors of the tenant, made before the first row is looked at.
            if re.search(r"Seq Scan on (channel_\w+|audit_log|account_state)|hashed SubPlan", plan):
                found[statement] = plan
    return found


def _position(column: Any) -> Any:
    kind = column.type.python_type
    return {str: ID, int: 5, dt.datetime: NOW, dt.date: NOW.date()}[kind]
