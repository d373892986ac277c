"""Use cases of accounts and reference rows on the real database, as the role of the API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.domain.enums import AccountStatus, ConnectorStatus
from shared.domain.errors import Conflict, InvalidInput
from shared.management.accounts import change_account_status, update_account
from shared.management.reference import FlowFacts, put_flow, put_org_unit, put_tenant
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import ACTOR, PUBLIC_URL, Management, management_of


@pytest.fixture
def management(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Management]:
    with management_of(database.api_url, tmp_path / "keys") as made:
        yield made


def update(management: Management, account: str, **changes: Any) -> None:
    management.run(lambda session: update_account(session, account, changes, actor=ACTOR))


def status(management: Management, account: str, wanted: AccountStatus) -> None:
    management.run(lambda session: change_account_status(session, account, wanted, actor=ACTOR))


@pytest.mark.req(4, 19, 27)
def test_an_account_is_registered(management: Management) -> None:
    connector = management.connector()
    account = management.account(connector, nome_exibicao="Sales", metadata={"labels": ["a"]})
    ((identidade, shown, state, url, extra),) = management.read(
        "SELECT identidade, nome_exibicao, status, webhook_url, metadata FROM channel_account"
    )
    assert (identidade, shown, state, extra) == ("5511900000001", "Sales", "pending", {"labels": ["a"]})
    assert url == f"{PUBLIC_URL}/webhooks/{connector}/{account}"
    assert management.notices(account) == [("channel.account.snapshot", None)]
    assert [action for action, *_ in management.audit(account)] == ["account.created"]


@pytest.mark.req(19)
def test_one_identity_has_one_spelling(management: Management) -> None:
    connector = management.connector()
    management.account(connector, "+55 11 90000-0001")
    other = {"config": {"phone_number_id": "100000000000002"}}
    with pytest.raises(Conflict) as caught:
        management.account(connector, "5511900000001", **other)
    assert caught.value.reason == "identity_taken"
    management.account(management.connector(nome="second"), "5511900000001")


def test_two_accounts_cannot_go_by_the_same_name_at_the_provider(management: Management) -> None:
    connector = management.connector()
    management.account(connector)
    with pytest.raises(Conflict) as caught:
        management.account(connector, "5511900000002")
    assert caught.value.reason == "account_ref_taken"


@pytest.mark.req(22, 23, 27, 58, 59)
@pytest.mark.parametrize(
    ("change", "reason", "pointer"),
    [
        ({"org_unit_id": None}, "route_missing", "/org_unit_id"),
        ({"org_unit_id": "01900000-0000-7000-8000-000000000000"}, "org_unit_unknown", "/org_unit_id"),
        ({"org_unit_id": "not an id"}, "org_unit_unknown", "/org_unit_id"),
        ({"intake_flow_id": "01900000-0000-7000-8000-000000000000"}, "flow_unknown", "/intake_flow_id"),
        ({"identidade": "nobody"}, "identity_invalid", "/identidade"),
        ({"config": {}}, "config_invalid", "/config/phone_number_id"),
        ({"config": {"phone_number_id": "100000000000001", "pin": "123456"}}, "secret_in_config", "/config/pin"),
        ({"metadata": {"x": "y" * 17_000}}, "metadata_too_large", "/metadata"),
        ({"metadata": {"password": "canary"}}, "secret_in_config", "/metadata/password"),
    ],
)
def test_a_faulty_account_is_refused(management: Management, change: dict[str, Any], reason: str, pointer: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        management.account(management.connector(), **change)
    assert (caught.value.reason, caught.value.pointer) == (reason, pointer)
    assert management.read("SELECT 1 FROM channel_account") == []


@pytest.mark.req(59)
@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (FlowFacts(name="Draft", category="intake", published=False), "flow_not_published"),
        (FlowFacts(name="Campaign", category="marketing", published=True), "flow_not_intake"),
    ],
)
def test_only_a_published_intake_flow_can_be_set(management: Management, facts: FlowFacts, reason: str) -> None:
    flow = management.run(lambda session: put_flow(session, management.tenant, None, facts, actor=ACTOR)).id
    with pytest.raises(InvalidInput) as caught:
        management.account(management.connector(), intake_flow_id=flow)
    assert caught.value.reason == reason


@pytest.mark.req(58)
def test_the_last_target_cannot_be_cleared(management: Management) -> None:
    account = management.account(management.connector())
    with pytest.raises(Conflict) as caught:
        update(management, account, org_unit_id=None)
    assert caught.value.reason == "route_missing"
    update(management, account, org_unit_id=None, intake_flow_id=management.flow)


@pytest.mark.req(22)
def test_another_tenants_unit_is_unknown(management: Management) -> None:
    other = management.another_tenant()
    unit = management.run(lambda session: put_org_unit(session, other, None, "Theirs", actor=ACTOR), tenant=other).id
    with pytest.raises(InvalidInput) as caught:
        management.account(management.connector(), org_unit_id=unit)
    assert caught.value.reason == "org_unit_unknown"


@pytest.mark.req(57)
def test_an_account_is_activated_under_an_active_connector_only(management: Management) -> None:
    connector = management.connector()
    account = management.account(connector)
    with pytest.raises(Conflict) as caught:
        status(management, account, AccountStatus.ACTIVE)
    assert caught.value.reason == "connector_not_active"

    management.token(connector)
    management.check(connector)
    management.status(connector, ConnectorStatus.ACTIVE)
    status(management, account, AccountStatus.ACTIVE)
    version = management.version(account)
    management.status(connector, ConnectorStatus.ERROR)
    assert management.read("SELECT status FROM channel_account") == [("pending",)]
    management.status(connector, ConnectorStatus.ACTIVE)
    assert management.read("SELECT status FROM channel_account") == [("active",)]
    assert management.version(account) == version + 2


@pytest.mark.req(4)
def test_a_change_counts_one_version_and_no_change_none(management: Management) -> None:
    account = management.account(management.connector())
    unit = management.run(lambda session: put_org_unit(session, management.tenant, None, "Sales", actor=ACTOR)).id
    for _ in range(2):
        update(management, account, org_unit_id=unit)
    assert management.version(account) == 2
    assert len(management.notices(account)) == 2
    assert management.audit(account)[1:] == [
        ("account.updated", {"org_unit_id": management.unit}, {"org_unit_id": unit}),
    ]
    with pytest.raises(InvalidInput) as caught:
        update(management, account, identidade="5511900000009")
    assert (caught.value.reason, caught.value.pointer) == ("field_unknown", "/identidade")


@pytest.mark.req(59)
def test_a_flow_that_changes_reaches_the_accounts_that_use_it(management: Management) -> None:
    connector = management.connector()
    user = management.account(connector, intake_flow_id=management.flow)
    other = management.account(connector, "5511900000002", config={"phone_number_id": "100000000000002"})
    draft = FlowFacts(name="Welcome", category="intake", published=False)
    for _ in range(2):  # the second time nothing changes
        management.run(lambda session: put_flow(session, management.tenant, management.flow, draft, actor=ACTOR))
    assert (management.version(user), management.version(other)) == (2, 1)
    management.run(lambda session: put_org_unit(session, management.tenant, management.unit, "Renamed", actor=ACTOR))
    assert (management.version(user), management.version(other)) == (3, 2)


def test_a_tenants_time_zone_must_exist(management: Management) -> None:
    with pytest.raises(InvalidInput) as caught:
        management.run(lambda session: put_tenant(session, None, "X", timezone="America/Nowhere", actor=ACTOR))
    assert caught.value.reason == "timezone_unknown"
    management.run(lambda session: put_tenant(session, management.tenant, "Acme", timezone="America/Sao_Paulo", actor=ACTOR))
    assert management.read("SELECT timezone FROM tenant") == [("America/Sao_Paulo",)]
