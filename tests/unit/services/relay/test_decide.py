from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from services.relay.decide import plan_batch
from shared.domain.configuration import AccountRow, ChangeNotice, ConfigurationRows, ConnectorRow
from shared.domain.enums import (
    AccountStatus,
    ConnectorStatus,
    ConnectorType,
    FallbackType,
    TokenKind,
    WebhookEvent,
    WebhookStatus,
)
from shared.domain.records import ConnectorStatusChanged, TokenExpiring
from shared.domain.snapshots import AccountSnapshot, ConnectorSnapshot, FallbackInForce, WebhookSnapshot, WrappedDataKey
from shared.domain.topics import Topic
from shared.providers import provider_of

CONNECTOR = ConnectorRow(
    version=7,
    connector_id="c1",
    tenant_id="t1",
    tipo=ConnectorType.WHATSAPP_OFFICIAL,
    status=ConnectorStatus.ACTIVE,
    config={"waba_id": "1"},
    webhooks=(WebhookSnapshot(webhook_id="w1", evento=WebhookEvent.MESSAGE_IN, status=WebhookStatus.ACTIVE, segredo="sealed"),),
    ingest_keys=(WrappedDataKey(key_id="k1", wrapped="w"),),
)
ACCOUNT = AccountRow(
    version=3,
    account_id="a1",
    connector_id="c1",
    tenant_id="t1",
    tipo=ConnectorType.WHATSAPP_OFFICIAL,
    identidade="5511900000001",
    status=AccountStatus.ACTIVE,
    config={"phone_number_id": "1001"},
    org_unit_id="u1",
    intake_flow_id=None,
    flow_category=None,
    flow_published=None,
    pause_cause="health_auth",
    fallback=FallbackInForce(fallback_id="b1", tipo=FallbackType.EMAIL_FORWARD, destino="desk@example.org"),
)
DETAIL = {
    "change_id": "x1",
    "old_status": "active",
    "new_status": "error",
    "cause": "token_expired",
    "actor": "health",
    "changed_at_ms": 5,
}


def notice(number: int, topic: Topic, subject_id: str, detail: dict[str, Any] | None = None) -> ChangeNotice:
    return ChangeNotice(id=number, topic=topic, subject_id=subject_id, detail=detail, created_at_ms=1000 + number)


def rows(connectors: tuple[ConnectorRow, ...] = (CONNECTOR,), accounts: tuple[AccountRow, ...] = (ACCOUNT,)) -> ConfigurationRows:
    return ConfigurationRows(
        connectors={row.connector_id: row for row in connectors}, accounts={row.account_id: row for row in accounts}
    )


def test_several_notices_of_one_subject_become_one_snapshot_of_what_is_now() -> None:
    notices = [
        notice(1, Topic.CONNECTOR_SNAPSHOT, "c1"),
        notice(2, Topic.ACCOUNT_SNAPSHOT, "a1"),
        notice(3, Topic.CONNECTOR_SNAPSHOT, "c1"),
    ]
    publications, aside = plan_batch(notices, rows(), provider_of)
    assert aside == []
    assert [(one.topic, one.key, one.event_id, one.notice_ids, one.time_ms) for one in publications] == [
        (Topic.ACCOUNT_SNAPSHOT, "a1", "a1/3", (2,), 1002),
        (Topic.CONNECTOR_SNAPSHOT, "c1", "c1/7", (1, 3), 1003),
    ]
    assert publications[0].value == AccountSnapshot(
        version=3,
        account_id="a1",
        connector_id="c1",
        tenant_id="t1",
        identidade="5511900000001",
        status=AccountStatus.ACTIVE,
        account_refs=("phone_number_id:1001",),
        org_unit_id="u1",
        intake_flow_id=None,
        intake_flow_usable=False,
        pause_cause="health_auth",
        fallback=FallbackInForce(fallback_id="b1", tipo=FallbackType.EMAIL_FORWARD, destino="desk@example.org"),
    )
    assert publications[1].value == ConnectorSnapshot(
        version=7,
        connector_id="c1",
        tenant_id="t1",
        tipo=ConnectorType.WHATSAPP_OFFICIAL,
        status=ConnectorStatus.ACTIVE,
        config='{"waba_id": "1"}',
        webhooks=CONNECTOR.webhooks,
        ingest_keys=CONNECTOR.ingest_keys,
    )


