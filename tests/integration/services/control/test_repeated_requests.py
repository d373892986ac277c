"""Idempotency-Key: one creation however often it is sent, also at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from shared.adapters.sealing import Aad, KeyRing
from shared.management import repeated_requests
from shared.management.repeated_requests import _SWEEP, GuardedRequest, begin
from tests.integration.services.control.scene import Scene, code_of

BODY = {"tipo": "whatsapp_official", "nome": "Meta", "config": {"waba_id": "100000000000000"}}

_MANY_OLD = text(
    "INSERT INTO idempotency_key (tenant_id, key, request_digest, created_at)"
    " SELECT channels_tenant(), 'k' || n, 'x', now() - interval '2 days' + n * interval '1 s' FROM generate_series(1, 200) n"
)


def test_a_repeat_gets_the_first_answer(scene: Scene) -> None:
    first = scene.post("connectors", BODY, headers={"Idempotency-Key": "k1"})
    again = scene.post("connectors", BODY, headers={"Idempotency-Key": "k1"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["Location"] == first.headers["Location"]
    assert (first.headers.get("Idempotent-Replayed"), again.headers["Idempotent-Replayed"]) == (None, "true")
    assert scene.post("connectors", BODY, headers={"Idempotency-Key": "k2"}).json()["id"] != first.json()["id"]
    assert len(scene.get("connectors").json()["items"]) == 2


def test_one_key_stands_for_one_request(scene: Scene) -> None:
    key = {"Idempotency-Key": "k1"}
    connector = scene.post("connectors", BODY, headers=key).json()
    assert code_of(scene.post("connectors", {**BODY, "nome": "other"}, headers=key)) == (422, "idempotency_key_reused")
    account = {"identidade": "5511900000001", "org_unit_id": scene.management.unit}
    elsewhere = scene.post(f"connectors/{connector['id']}/accounts", account, headers=key)
    assert code_of(elsewhere) == (422, "idempotency_key_reused")


def test_a_refused_creation_leaves_no_key(scene: Scene) -> None:
    key = {"Idempotency-Key": "k1"}
    assert code_of(scene.post("connectors", {**BODY, "nome": " "}, headers=key)) == (422, "nome_missing")
    assert scene.post("connectors", BODY, headers=key).status_code == 201


def test_repeats_at_once_make_one(scene: Scene) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: scene.post("connectors", BODY, headers={"Idempotency-Key": "k"}), range(8)))
    assert [answer.status_code for answer in answers] == [201] * 8
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 7


@pytest.mark.req(2)
def test_a_key_keeps_no_readable_digest(scene: Scene) -> None:
    scene.post("connectors", BODY, headers={"Idempotency-Key": "k1"})
    scene.post("connectors", BODY, headers={"Idempotency-Key": "k2"})
    digests = [row[0] for row in scene.management.read("SELECT request_digest FROM idempotency_key")]
    assert len(set(digests)) == 2
    assert all(digest.count("|") == 3 for digest in digests)


def test_a_day_later_the_key_is_free(scene: Scene) -> None:
    key = {"Idempotency-Key": "k1"}
    first = scene.post("connectors", BODY, headers=key).json()
    _age(scene)
    second = scene.post("connectors", {**BODY, "nome": "another"}, headers=key)
    assert second.json()["id"] != first["id"]
    assert "Idempotent-Replayed" not in second.headers
    again = scene.post("connectors", {**BODY, "nome": "another"}, headers=key)
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (second.json(), "true")
    assert code_of(scene.post("connectors", BODY, headers=key)) == (422, "idempotency_key_reused")


def test_a_key_that_is_free_again_is_taken_by_one_of_many(scene: Scene) -> None:
    key = {"Idempotency-Key": "k"}
    first = scene.post("connectors", BODY, headers=key).json()
    _age(scene)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: scene.post("connectors", BODY, headers=key), range(8)))
    assert [answer.status_code for answer in answers] == [201] * 8
    [made] = {answer.json()["id"] for answer in answers}
    assert made != first["id"]
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 7


def test_old_keys_are_swept_now_and_then(scene: Scene) -> None:
    for number in range(3):
        scene.post("connectors", BODY, headers={"Idempotency-Key": f"old-{number}"})
    _age(scene)
    for number in range(400):  # each sweeps with a chance of one in sixteen
        scene.post("connectors", BODY, headers={"Idempotency-Key": f"new-{number}"})
        left = {row[0] for row in scene.management.read("SELECT key FROM idempotency_key")}
        if not any(key.startswith("old") for key in left):
            break
    assert left == {f"new-{seen}" for seen in range(number + 1)}


def test_two_that_sweep_do_not_wait_for_each_other(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    management = scene.management
    scene.post("connectors", BODY, headers={"Idempotency-Key": "k"})  # its tenant has a key to seal with
    with management.work() as session:
        session.execute(_MANY_OLD)
        session.commit()
    arrived, both, seal = threading.Event(), threading.Barrier(2), repeated_requests.seal

    def seal_together(ring: KeyRing, plain: bytes, aad: Aad) -> str:
        arrived.set()
        both.wait(10)
        return seal(ring, plain, aad)

    def take(key: str) -> object:
        request = GuardedRequest(tenant_id=management.tenant, key=key, digest=b"d")
        with management.work() as session:
            known = begin(session, management.vault, request, actor="test")
            session.commit()
        return known

    monkeypatch.setattr(repeated_requests, "seal", seal_together)
    monkeypatch.setattr(repeated_requests, "_CREATIONS_PER_SWEEP", 1)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(take, "k150")  # which the second one sweeps
        assert arrived.wait(10)
        second = pool.submit(take, "k50")  # which the first one sweeps
        assert (first.result(30), second.result(30)) == (None, None)
    left = {key for (key,) in management.read("SELECT key FROM idempotency_key WHERE created_at > now() - interval '1 hour'")}
    assert left == {"k", "k150", "k50"}


def test_old_keys_are_found_by_their_age_before_there_are_statistics(scene: Scene) -> None:
    statement = str(_SWEEP.compile(dialect=PGDialect_psycopg()))  # type: ignore[no-untyped-call]
    with scene.management.engine.begin() as connection:
        connection.exec_driver_sql(f"SELECT set_config('channels.tenant', '{scene.management.tenant}', true)")
        connection.exec_driver_sql(
            "INSERT INTO idempotency_key (tenant_id, key, request_digest, created_at)"
            f" SELECT '{scene.management.tenant}', 'k' || n, '', now() - CASE WHEN n > 5000 THEN interval '25 hours' ELSE '0' END"
            " FROM generate_series(1, 5003) AS n"
        )
        asked = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", {"tenant": scene.management.tenant})
        [plan] = asked.scalar_one()
        [(left,)] = connection.exec_driver_sql("SELECT count(*) FROM idempotency_key").all()
    assert left == 5_000
    touched = [node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in _nodes(plan["Plan"])]
    assert max(touched) == 3, plan


def _age(scene: Scene) -> None:
    """Let a day and an hour go by for all keys."""
    with scene.management.engine.begin() as connection:
        connection.exec_driver_sql(f"SELECT set_config('channels.tenant', '{scene.management.tenant}', true)")
        connection.exec_driver_sql("UPDATE idempotency_key SET created_at = now() - interval '25 hours'")


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)
