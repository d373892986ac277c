"""Use cases of connectors, tokens, webhooks and capabilities on the real database, as the role of the API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shared.adapters.receiving_secrets import open_segredo
from shared.adapters.sealing import Aad
from shared.domain.enums import (
    ConnectorStatus,
    ConnectorType,
    Feature,
    HealthStatus,
    KeyPurpose,
    SecretUse,
    TokenKind,
    WebhookEvent,
    WebhookStatus,
)
from shared.domain.errors import Conflict, InvalidInput, KeyRefused, NotFound, SealBroken
from shared.management.capabilities import set_capability
from shared.management.connectors import archive_connector, change_status, update_connector
from shared.management.data_keys import rotate_data_key
from shared.management.tokens import revoke_token
from shared.management.webhooks import NewSecret, NewWebhook, create_webhook, receiving_url, set_webhook_secrets, update_webhook
from shared.providers import provider_of
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import ACTOR, PUBLIC_URL, TOKEN_VALUE, Management, management_of
from tests.integration.rows import connect

SIGN = NewSecret(use=SecretUse.SIGN, value="canary-app-secret")
HANDSHAKE = NewSecret(use=SecretUse.HANDSHAKE, value="canary-verify-token")


@pytest.fixture
def management(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Management]:
    with management_of(database.api_url, tmp_path / "keys") as made:
        yield made


def webhook(management: Management, connector: str, secrets: tuple[NewSecret, ...] = (SIGN, HANDSHAKE)) -> str:
    url = receiving_url(PUBLIC_URL, connector)
    new = NewWebhook(evento=WebhookEvent.MESSAGE_IN, url=url, secrets=secrets)
    return management.run(lambda session: create_webhook(session, management.vault, connector, new, actor=ACTOR)).id


@pytest.mark.req(10, 16, 28, 60)
def test_a_new_connector_is_pending_with_its_providers_capabilities(management: Management) -> None:
    connector = management.connector(nome="  WhatsApp  ", projeto_referencia="123456")
    row = management.read("SELECT nome, projeto_referencia, config, status, tenant_id FROM channel_connector")
    assert [str(value) for value in row[0]] == [
        "WhatsApp",
        "123456",
        "{'waba_id': '100000000000000'}",
        "pending",
        management.tenant,
    ]
    rows = management.read("SELECT feature, enabled, constraints FROM channel_capability ORDER BY feature")
    preset = {each.feature: each for each in provider_of(ConnectorType.WHATSAPP_OFFICIAL).capabilities}
    assert [feature for feature, *_ in rows] == list(Feature)
    assert all((enabled, limits) == (preset[name].enabled, preset[name].constraints) for name, enabled, limits in rows)
    (snapshot, _), (changed, detail) = management.notices(connector)
    assert (snapshot, changed) == ("channel.connector.snapshot", "channel.connector.status_changed")
    assert (detail["old_status"], detail["new_status"], detail["actor"]) == (None, "pending", ACTOR)
    assert management.version(connector) == 1
    assert len(management.keys(KeyPurpose.INGEST)) == 1


@pytest.mark.req(10, 11, 12, 14)
@pytest.mark.parametrize(
    ("change", "reason", "pointer"),
    [
        ({"nome": "  "}, "nome_missing", "/nome"),
        ({"tipo": ConnectorType.FUTURE}, "tipo_reserved", "/tipo"),
        ({"config": {}}, "config_invalid", "/config/waba_id"),
        ({"config": {"waba_id": "100000000000000", "instance": "x"}}, "config_invalid", "/config/instance"),
        ({"tenant_id": "01900000-0000-7000-8000-000000000000"}, "tenant_unknown", "/tenant_id"),
    ],
)
def test_a_faulty_connector_is_refused(management: Management, change: dict[str, Any], reason: str, pointer: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        management.connector(**change)
    assert (caught.value.reason, caught.value.pointer) == (reason, pointer)
    assert management.read("SELECT 1 FROM channel_connector") == []


@pytest.mark.req(2, 15)
def test_a_token_pasted_into_config_is_lifted(management: Management) -> None:
    connector = management.connector(config={"waba_id": "100000000000000", "access_token": TOKEN_VALUE})
    ((config,),) = management.read("SELECT config FROM channel_connector")
    ((token, kind),) = management.read("SELECT id::text, kind FROM channel_token")
    assert config == {"waba_id": "100000000000000", "token_ids": {"access_token": token}}
    assert kind == "access_token"

    again = {"config": {"waba_id": "100000000000001", "access_token": TOKEN_VALUE}}
    management.run(lambda session: update_connector(session, management.vault, connector, again, actor=ACTOR))
    ((config,),) = management.read("SELECT config FROM channel_connector")
    assert config == {"waba_id": "100000000000001", "token_ids": {"access_token": token}}
    assert len(management.read("SELECT 1 FROM channel_token")) == 1


@pytest.mark.req(15)
@pytest.mark.parametrize("place", ["waba_id", "app_id"])
def test_what_looks_like_a_credential_is_refused_wherever_it_stands(management: Management, place: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        management.connector(config={"waba_id": "100000000000000", place: TOKEN_VALUE})
    assert (caught.value.reason, caught.value.pointer) == ("secret_in_config", f"/config/{place}")
    assert TOKEN_VALUE not in str(caught.value)


@pytest.mark.req(16, 56)
def test_activation_needs_a_token_of_the_right_kind_and_a_check(management: Management) -> None:
    connector = management.connector()

    def refused() -> str:
        with pytest.raises(Conflict) as caught:
            management.status(connector, ConnectorStatus.ACTIVE)
        return caught.value.reason

    assert refused() == "token_missing"
    management.token(connector, kind=TokenKind.API_KEY)
    assert refused() == "token_missing"  # Meta takes an access token
    management.token(connector, expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert refused() == "token_expired"
    management.token(connector)
    assert refused() == "check_missing"
    management.check(connector, HealthStatus.FAILED)
    assert refused() == "check_missing"
    management.check(connector, HealthStatus.WARNING)
    management.status(connector, ConnectorStatus.ACTIVE)
    assert management.read("SELECT status FROM channel_connector") == [("active",)]


@pytest.mark.req(16, 68)
def test_each_change_of_status_is_one_event_and_one_audit_row(management: Management) -> None:
    connector = management.active_connector()
    account = management.account(connector)
    before = management.version(account)
    management.status(connector, ConnectorStatus.ERROR, cause="token_rejected")
    management.status(connector, ConnectorStatus.ERROR, cause="again")  # no change, no event
    events = [detail for topic, detail in management.notices(connector) if topic == "channel.connector.status_changed"]
    assert [(event["old_status"], event["new_status"]) for event in events] == [
        (None, "pending"),
        ("pending", "active"),
        ("active", "error"),
    ]
    assert len({event["change_id"] for event in events}) == 3
    assert (events[-1]["cause"], events[-1]["actor"]) == ("token_rejected", ACTOR)
    assert abs(events[-1]["changed_at_ms"] / 1000 - datetime.now(UTC).timestamp()) < 60
    changed = [(was, now) for action, was, now in management.audit(connector) if action == "connector.status_changed"]
    assert changed == [({"status": "pending"}, {"status": "active"}), ({"status": "active"}, {"status": "error"})]
    assert management.version(account) == before + 1  # its own state may have changed with the connector's


@pytest.mark.req(68)
def test_a_rolled_back_change_leaves_nothing(management: Management) -> None:
    connector = management.active_connector()
    notices, version = management.notices(connector), management.version(connector)
    with management.work() as session:
        change_status(session, connector, ConnectorStatus.ERROR, cause="x", actor=ACTOR)
    assert (management.notices(connector), management.version(connector)) == (notices, version)
    assert management.read("SELECT status FROM channel_connector") == [("active",)]


@pytest.mark.req(16, 18)
@pytest.mark.parametrize("status", [ConnectorStatus.ACTIVE, ConnectorStatus.PENDING, ConnectorStatus.ERROR])
def test_an_archived_connector_stays_archived(management: Management, status: ConnectorStatus) -> None:
    connector = management.active_connector()
    management.account(connector)
    management.run(lambda session: archive_connector(session, connector, actor=ACTOR))
    with pytest.raises(Conflict) as caught:
        management.status(connector, status)
    assert caught.value.reason == "illegal_transition"


@pytest.mark.req(2, 31, 32)
def test_a_token_is_sealed_into_its_row(management: Management, database: DatabaseUnderTest) -> None:
    connector = management.connector()
    tokens = [management.token(connector, metadata={"scopes": ["messages"]}), management.token(connector)]
    assert [row[0]["scopes"] for row in management.read("SELECT metadata FROM channel_token ORDER BY id LIMIT 1")] == [
        ["messages"]
    ]
    with connect(database.credential_url) as connection:
        sealed = dict(connection.execute("SELECT id::text, valor_encrypted FROM channel_token").fetchall())
    keys = management.keys(KeyPurpose.CREDENTIAL)
    ring = management.vault.ring(KeyPurpose.CREDENTIAL, management.tenant, keys)

    def place(token: str) -> Aad:
        return Aad(management.tenant, "channel_token", "valor_encrypted", token)

    assert [ring.open_text(sealed[token], place(token)) for token in tokens] == [TOKEN_VALUE.encode()] * 2
    with pytest.raises(SealBroken):
        ring.open_text(sealed[tokens[0]], place(tokens[1]))
    ingest = management.vault.ring(KeyPurpose.INGEST, management.tenant, keys)
    with pytest.raises(KeyRefused):  # the edge's purpose does not open credentials, not even with the wrapped keys at hand
        ingest.open_text(sealed[tokens[0]], place(tokens[0]))


@pytest.mark.req(56)
def test_the_last_token_of_an_active_connector_is_kept(management: Management) -> None:
    connector = management.active_connector()
    ((first,),) = management.read("SELECT id::text FROM channel_token")
    with pytest.raises(Conflict) as caught:
        management.run(lambda session: revoke_token(session, first, actor=ACTOR))
    assert caught.value.reason == "token_missing"
    management.token(connector)
    management.run(lambda session: revoke_token(session, first, actor=ACTOR))
    assert len(management.read("SELECT 1 FROM channel_token")) == 1


@pytest.mark.req(65)
def test_a_webhook_seals_its_secrets(management: Management) -> None:
    connector = management.connector()
    before = management.version(connector)
    row = webhook(management, connector)
    ((url, status, segredo),) = management.read("SELECT url, status, segredo FROM channel_webhook")
    assert (url, status) == (f"{PUBLIC_URL}/webhooks/{connector}", "active")
    keys = management.keys(KeyPurpose.INGEST)
    opened = open_segredo(management.vault.ring(KeyPurpose.INGEST, management.tenant, keys), management.tenant, row, segredo)
    assert [(secret.use, secret.value) for secret in opened] == [
        (SecretUse.SIGN, b"canary-app-secret"),
        (SecretUse.HANDSHAKE, b"canary-verify-token"),
    ]
    assert management.version(connector) == before + 1


@pytest.mark.req(65)
def test_a_webhook_without_secret_cannot_be_active(management: Management) -> None:
    connector = management.connector()
    with pytest.raises(Conflict) as caught:
        webhook(management, connector, ())
    assert caught.value.reason == "segredo_missing"
    row = webhook(management, connector)
    with pytest.raises(Conflict) as twice:
        webhook(management, connector)
    assert twice.value.reason == "webhook_exists"
    management.run(lambda session: update_webhook(session, row, status=WebhookStatus.DISABLED, actor=ACTOR))
    management.run(lambda session: set_webhook_secrets(session, management.vault, row, (), actor=ACTOR))
    with pytest.raises(Conflict) as again:
        management.run(lambda session: update_webhook(session, row, status=WebhookStatus.ACTIVE, actor=ACTOR))
    assert again.value.reason == "segredo_missing"


def test_the_same_secrets_again_change_nothing(management: Management) -> None:
    connector = management.connector()
    row = webhook(management, connector)
    version = management.version(connector)

    def put(*secrets: NewSecret) -> bool:
        return management.run(lambda session: set_webhook_secrets(session, management.vault, row, secrets, actor=ACTOR))

    assert put(SIGN, HANDSHAKE) is False
    assert management.version(connector) == version
    assert put(SIGN, NewSecret(use=SecretUse.HANDSHAKE, value="new")) is True
    assert management.version(connector) == version + 1


def test_a_capability_is_set_and_announced_once(management: Management) -> None:
    connector = management.connector()
    version = management.version(connector)
    for _ in range(2):
        management.run(lambda session: set_capability(session, connector, Feature.TEMPLATES, enabled=False, actor=ACTOR))
    assert management.read("SELECT enabled FROM channel_capability WHERE feature = 'templates'") == [(False,)]
    assert management.version(connector) == version + 1


def test_a_new_data_key_reaches_every_snapshot_of_the_tenant(management: Management) -> None:
    connectors = [management.connector(nome=nome) for nome in ("a", "b")]
    versions = [management.version(connector) for connector in connectors]

    def rotate(purpose: KeyPurpose) -> None:
        management.run(lambda session: rotate_data_key(session, management.vault, management.tenant, purpose, actor=ACTOR))

    rotate(KeyPurpose.INGEST)
    rotate(KeyPurpose.CREDENTIAL)  # no snapshot names those
    assert [management.version(connector) for connector in connectors] == [version + 1 for version in versions]
    keys = management.keys(KeyPurpose.INGEST)
    assert len(keys) == 2
    assert keys[0].key_id > keys[1].key_id  # the newest seals


@pytest.mark.req(2, 76)
def test_no_secret_stands_anywhere_in_the_database(management: Management, database: DatabaseUnderTest) -> None:
    connector = management.connector(config={"waba_id": "100000000000000", "app_secret": "canary-in-config"})
    token = management.token(connector)
    webhook(management, connector)
    assert management.audit(token)[0][2]["metadata"]["fingerprint"] == "***"
    with connect(database.superuser_url.replace("/postgres?", f"/{database.name}?")) as connection:
        tables = connection.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
        dump = "".join(
            str(connection.execute(psycopg.sql.SQL("SELECT t::text FROM {} t").format(psycopg.sql.Identifier(name))).fetchall())
            for (name,) in tables.fetchall()
        )
    assert connector in dump
    assert "canary" not in dump


def test_unknown_ids_are_not_found(management: Management) -> None:
    for unknown in ("01900000-0000-7000-8000-000000000000", "no id at all"):
        with pytest.raises(NotFound):
            management.status(unknown, ConnectorStatus.ACTIVE)