def test_what_is_gone_becomes_a_deletion() -> None:
    notices = [notice(1, Topic.CONNECTOR_SNAPSHOT, "gone"), notice(2, Topic.ACCOUNT_SNAPSHOT, "gone")]
    publications, aside = plan_batch(notices, rows(), provider_of)
    assert aside == []
    assert [(one.topic, one.key, one.value) for one in publications] == [
        (Topic.CONNECTOR_SNAPSHOT, "gone", None),
        (Topic.ACCOUNT_SNAPSHOT, "gone", None),
    ]


@pytest.mark.req(68)
def test_every_status_change_is_an_event_of_its_own_under_its_own_id() -> None:
    notices = [
        notice(1, Topic.CONNECTOR_STATUS_CHANGED, "c1", DETAIL),
        notice(2, Topic.CONNECTOR_STATUS_CHANGED, "c1", DETAIL | {"change_id": "x2", "old_status": None}),
    ]
    publications, aside = plan_batch(notices, rows(), provider_of)
    assert aside == []
    assert [(one.key, one.event_id, one.notice_ids) for one in publications] == [("c1", "x1", (1,)), ("c1", "x2", (2,))]
    first, second = (one.value for one in publications)
    assert first == ConnectorStatusChanged(
        change_id="x1",
        tenant_id="t1",
        connector_id="c1",
        old_status=ConnectorStatus.ACTIVE,
        new_status=ConnectorStatus.ERROR,
        cause="token_expired",
        actor="health",
        changed_at_ms=5,
    )
    assert isinstance(second, ConnectorStatusChanged)
    assert second.old_status is None


@pytest.mark.req(69)
def test_every_token_that_ends_soon_is_an_event_of_its_own_also_when_its_connector_is_gone() -> None:
    told: dict[str, Any] = {
        "notice_id": "n1",
        "tenant_id": "t1",
        "token_id": "k1",
        "kind": "api_key",
        "expires_at_ms": 9,
        "seconds_left": 299,
        "threshold_seconds": 300,
        "renewal": "none",
        "cause": None,
        "action": None,
        "noticed_at_ms": 5,
    }
    notices = [
        notice(1, Topic.TOKEN_EXPIRING, "gone", told),
        notice(2, Topic.TOKEN_EXPIRING, "gone", told | {"notice_id": "n2", "threshold_seconds": 60}),
        notice(3, Topic.TOKEN_EXPIRING, "gone", told | {"unheard_of": 1}),
    ]
    publications, aside = plan_batch(notices, rows(), provider_of)
    assert [(one.key, one.event_id) for one in publications] == [("gone", "n1"), ("gone", "n2")]
    assert publications[0].value == TokenExpiring(**{**told, "connector_id": "gone", "kind": TokenKind.API_KEY})
    assert [(one.notice_ids, one.reason) for one in aside] == [((3,), "TypeError")]


@pytest.mark.parametrize(
    ("published", "category", "usable"),
    [(True, "intake", True), (False, "intake", False), (True, "other", False), (None, None, False)],
)
def test_a_flow_is_usable_while_published_and_of_category_intake(
    published: bool | None, category: str | None, usable: bool
) -> None:
    account = replace(ACCOUNT, intake_flow_id="f1", flow_published=published, flow_category=category)
    [publication], _ = plan_batch([notice(1, Topic.ACCOUNT_SNAPSHOT, "a1")], rows(accounts=(account,)), provider_of)
    assert isinstance(publication.value, AccountSnapshot)
    assert publication.value.intake_flow_usable is usable


