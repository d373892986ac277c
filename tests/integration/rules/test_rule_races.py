"""Rules that two transactions could break together: each is raced on the real database, and both orders must have happened."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from shared.adapters.clock import new_uuid7
from shared.domain.enums import ConnectorStatus, SecretUse, WebhookEvent, WebhookStatus
from shared.domain.errors import Conflict, InvalidInput
from shared.domain.snapshots import OrgUnitSnapshot
from shared.management.accounts import update_account
from shared.management.reference import FlowFacts, put_flow, put_org_unit
from shared.management.reference_feed import forget_unit, take_unit
from shared.management.tokens import revoke_token
from shared.management.webhooks import NewSecret, NewWebhook, create_webhook, set_webhook_secrets, update_webhook
from tests.integration.management import ACTOR, PUBLIC_URL, Management

_RACES = 40
_SIGN = NewSecret(use=SecretUse.SIGN, value="canary-app-secret")
_chance = random.Random(58)


def race(*jobs: Callable[[], object]) -> tuple[str, ...]:
    """Start all at the same moment, give or take a millisecond; per job `done` or the reason of its refusal."""
    start = threading.Barrier(len(jobs))
    pauses = [_chance.random() * 0.002 for _ in jobs]

    def one(job: Callable[[], object], pause: float) -> str:
        start.wait(10)
        threading.Event().wait(pause)
        try:
            job()
        except (Conflict, InvalidInput) as error:
            return error.reason
        except psycopg.Error as error:
            return error.diag.constraint_name or type(error).__name__
        return "done"

    with ThreadPoolExecutor(len(jobs)) as pool:
        return tuple(future.result(30) for future in [pool.submit(one, *each) for each in zip(jobs, pauses, strict=True)])


@pytest.mark.req(16, 68)
def test_rule_16_two_administrators_move_one_connector(management: Management) -> None:
    """One archives, the other sets it back to work: archived wins for good, and the events form one chain."""
    ends: Counter[tuple[str, ...]] = Counter()
    for _ in range(_RACES):
        connector = management.active_connector()
        ends[
            race(
                lambda c=connector: management.status(c, ConnectorStatus.ARCHIVED),  # type: ignore[misc]
                lambda c=connector: management.status(c, ConnectorStatus.ERROR),  # type: ignore[misc]
            )
        ] += 1
        assert management.read("SELECT status FROM channel_connector WHERE id = :c", c=connector) == [("archived",)]
        events = [d for topic, d in management.notices(connector) if topic == "channel.connector.status_changed"]
        for earlier, later in pairwise(events):
            assert later["old_status"] == earlier["new_status"]
    assert set(ends) == {("done", "done"), ("done", "illegal_transition")}


@pytest.mark.req(19)
def test_rule_19_two_administrators_register_one_number(management: Management) -> None:
    connector = management.connector()
    for number in range(_RACES):
        identidade, config = f"55119000{number:05}", {"phone_number_id": f"2000000000{number:05}"}
        ends = race(*[lambda i=identidade, c=config: management.account(connector, i, config=c)] * 2)
        assert sorted(ends) in (["done", "identity_taken"], ["account_ref_taken", "done"])
    assert len(management.read("SELECT 1 FROM channel_account")) == _RACES


@pytest.mark.req(18)
def test_rule_18_an_account_arrives_while_its_connector_is_deleted(
    management: Management, open_sql: Callable[..., psycopg.Connection[Any]]
) -> None:
    deleter, inserter = open_sql(), open_sql()
    insert = "INSERT INTO channel_account (id, connector_id, identidade, status, org_unit_id) VALUES (%s, %s, 'w', 'pending', %s)"
    ends: Counter[tuple[str, ...]] = Counter()
    for _ in range(_RACES):
        connector = new_uuid7()
        deleter.execute(
            "INSERT INTO channel_connector (id, tenant_id, tipo, nome, config, status)"
            " VALUES (%s, %s, 'webchat', 'x', '{}', 'pending')",
            (connector, management.tenant),
        )
        ends[
            race(
                lambda c=connector: deleter.execute("DELETE FROM channel_connector WHERE id = %s", (c,)),  # type: ignore[misc]
                lambda c=connector: inserter.execute(insert, (new_uuid7(), c, management.unit)),  # type: ignore[misc]
            )
        ] += 1
    assert all("done" in end and end.count("done") == 1 for end in ends), ends
    orphans = "SELECT 1 FROM channel_account a LEFT JOIN channel_connector c ON c.id = a.connector_id WHERE c.id IS NULL"
    assert management.read(orphans) == []


@pytest.mark.req(56)
def test_rule_56_a_token_is_revoked_while_its_connector_is_activated(management: Management) -> None:
    connector = management.connector()
    management.check(connector)
    ends: Counter[tuple[str, ...]] = Counter()
    for _ in range(_RACES):
        token = management.token(connector)
        ends[
            race(
                lambda: management.status(connector, ConnectorStatus.ACTIVE),
                lambda t=token: management.run(lambda s: revoke_token(s, t, actor=ACTOR)),  # type: ignore[misc]
            )
        ] += 1
        ((status,),) = management.read("SELECT status FROM channel_connector")
        tokens = management.read("SELECT 1 FROM channel_token")
        assert status != "active" or tokens
        management.status(connector, ConnectorStatus.ERROR)
        for (left,) in management.read("SELECT id::text FROM channel_token"):
            management.run(lambda s, t=left: revoke_token(s, t, actor=ACTOR))  # type: ignore[misc]
    assert set(ends) == {("done", "token_missing"), ("token_missing", "done")}


@pytest.mark.req(58)
def test_rule_58_two_administrators_each_clear_one_of_two_targets(management: Management) -> None:
    account = management.account(management.connector(), intake_flow_id=management.flow)
    whole = {"org_unit_id": management.unit, "intake_flow_id": management.flow}

    def clear(name: str) -> object:
        return management.run(lambda s: update_account(s, account, {name: None}, actor=ACTOR))

    winners: Counter[tuple[str, ...]] = Counter()
    for _ in range(_RACES):
        ends = race(lambda: clear("org_unit_id"), lambda: clear("intake_flow_id"))
        winners[ends] += 1
        assert sorted(ends) == ["done", "route_missing"]
        management.run(lambda s: update_account(s, account, whole, actor=ACTOR))
    assert len(winners) == 2


@pytest.mark.req(59)
def test_rule_59_a_flow_is_unpublished_while_an_account_begins_to_use_it(management: Management) -> None:
    account = management.account(management.connector())
    ends: Counter[tuple[str, ...]] = Counter()

    def publish(published: bool) -> object:
        facts = FlowFacts(name="Welcome", category="intake", published=published)
        return management.run(lambda s: put_flow(s, management.tenant, management.flow, facts, actor=ACTOR))

    for _ in range(_RACES):
        before = management.version(account)
        end = race(
            lambda: publish(False),
            lambda: management.run(lambda s: update_account(s, account, {"intake_flow_id": management.flow}, actor=ACTOR)),
        )
        ends[end] += 1
        ((flow,),) = management.read("SELECT intake_flow_id::text FROM channel_account")
        if end[1] == "done":  # it was set first: the withdrawal then told the account anew
            assert (flow, management.version(account)) == (management.flow, before + 2)
        else:
            assert (flow, management.version(account)) == (None, before)
        publish(True)
        management.run(lambda s: update_account(s, account, {"intake_flow_id": None}, actor=ACTOR))
    assert set(ends) == {("done", "done"), ("done", "flow_not_published")}


@pytest.mark.req(22, 55)
def test_rule_55_a_unit_is_deleted_while_an_account_is_moved_to_it(management: Management) -> None:
    unit = new_uuid7()
    account = management.account(management.connector())
    ends: Counter[tuple[str, ...]] = Counter()

    def move(to: str) -> object:
        return management.run(lambda s: update_account(s, account, {"org_unit_id": to}, actor=ACTOR))

    for number in range(_RACES):
        snapshot = OrgUnitSnapshot(version=number, org_unit_id=unit, tenant_id=management.tenant, name="Sales")
        management.run(lambda s, one=snapshot: take_unit(s, one, actor=ACTOR))  # type: ignore[misc]
        before = management.version(account)
        end = race(lambda: management.run(lambda s: forget_unit(s, unit, actor=ACTOR)), lambda: move(unit))
        ends[end] += 1
        lost = [action for action, *_ in management.audit(account) if action == "account.target_lost"]
        if end[1] == "done":  # it was there first: the deletion found it, warned it and told it anew
            assert management.version(account) == before + 2
            assert len(lost) == ends["done", "done"]
        else:
            assert management.version(account) == before
        move(management.unit)
    assert set(ends) == {("done", "done"), ("done", "org_unit_unknown")}
    management.run(lambda s: take_unit(s, snapshot, actor=ACTOR))
    management.run(lambda s: forget_unit(s, unit, actor=ACTOR))
    with pytest.raises(Conflict) as caught:  # only its owner brings it back
        management.run(lambda s: put_org_unit(s, management.tenant, unit, "by hand", actor=ACTOR))
    assert caught.value.reason == "reference_deleted"


@pytest.mark.req(65)
def test_rule_65_a_webhook_is_activated_while_its_secrets_are_taken_away(management: Management) -> None:
    connector = management.connector()
    new = NewWebhook(evento=WebhookEvent.MESSAGE_IN, url=PUBLIC_URL, secrets=(_SIGN,), status=WebhookStatus.DISABLED)
    row = management.run(lambda s: create_webhook(s, management.vault, connector, new, actor=ACTOR)).id

    def put(*secrets: NewSecret) -> object:
        return management.run(lambda s: set_webhook_secrets(s, management.vault, row, secrets, actor=ACTOR))

    def turn(status: WebhookStatus) -> object:
        return management.run(lambda s: update_webhook(s, row, status=status, actor=ACTOR))

    winners: Counter[tuple[str, ...]] = Counter()
    for _ in range(_RACES):
        ends = race(lambda: turn(WebhookStatus.ACTIVE), put)
        winners[ends] += 1
        assert sorted(ends) == ["done", "segredo_missing"]
        assert management.read("SELECT 1 FROM channel_webhook WHERE status = 'active' AND segredo IS NULL") == []
        turn(WebhookStatus.DISABLED)
        put(_SIGN)
    assert len(winners) == 2


@pytest.mark.req(65)
def test_two_administrators_create_one_webhook(management: Management) -> None:
    new = NewWebhook(evento=WebhookEvent.MESSAGE_IN, url=PUBLIC_URL, secrets=(_SIGN,))
    for _ in range(10):
        connector = management.connector()
        ends = race(*[lambda c=connector: management.run(lambda s: create_webhook(s, management.vault, c, new, actor=ACTOR))] * 2)
        assert sorted(ends) == ["done", "webhook_exists"]
