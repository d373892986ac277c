"""A tenant never learns whether something is another's: through no route, field, header, tag, key, cursor, error or wait.

Two lines hold it, the statements of the application and row-level security; each is shown to hold alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, Select, bindparam

from services.control.app import create_app
from services.control.call import Parts
from shared.adapters.database import create_engine_for
from shared.management import ownership
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import PUBLIC_URL
from tests.integration.rows import connect
from tests.integration.services.control.foreign_walk import NAMING, OBJECTS, PLAIN, VALUES, Walk, operations
from tests.integration.services.control.neighbours import Tenant, dump, ids_in, settle
from tests.integration.services.control.scene import Scene, code_of


@dataclass
class Street:
    """`owner` has something of every kind, and so has `stranger`; `traces` stand in rows of the owner alone."""

    scene: Scene
    database: DatabaseUnderTest
    owner: Tenant
    stranger: Tenant
    traces: frozenset[str]
    unlock: Callable[[], None]

    def walk(self, client: TestClient, engine: Engine) -> Walk:
        return Walk(client, engine, self.scene.app.openapi(), self.owner, self.stranger, self.traces)


@pytest.fixture
def street(scene: Scene, database: DatabaseUnderTest) -> Iterator[Street]:
    """The owner's rows are locked by somebody all the while, so that who waits for one of them is found out too."""
    owner = settle(scene, database, scene.management.tenant, 1)
    rows = dump(database)
    traces = ids_in(rows) | {value for name, value in owner.known.items() if name != "actor"}
    with psycopg.connect(database.owner_url.replace("postgresql+psycopg", "postgresql"), autocommit=False) as locker:
        for table in rows:
            locker.execute(f"SELECT 1 FROM {table} FOR UPDATE")
        stranger = settle(scene, database, scene.management.another_tenant(), 2)
        yield Street(scene, database, owner, stranger, frozenset(traces), locker.rollback)
        locker.rollback()


@pytest.mark.req(10, 22, 23, 76)
def test_rule_10_22_23_another_tenants_objects_do_not_exist(street: Street) -> None:
    before = dump(street.database)
    walk = street.walk(street.scene.client, street.scene.management.engine)
    findings = walk.all()
    print(f"\n{len(walk.tried)} operations, {sum(walk.tried.values())} attempts, {walk.called} calls")
    assert findings == []
    assert dump(street.database) == before, "nothing of anybody was changed"
    untried = {key for key, count in walk.tried.items() if not count}
    assert untried == _WITHOUT_NAMES
    assert sum(walk.tried.values()) > 300


# Operations in which nothing can be named: what is registered anew, and what is the same for every tenant.
_WITHOUT_NAMES = {
    ("POST", "/v1/connectors"),
    ("GET", "/v1/providers"),
    ("GET", "/v1/providers/{tipo}"),
    ("GET", "/v1/providers/{tipo}/schema"),
}


def test_every_name_in_the_description_is_known_to_the_walk(street: Street) -> None:
    """A new route, path parameter or field has to be told to the walk before this passes again."""
    described = operations(street.scene.app.openapi())
    for one in described:
        assert set(one.parameters) <= OBJECTS | VALUES.keys(), one
        assert set(one.queries) | set(one.fields) <= NAMING.keys() | PLAIN, one
        assert not one.fields or (one.method, one.path) in street.stranger.bodies, one
    assert street.stranger.bodies.keys() <= {(one.method, one.path) for one in described}
    assert not NAMING.keys() & PLAIN


@contextmanager
def served(street: Street, url: str) -> Iterator[tuple[TestClient, Engine]]:
    """The API with its connections logged in as another role."""
    engine = create_engine_for(url, pool_size=4)
    app = create_app(Parts(engine=engine, vault=street.scene.management.vault, edge_url=PUBLIC_URL), street.scene.tokens)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client, engine
    engine.dispose()