@pytest.mark.req(2)
def test_no_credential_leaves_with_the_config() -> None:
    config = {"waba_id": "1", "Access_Token": "canary", "deep": [{"app_secret": "canary", "kept": 1}], "list": ["kept"]}
    connector = replace(CONNECTOR, config=config)
    [publication], _ = plan_batch([notice(1, Topic.CONNECTOR_SNAPSHOT, "c1")], rows((connector,)), provider_of)
    assert isinstance(publication.value, ConnectorSnapshot)
    assert json.loads(publication.value.config) == {"waba_id": "1", "deep": [{"kept": 1}], "list": ["kept"]}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (notice(1, Topic.ACCOUNT_SNAPSHOT, "no-provider"), "invalid_input"),
        (notice(1, Topic.CONNECTOR_SNAPSHOT, "no-provider"), "invalid_input"),
        (notice(1, Topic.CONNECTOR_STATUS_CHANGED, "c1", None), "KeyError"),
        (notice(1, Topic.CONNECTOR_STATUS_CHANGED, "c1", DETAIL | {"new_status": "canary"}), "ValueError"),
        (notice(1, Topic.CONNECTOR_STATUS_CHANGED, "c1", DETAIL | {"changed_at_ms": "canary"}), "ValueError"),
        (notice(1, Topic.CONNECTOR_STATUS_CHANGED, "gone", DETAIL), "KeyError"),
        (notice(1, Topic.MESSAGE_RECEIVED, "c1"), "LookupError"),
    ],
)
def test_what_cannot_be_built_is_set_aside_alone(bad: ChangeNotice, reason: str) -> None:
    found = rows(
        (CONNECTOR, replace(CONNECTOR, connector_id="no-provider", tipo=ConnectorType.FUTURE)),
        (ACCOUNT, replace(ACCOUNT, account_id="no-provider", tipo=ConnectorType.FUTURE)),
    )
    publications, aside = plan_batch([bad, notice(2, Topic.ACCOUNT_SNAPSHOT, "a1")], found, provider_of)
    assert [one.key for one in publications] == ["a1"]
    assert [(one.subject_id, one.notice_ids, one.reason) for one in aside] == [(bad.subject_id, (1,), reason)]


def test_an_empty_batch_is_nothing() -> None:
    assert plan_batch([], rows((), ()), provider_of) == ([], [])


@pytest.mark.req(72)
def test_health_and_routes_are_told_as_they_were_written_down() -> None:
    checked = {
        "check_id": "k",
        "tenant_id": "t",
        "account_id": None,
        "status": "failed",
        "check": "number",
        "cause": "auth",
        "action": None,
        "message": "m",
        "breaker": "open",
        "failures": 3,
        "duration_milliseconds": 5,
        "checked_at_ms": 7,
    }
    route = {"change_id": "r", "tenant_id": "t", "connector_id": "c", "status": "paused", "why": "health_auth", "since_ms": 9}
    notices = [
        ChangeNotice(id=1, topic=Topic.HEALTH_CHECKED, subject_id="c", detail=checked, created_at_ms=1),
        ChangeNotice(id=2, topic=Topic.HEALTH_CHECKED, subject_id="c", detail=checked | {"check_id": "l"}, created_at_ms=1),
        ChangeNotice(
            id=3, topic=Topic.ROUTE_STATUS_CHANGED, subject_id="a", detail=route | {"fallback_id": None}, created_at_ms=1
        ),
        ChangeNotice(id=4, topic=Topic.ROUTE_STATUS_CHANGED, subject_id="a", detail={}, created_at_ms=1),
    ]
    told, aside = plan_batch(notices, ConfigurationRows(connectors={}, accounts={}), provider_of)
    assert [(one.key, one.event_id) for one in told] == [("c", "k"), ("c", "l"), ("a", "r")]
    assert [one.notice_ids for one in aside] == [(4,)]
