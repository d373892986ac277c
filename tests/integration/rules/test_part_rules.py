"""Rules 19, 25, 27, 28, 31, 32, 47, 52-54, 58, 59 and 65 by the use cases and by raw SQL: the rows around a connector."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from shared.adapters.clock import new_uuid7
from shared.adapters.sealing import Aad
from shared.domain.enums import ConnectorType, EntityType, Feature, KeyPurpose, SecretUse, TokenKind, WebhookEvent, WebhookStatus
from shared.domain.errors import Conflict, InvalidInput, SealBroken
from shared.management.accounts import update_account
from shared.management.capabilities import set_capability
from shared.management.webhooks import NewSecret, NewWebhook, create_webhook, set_webhook_secrets, update_webhook
from shared.providers import provider_of
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import ACTOR, PUBLIC_URL, TOKEN_VALUE, Management
from tests.integration.rows import connect

_SECOND = {"config": {"phone_number_id": "100000000000002"}}


def refusal(caught: pytest.ExceptionInfo[psycopg.Error]) -> str | None:
    return caught.value.diag.constraint_name


@pytest.mark.req(19)
def test_rule_19_one_identity_per_connector(management: Management, sql: psycopg.Connection[Any]) -> None:
    connector = management.connector()
    account = management.account(connector, "+55 11 90000-0001")
    for spelling in ("5511900000001", "+5511900000001", "55 11 90000 0001"):
        with pytest.raises(Conflict) as caught:
            management.account(connector, spelling, **_SECOND)
        assert caught.value.reason == "identity_taken"
    with pytest.raises(psycopg.errors.UniqueViolation) as raw:
        sql.execute(
            "INSERT INTO channel_account (id, connector_id, identidade, status, org_unit_id) VALUES (%s, %s, %s, 'pending', %s)",
            (new_uuid7(), connector, "5511900000001", management.unit),
        )
    assert refusal(raw) == "uq_channel_account_connector_id_identidade"
    management.account(management.connector(nome="another"), "5511900000001")
    assert management.read("SELECT id::text FROM channel_account WHERE connector_id = :c", c=connector) == [(account,)]


@pytest.mark.req(25)
def test_rule_25_each_account_has_an_address_of_its_own(management: Management) -> None:
    connector = management.connector()
    accounts = [management.account(connector), management.account(connector, "5511900000002", **_SECOND)]
    urls = dict(management.read("SELECT id::text, webhook_url FROM channel_account"))
    assert urls == {account: f"{PUBLIC_URL}/webhooks/{connector}/{account}" for account in accounts}
    with pytest.raises(InvalidInput) as caught:
        management.run(lambda s: update_account(s, accounts[0], {"webhook_url": "not an address"}, actor=ACTOR))
    assert caught.value.reason == "url_invalid"


@pytest.mark.req(27)
def test_rule_27_metadata_come_back_unchanged_up_to_16_kb(management: Management) -> None:
    given = {"ação": "não", "deep": [{"a": [1, 2.5, None, True]}], "text": "x" * 15_000}
    account = management.account(management.connector(), metadata=given)
    assert management.read("SELECT metadata FROM channel_account") == [(given,)]
    with pytest.raises(InvalidInput) as caught:
        management.run(lambda s: update_account(s, account, {"metadata": {"text": "x" * 16_400}}, actor=ACTOR))
    assert (caught.value.reason, caught.value.pointer) == ("metadata_too_large", "/metadata")
    assert management.read("SELECT metadata FROM channel_account") == [(given,)]


@pytest.mark.req(28, 60)
def test_rule_28_six_rows_from_the_preset_and_none_twice(management: Management, sql: psycopg.Connection[Any]) -> None:
    connector = management.connector()
    preset = {each.feature: each.enabled for each in provider_of(ConnectorType.WHATSAPP_OFFICIAL).capabilities}
    rows = dict(management.read("SELECT feature, enabled FROM channel_capability"))
    assert rows == {feature: preset.get(feature, False) for feature in Feature}
    insert = "INSERT INTO channel_capability (id, connector_id, feature, enabled) VALUES (%s, %s, %s, true)"
    for feature in Feature:
        with pytest.raises(psycopg.errors.UniqueViolation) as caught:
            sql.execute(insert, (new_uuid7(), connector, feature))
        assert refusal(caught) == "uq_channel_capability_connector_id_feature"
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        sql.execute(insert, (new_uuid7(), connector, "voice"))
    row = management.run(
        lambda s: set_capability(s, connector, Feature.MESSAGES, enabled=False, constraints={"per_minute": 20}, actor=ACTOR)
    )
    assert (row.enabled, row.constraints) == (False, {"per_minute": 20})


@pytest.mark.req(31)
def test_rule_31_a_rotation_adds_a_row_and_another_kind_is_refused(management: Management, sql: psycopg.Connection[Any]) -> None:
    connector = management.active_connector()
    second = management.token(connector, value="EAAcanary0000000000second")
    assert {kind for (kind,) in management.read("SELECT kind FROM channel_token")} == {TokenKind.ACCESS_TOKEN}
    assert len(management.read("SELECT 1 FROM channel_token")) == 2
    assert management.read("SELECT id::text FROM channel_token ORDER BY created_at DESC LIMIT 1") == [(second,)]
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        sql.execute(
            "INSERT INTO channel_token (id, connector_id, kind, valor_encrypted) VALUES (%s, %s, 'password', 'x')",
            (new_uuid7(), connector),
        )


@pytest.mark.req(32)
def test_rule_32_altered_or_moved_ciphertext_of_a_stored_row_is_refused(
    management: Management, database: DatabaseUnderTest
) -> None:
    connector = management.connector()
    first, second = management.token(connector), management.token(connector)
    with connect(database.credential_url) as reader:
        sealed = dict(reader.execute("SELECT id::text, valor_encrypted FROM channel_token").fetchall())
    ring = management.vault.ring(KeyPurpose.CREDENTIAL, management.tenant, management.keys(KeyPurpose.CREDENTIAL))
    place = Aad(management.tenant, "channel_token", "valor_encrypted", first)
    assert ring.open_text(sealed[first], place) == TOKEN_VALUE.encode()
    flipped = sealed[first][:-2] + ("A" if sealed[first][-2] != "A" else "B") + sealed[first][-1]
    for broken in (flipped, sealed[second]):
        with pytest.raises(SealBroken):
            ring.open_text(broken, place)


@pytest.mark.req(47)
def test_rule_47_a_mapping_is_found_from_either_side_by_an_index(management: Management, database: DatabaseUnderTest) -> None:
    connector, contact = management.connector(), new_uuid7()
    with connect(database.worker_url) as worker:
        insert = """INSERT INTO channel_mapping (id, connector_id, chave_externa, entidade_type, entidade_id)
            VALUES (%s, %s, %s, %s, %s)"""
        worker.execute(insert, (new_uuid7(), connector, "phone:5511900000009", EntityType.CONTACT, contact))
        found = worker.execute("SELECT chave_externa FROM channel_mapping WHERE entidade_id = %s", (contact,)).fetchall()
        assert found == [("phone:5511900000009",)]
        worker.execute("SET enable_seqscan = off")  # a table of one row would be read whole
        for where, index in (
            (f"entidade_id = '{contact}'", "ix_channel_mapping_entidade_id"),
            (
                f"connector_id = '{connector}' AND chave_externa = 'phone:5511900000009' AND entidade_type = 'contact'",
                "uq_channel_mapping_connector_id_chave_externa_entidade_type",
            ),
        ):
            plan = worker.execute(f"EXPLAIN SELECT * FROM channel_mapping WHERE {where}").fetchall()
            assert any(index in line for (line,) in plan), plan


@pytest.mark.req(52, 53)
@pytest.mark.parametrize(
    ("parent", "children"),
    [
        (
            "channel_connector",
            {
                "channel_account",
                "channel_capability",
                "channel_token",
                "channel_webhook",
                "channel_health_check",
                "channel_usage_log",
                "channel_mapping",
                "connector_default_fallback",
            },
        ),
        ("channel_account", {"channel_fallback", "channel_usage_log", "channel_mapping", "channel_health_check"}),
    ],
)
def test_rule_52_53_every_line_of_the_diagram_is_a_foreign_key(
    sql: psycopg.Connection[Any], parent: str, children: set[str]
) -> None:
    keys = sql.execute(
        "SELECT conrelid::regclass::text FROM pg_constraint WHERE contype = 'f' AND confrelid = %s::regclass", (parent,)
    ).fetchall()
    assert children <= {child for (child,) in keys}


@pytest.mark.req(54)
def test_rule_54_a_default_fallback_is_one_of_the_connectors_own(management: Management, sql: psycopg.Connection[Any]) -> None:
    connector, stranger = management.connector(), management.connector(nome="another")
    fallbacks = {}
    for owner in (connector, stranger):
        fallbacks[owner] = new_uuid7()
        sql.execute(
            "INSERT INTO channel_fallback (id, account_id, tipo, destino, ativo) VALUES (%s, %s, 'email_forward', %s, true)",
            (fallbacks[owner], management.account(owner), "ops@example.com"),
        )
    link = "INSERT INTO connector_default_fallback (connector_id, fallback_id) VALUES (%s, %s)"
    with pytest.raises(psycopg.errors.CheckViolation) as theirs:
        sql.execute(link, (connector, fallbacks[stranger]))
    assert refusal(theirs) == "fallback_of_another_connector"
    sql.execute(link, (connector, fallbacks[connector]))
    with pytest.raises(psycopg.errors.UniqueViolation):
        sql.execute(link, (connector, fallbacks[connector]))
    with pytest.raises(psycopg.errors.ForeignKeyViolation):  # a default in use is not taken away
        sql.execute("DELETE FROM channel_fallback WHERE id = %s", (fallbacks[connector],))
    with pytest.raises(psycopg.errors.CheckViolation):
        sql.execute("UPDATE connector_default_fallback SET fallback_id = %s", (fallbacks[stranger],))


@pytest.mark.req(58)
def test_rule_58_the_last_target_stays(management: Management, sql: psycopg.Connection[Any]) -> None:
    account = management.account(management.connector(), intake_flow_id=management.flow)
    for both in ({"org_unit_id": None, "intake_flow_id": None}, {"intake_flow_id": None, "org_unit_id": None}):
        with pytest.raises(Conflict) as caught:
            management.run(lambda s, changes=both: update_account(s, account, changes, actor=ACTOR))  # type: ignore[misc]
        assert caught.value.reason == "route_missing"
    with pytest.raises(psycopg.errors.CheckViolation) as raw:
        sql.execute("UPDATE channel_account SET org_unit_id = NULL, intake_flow_id = NULL")
    assert refusal(raw) == "ck_channel_account_route_missing"
    assert management.version(account) == 1


@pytest.mark.req(65)
def test_rule_65_an_active_webhook_keeps_a_secret(management: Management, sql: psycopg.Connection[Any]) -> None:
    connector = management.connector()
    secret = NewSecret(use=SecretUse.SIGN, value="canary-app-secret")
    new = NewWebhook(evento=WebhookEvent.MESSAGE_IN, url=PUBLIC_URL, secrets=(secret,))
    row = management.run(lambda s: create_webhook(s, management.vault, connector, new, actor=ACTOR)).id
    with pytest.raises(Conflict) as emptied:
        management.run(lambda s: set_webhook_secrets(s, management.vault, row, (), actor=ACTOR))
    assert emptied.value.reason == "segredo_missing"
    for statement in ("UPDATE channel_webhook SET segredo = NULL", "UPDATE channel_webhook SET segredo = ''"):
        with pytest.raises(psycopg.errors.CheckViolation) as raw:
            sql.execute(statement)
        assert refusal(raw) == "ck_channel_webhook_segredo_missing"
    management.run(lambda s: update_webhook(s, row, status=WebhookStatus.DISABLED, actor=ACTOR))
    management.run(lambda s: set_webhook_secrets(s, management.vault, row, (), actor=ACTOR))
    assert management.read("SELECT status, segredo FROM channel_webhook") == [("disabled", None)]
