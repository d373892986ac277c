"""Fallbacks over HTTP: forms, cycles, the connector's default; raced where they can race."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shared.management.reference import put_org_unit
from tests.integration.management import ACTOR
from tests.integration.services.control.scene import Scene, code_of


def numbers(scene: Scene, count: int, connector: dict[str, Any] | None = None, first: int = 1) -> list[dict[str, Any]]:
    owner = connector or scene.connector()
    return [
        scene.account(owner, identidade=f"551190000000{number}", config={"phone_number_id": f"10000000000000{number}"})
        for number in range(first, first + count)
    ]


def to(scene: Scene, account: dict[str, Any], target: dict[str, Any], **more: Any) -> Any:
    body = {"tipo": "fallback_number", "destino": target["identidade"], **more}
    return scene.post(f"accounts/{account['id']}/fallbacks", body)


@pytest.mark.req(50)
@pytest.mark.parametrize(
    ("tipo", "destino", "code"),
    [
        ("email_forward", "5511900000001", "destino_invalid"),
        ("email_forward", "a@b", "destino_invalid"),
        ("voicemail", " ", "destino_invalid"),
        ("fallback_number", "ops@example.com", "destino_invalid"),
        ("fallback_number", "123", "destino_invalid"),
        ("fallback_number", "+55 11 90000-0099", "destino_unknown"),
        ("carrier_pigeon", "5511900000001", "invalid_input"),
    ],
)
def test_a_wrong_destination_is_refused(scene: Scene, tipo: str, destino: str, code: str) -> None:
    (account,) = numbers(scene, 1)
    response = scene.post(f"accounts/{account['id']}/fallbacks", {"tipo": tipo, "destino": destino})
    assert code_of(response) == (422, code)


@pytest.mark.req(49, 50, 53)
def test_rule_53_each_kind_is_kept_changed_and_deleted(scene: Scene) -> None:
    one, two = numbers(scene, 2)
    number = to(scene, one, {"identidade": "+55 (11) 90000-0002"}).json()
    mail = scene.made(f"accounts/{one['id']}/fallbacks", {"tipo": "email_forward", "destino": "ops@example.com"})
    assert (number["destino"], number["ativo"]) == (two["identidade"], True)
    assert scene.get(f"accounts/{one['id']}/fallbacks").json()["items"] == [number, mail]
    path = f"fallbacks/{mail['id']}"
    assert scene.change(path, {"tipo": "voicemail", "ativo": False}).json() == {**mail, "tipo": "voicemail", "ativo": False}
    assert code_of(scene.change(path, {"tipo": "fallback_number"})) == (422, "destino_invalid")
    assert scene.change(path, method="DELETE").status_code == 204
    assert scene.management.version(one["id"]) == 5


@pytest.mark.req(50)
def test_a_chain_that_comes_back_is_refused(scene: Scene) -> None:
    one, two, three = numbers(scene, 3)
    assert code_of(to(scene, one, one)) == (409, "fallback_cycle")
    assert to(scene, one, two).status_code == 201
    assert to(scene, two, three).status_code == 201
    assert code_of(to(scene, three, one)) == (409, "fallback_cycle")
    off = to(scene, three, one, ativo=False)
    assert off.status_code == 201
    assert code_of(scene.change(f"fallbacks/{off.json()['id']}", {"ativo": True})) == (409, "fallback_cycle")
    assert scene.get(f"fallbacks/{off.json()['id']}").json()["ativo"] is False


@pytest.mark.req(54)
def test_rule_54_a_connector_has_a_default_for_accounts_without_their_own(scene: Scene) -> None:
    connector = scene.connector()
    one, two, three = numbers(scene, 3, connector)
    path = f"connectors/{connector['id']}/default-fallback"
    assert code_of(scene.get(path)) == (404, "not_found")
    fallback = to(scene, one, two).json()
    first, now = {"If-None-Match": "*"}, {"If-Match": "*"}
    # as the connector's default it would also be that of `two`, which has none of its own: two -> two
    refused = scene.call("PUT", path, json={"fallback_id": fallback["id"]}, headers=first)
    assert code_of(refused) == (409, "fallback_cycle")
    scene.made(f"accounts/{two['id']}/fallbacks", {"tipo": "email_forward", "destino": "ops@example.com"})
    assert scene.call("PUT", path, json={"fallback_id": fallback["id"]}, headers=first).json() == fallback
    assert scene.get(path).json() == fallback
    assert code_of(scene.change(f"fallbacks/{fallback['id']}", method="DELETE")) == (409, "fallback_in_use")
    assert scene.management.notices(three["id"])[-1] == ("channel.account.snapshot", None)
    (elsewhere,) = numbers(scene, 1, scene.connector(nome="other"), first=7)
    foreign = to(scene, elsewhere, one).json()
    for unknown in (foreign["id"], str(uuid.uuid4())):
        assert code_of(scene.call("PUT", path, json={"fallback_id": unknown}, headers=now)) == (422, "fallback_unknown")
    assert scene.call("DELETE", path, headers=now).status_code == 204
    assert code_of(scene.call("DELETE", path, headers=now)) == (404, "not_found")


@pytest.mark.req(54)
def test_rule_54_nobody_replaces_a_default_that_he_has_not_seen(scene: Scene) -> None:
    connector = scene.connector()
    (one,) = numbers(scene, 1, connector)
    path = f"connectors/{connector['id']}/default-fallback"
    bodies = [{"tipo": "voicemail", "destino": f"{name}@example.com"} for name in ("a", "b")]
    made = [{"fallback_id": scene.made(f"accounts/{one['id']}/fallbacks", body)["id"]} for body in bodies]
    refusals = [({}, 428), ({"If-Match": "*"}, 412), ({"If-None-Match": '"x"'}, 412)]
    for headers, status in refusals:
        assert scene.call("PUT", path, json=made[0], headers=headers).status_code == status, headers
    first = scene.call("PUT", path, json=made[0], headers={"If-None-Match": "*"})
    assert first.json()["id"] == made[0]["fallback_id"]
    stale = {"If-Match": first.headers["ETag"]}
    refusals = [({}, 428), ({"If-Match": '"x"'}, 412), ({"If-None-Match": "*"}, 412)]
    for headers, status in refusals:
        assert scene.call("PUT", path, json=made[1], headers=headers).status_code == status, headers
    assert scene.call("PUT", path, json=made[1], headers=stale).json()["id"] == made[1]["fallback_id"]
    for method, headers, status in [("PUT", stale, 412), ("DELETE", stale, 412), ("DELETE", {}, 428)]:
        body = {"json": made[0]} if method == "PUT" else {}
        assert scene.call(method, path, headers=headers, **body).status_code == status, (method, headers)
    assert scene.get(path).json()["id"] == made[1]["fallback_id"]
    assert scene.change(path, method="DELETE").status_code == 204


@pytest.mark.req(50)
def test_another_tenants_number_is_unknown(scene: Scene) -> None:
    (account,) = numbers(scene, 1)
    other = scene.management.another_tenant()
    scene.management.run(lambda session: put_org_unit(session, other, None, "Theirs", actor=ACTOR), tenant=other)
    stranger_connector = scene.management.connector(tenant_id=other)
    assert stranger_connector
    assert code_of(to(scene, account, {"identidade": "5511900000008"})) == (422, "destino_unknown")


@pytest.mark.req(50)
def test_two_halves_of_a_cycle_at_once_make_no_cycle(scene: Scene) -> None:
    first, second = scene.connector(nome="a"), scene.connector(nome="b")
    (one,), (two,) = numbers(scene, 1, first, first=1), numbers(scene, 1, second, first=2)
    for _ in range(10):
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda pair: to(scene, *pair), [(one, two), (two, one)]))
        assert sorted(answer.status_code for answer in answers) == [201, 409]
        (made,) = [answer.json()["id"] for answer in answers if answer.status_code == 201]
        assert scene.change(f"fallbacks/{made}", method="DELETE").status_code == 204