def _of_anybody(statement: Select[Any], table: Any) -> Select[Any]:
    return statement.where(table.id == bindparam("row_id"))


@pytest.fixture
def written_anew() -> Iterator[Callable[[], None]]:
    """Statements are written once; those of a planted fault must not outlive it."""

    def forget() -> None:
        ownership._owned_row.cache_clear()
        ownership._looked_up_row.cache_clear()

    yield forget
    forget()


@pytest.mark.req(10)
@pytest.mark.parametrize("line", ["application", "database", "neither"])
def test_each_line_holds_alone_and_without_both_the_walk_finds_it(
    street: Street, line: str, monkeypatch: pytest.MonkeyPatch, written_anew: Callable[[], None]
) -> None:
    if line != "application":
        monkeypatch.setattr(ownership, "_of_tenant", _of_anybody)
        written_anew()
    # The owner of the tables is not bound by the tenants' policies.
    url = street.database.api_url if line == "database" else street.database.owner_url
    with served(street, url) as (client, engine):
        walk = street.walk(client, engine)
        walk.compare_statements = line == "database"
        walk.writes = line != "neither"  # they would wait for the rows that are locked
        findings = walk.all()
    if line == "neither":
        assert len({finding.partition(":")[0] for finding in findings}) > 20
    else:
        assert findings == []


@pytest.mark.req(10)
def test_a_key_of_one_tenant_is_nothing_to_another(street: Street) -> None:
    street.unlock()
    scene, path = street.scene, "connectors"
    body = street.owner.bodies["POST", "/v1/connectors"]
    key = {"Idempotency-Key": "shared"}
    made = [scene.post(path, body, token=one.token, headers=key) for one in (street.owner, street.stranger)]
    assert [answer.status_code for answer in made] == [201, 201]
    assert made[0].json()["id"] != made[1].json()["id"]
    assert "Idempotent-Replayed" not in made[1].headers
    again = scene.post(path, body, token=street.stranger.token, headers=key)
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (made[1].json(), "true")
    other = {**body, "nome": "another"}
    assert (
        scene.post(path, other, token=street.stranger.token, headers={"Idempotency-Key": street.owner.key_for(path)}).status_code
        == 201
    )
    assert code_of(scene.post(path, other, token=street.stranger.token, headers=key)) == (422, "idempotency_key_reused")


@pytest.mark.req(10)
def test_equal_keys_of_two_tenants_at_once_make_two(street: Street) -> None:
    street.unlock()
    body, start = street.owner.bodies["POST", "/v1/connectors"], threading.Barrier(8)

    def post(number: int) -> str:
        start.wait(10)
        token = (street.owner, street.stranger)[number % 2].token
        answer = street.scene.post("connectors", body, token=token, headers={"Idempotency-Key": "at-once"})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(post, range(8)))
    assert len(set(made[::2])) == len(set(made[1::2])) == 1
    assert made[0] != made[1]


@pytest.mark.req(10, 19)
def test_rule_10_19_what_one_tenant_took_is_free_for_another(street: Street) -> None:
    """Equal names, numbers and provider ids: a refusal would tell that the number is somebody's."""
    scene, body = street.scene, street.owner.bodies["POST", "/v1/connectors"]
    made = scene.post("connectors", body, token=street.stranger.token)
    assert (made.status_code, made.json()["nome"]) == (201, street.owner.known["nome"])
    account = {
        **street.stranger.bodies["POST", "/v1/connectors/{connector_id}/accounts"],
        "identidade": street.owner.known["identidade"],
    }
    answer = scene.post(f"connectors/{made.json()['id']}/accounts", account, token=street.stranger.token)
    assert (answer.status_code, answer.json()["identidade"]) == (201, street.owner.known["identidade"])
    with connect(street.database.owner_url) as owner:
        number = street.owner.known["identidade"]
        assert owner.execute("SELECT count(*) FROM channel_account WHERE identidade = %s", (number,)).fetchone() == (2,)
