"""`channels export`: the installation takes its own file back unchanged, another one becomes the same, no secret leaves."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from sqlalchemy.orm import Session

from shared.adapters.clock import new_uuid7
from shared.adapters.database import create_engine_for, unit_of_work
from shared.domain.enums import ConnectorStatus, ConnectorType, Feature, TokenKind
from shared.management.accounts import update_account
from shared.management.capabilities import capability_of, set_capability
from shared.management.connectors import NewConnector, change_status, create_connector
from shared.management.descriptions import apply_description
from shared.management.key_erasure import erase_keys
from shared.management.tokens import NewToken, add_token
from shared.providers.describing import AccountDescription, FeatureState
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.manifest_strategies import manifests
from tests.integration.manifests import EXAMPLE, Setup, setup_of
from tests.integration.rows import connect

_SECRET_ID = re.compile(r"^ +(?:- )?id: [0-9a-f-]{36}/\d+$", re.MULTILINE)  # the number of a secret in its own webhook row


@pytest.fixture
def setup(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Setup]:
    with setup_of(database, tmp_path / "here") as made:
        yield made


@pytest.fixture
def elsewhere(another_database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Setup]:
    with setup_of(another_database, tmp_path / "there") as made:
        yield made


def change(setup: Setup, tenant: str, use_case: Callable[[Session], object]) -> None:
    with unit_of_work(setup.engine, tenant_id=tenant) as session:
        use_case(session)
        session.commit()


def by_its_owner(setup: Setup, sql: str) -> None:
    with connect(setup.database.owner_url) as connection:
        connection.execute(sql)


def same_but_ids_of_secrets(text: str) -> str:
    return _SECRET_ID.sub("", text)


def supplied(setup: Setup, values: dict[str, str]) -> dict[str, str]:
    """What an administrator puts into the variables that the file names; `values`: words of the description -> secret."""
    found = {}
    for source in setup.export().sources.sources:
        (found[source.env],) = [secret for told, secret in values.items() if told in source.told]
    return found


MEANT = {"access token": "canary-token", "signing secret": "canary-app", "handshake secret": "canary-verify"}


def test_the_installation_takes_its_file_back_and_nothing_changes(setup: Setup) -> None:
    setup.apply(EXAMPLE.read_text())
    before = setup.everything()
    text = setup.exported()
    report = setup.apply(text, secrets={})
    assert (report.changes, report.differences, report.unnamed) == ((), [], [])
    assert setup.everything() == before
    assert setup.exported() == text


@pytest.mark.req(20, 60)
def test_what_the_provider_said_stays_here_and_what_people_set_goes_along(setup: Setup, elsewhere: Setup) -> None:
    setup.apply(EXAMPLE.read_text().replace("            nome_exibicao: Sales\n", ""))
    (tenant, connector), *_ = setup.rows("SELECT tenant_id, id FROM channel_connector")
    ((named,),) = setup.rows("SELECT id FROM channel_account WHERE nome_exibicao IS NOT NULL LIMIT 1")
    ((other,),) = setup.rows("SELECT id FROM channel_account WHERE nome_exibicao IS NULL LIMIT 1")
    states = (
        FeatureState(feature=Feature.MESSAGES, constraints={"rate_per_second": 750}),
        FeatureState(feature=Feature.BUTTONS, enabled=False),
    )
    told = AccountDescription(display_name="Loja", features=states)
    now = dt.datetime.now(dt.UTC)
    for account in (named, other):
        change(setup, str(tenant), lambda one, account=account: apply_description(one, str(account), told, now=now, actor="sync"))
    plain = setup.exported()
    assert "Loja" not in plain
    assert "capabilities" not in plain

    def by_hand(session: Session) -> None:
        row = capability_of(session, str(connector), Feature.MESSAGES)
        limits = {**(row.constraints or {}), "text_max_characters": 1_000}
        set_capability(session, str(connector), Feature.MESSAGES, enabled=row.enabled, constraints=limits, actor="test")

    change(setup, str(tenant), by_hand)
    before, text = setup.everything(), setup.exported()
    assert (text.count("text_max_characters: 1000"), text.count("rate_per_second: 60")) == (1, 1)
    report = setup.apply(text, secrets={})
    assert (report.changes, setup.everything()) == ((), before)  # the tier's rate stands
    elsewhere.apply(text, secrets=supplied(setup, MEANT))
    limits = "SELECT constraints ->> 'text_max_characters', constraints ->> 'rate_per_second' FROM channel_capability"
    assert setup.rows(f"{limits} WHERE feature = 'messages'") == [("1000", "750")]
    assert elsewhere.rows(f"{limits} WHERE feature = 'messages'") == [("1000", "60")]
    held = "SELECT field, members FROM channel_override WHERE account_id IS NULL"
    assert elsewhere.rows(held) == setup.rows(held) == [("capability:messages", ["constraints.text_max_characters"])]
    edited = text.replace("text_max_characters: 1000", "text_max_characters: 500").replace(
        "rate_per_second: 60", "rate_per_second: 30"
    )
    assert [one.action for one in setup.apply(edited, secrets={}).changes] == ["capability.set"]
    assert setup.rows(f"{limits} WHERE feature = 'messages'") == [("500", "30")]


@pytest.mark.req(2)
def test_no_secret_leaves_and_the_head_says_what_to_supply(setup: Setup) -> None:
    setup.apply(EXAMPLE.read_text())
    text = setup.exported()
    assert "canary" not in text
    columns = (
        "SELECT segredo FROM channel_webhook",
        "SELECT valor_encrypted FROM channel_token",
        "SELECT metadata->>'fingerprint' FROM channel_token",
    )
    sealed = [row[0] for sql in columns for row in setup.rows(sql)]
    assert not [one for one in sealed if one[:40] in text]
    head = text.partition("version: 1")[0]
    assert "ACME_WHATSAPP_OFICIAL_META_ACCESS_TOKEN      the access token of connector 'WhatsApp Oficial - Meta'" in head
    assert set(re.findall(r"env: (\w+)$", text, re.MULTILINE)) == set(re.findall(r"^#   (\w+)  ", head, re.MULTILINE))


def test_another_installation_becomes_the_same(setup: Setup, elsewhere: Setup) -> None:
    setup.apply(EXAMPLE.read_text())
    text = setup.exported()
    assert len(elsewhere.faults(text, secrets={})) == 3
    assert elsewhere.rows("SELECT count(*) FROM tenant") == [(0,)]
    elsewhere.apply(text, secrets=supplied(setup, MEANT))
    assert same_but_ids_of_secrets(elsewhere.exported()) == same_but_ids_of_secrets(text)
    for sql in (
        "SELECT id, tenant_id, tipo, nome, projeto_referencia, config, status FROM channel_connector",
        "SELECT id, connector_id, identidade, nome_exibicao, status, org_unit_id, intake_flow_id, config, webhook_url, metadata"
        " FROM channel_account ORDER BY id",
        "SELECT connector_id, evento, url, status FROM channel_webhook ORDER BY evento",
        "SELECT connector_id, feature, enabled, constraints FROM channel_capability ORDER BY feature",
        "SELECT id, connector_id, kind, expires_at, metadata - 'fingerprint' FROM channel_token",
    ):
        assert elsewhere.rows(sql) == setup.rows(sql), sql
    assert elsewhere.apply(text, secrets=supplied(setup, MEANT)).changes == ()


def test_a_fault_tells_where_a_secret_could_come_from(setup: Setup, elsewhere: Setup) -> None:
    setup.apply(EXAMPLE.read_text())
    told = elsewhere.faults(setup.exported(), secrets={})
    assert (
        "environment variable ACME_WHATSAPP_OFICIAL_META_ACCESS_TOKEN is not set, and no token of this id is stored here"
        in told[0]
    )
    assert "no secret of this id is stored here" in told[1]


def test_a_secret_in_the_environment_replaces_the_stored_one(setup: Setup) -> None:
    setup.apply(EXAMPLE.read_text())
    given_now = {**supplied(setup, MEANT), "ACME_WHATSAPP_OFICIAL_META_SIGNING_SECRET": "canary-rotated"}
    report = setup.apply(setup.exported(), secrets=given_now)
    assert {(one.action.value, one.kind) for one in report.differences} == {("change", "webhook")}
    token = {**supplied(setup, MEANT), "ACME_WHATSAPP_OFICIAL_META_ACCESS_TOKEN": "canary-token-2"}
    del token["ACME_WHATSAPP_OFICIAL_META_SIGNING_SECRET"]  # the rotated one is kept
    report = setup.apply(setup.exported(), secrets=token)
    assert [(one.action.value, one.kind) for one in report.differences] == [("create", "token")]
    assert setup.rows("SELECT count(DISTINCT id) FROM channel_token") == [(2,)]


def test_states_that_the_system_made_go_out_and_come_back(setup: Setup) -> None:
    setup.apply(EXAMPLE.read_text())
    ((tenant, connector),) = setup.rows("SELECT tenant_id::text, id::text FROM channel_connector")
    accounts = [row[0] for row in setup.rows("SELECT id::text FROM channel_account ORDER BY identidade")]

    def disturb(session: Session) -> None:
        update_account(session, accounts[0], {"webhook_url": "https://proxy.example.com/one"}, actor="test")
        expired = NewToken(kind=TokenKind.API_KEY, value="canary-old", expires_at=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
        add_token(session, setup.vault, connector, expired, actor="test")
        change_status(session, connector, ConnectorStatus.ERROR, cause="token_rejected", actor="health")

    change(setup, tenant, disturb)
    text = setup.exported()
    part = yaml.safe_load(text)["tenants"][0]["connectors"][0]
    assert "status" not in part  # active is the default
    assert [account.get("status", "active") for account in part["accounts"]] == ["active", "active"]
    assert part["accounts"][0]["webhook_url"] == "https://proxy.example.com/one"
    assert [token["kind"] for token in part["tokens"]] == ["access_token"]
    before = setup.everything()
    assert setup.apply(text, secrets={}).changes == ()
    assert setup.everything() == before


def test_names_that_tell_nothing_are_written_as_ids(setup: Setup) -> None:
    setup.apply(EXAMPLE.read_text())
    ((tenant,),) = setup.rows("SELECT id::text FROM tenant")

    def double(session: Session) -> None:
        for status in (ConnectorStatus.ARCHIVED, ConnectorStatus.PENDING):
            config = {"widget_ids": ["main-widget"], "origins": ["https://shop.example.com"]}
            twin = NewConnector(tenant_id=tenant, tipo=ConnectorType.WEBCHAT, nome="Twin", config=config)
            row = create_connector(session, setup.vault, twin, actor="test")
            change_status(session, row.id, status, cause="test", actor="test")

    change(setup, tenant, double)
    by_its_owner(setup, f"INSERT INTO org_unit (id, tenant_id, name) VALUES ('{new_uuid7()}', '{tenant}', 'Support')")
    named = yaml.safe_load(setup.exported())["tenants"][0]["connectors"][0]["accounts"][0]["org_unit"]
    assert [(named,)] == setup.rows("SELECT org_unit_id::text FROM channel_account WHERE org_unit_id IS NOT NULL")
    by_its_owner(setup, "UPDATE org_unit SET deleted_at = now() WHERE id IN (SELECT org_unit_id FROM channel_account)")
    text, whole = setup.exported(), setup.exported(archived=True)
    assert (text.count("nome: Twin"), whole.count("nome: Twin")) == (1, 2)
    exported = yaml.safe_load(whole)["tenants"][0]
    assert len(exported["org_units"]) == 1  # the deleted one is its owner's affair …
    routed = [account["org_unit"] for account in exported["connectors"][0]["accounts"] if "org_unit" in account]
    assert routed != ["Support"]  # … and the account still names it, by its id
    assert "that its owner has deleted" in text.partition("version:")[0]
    before = setup.everything()
    assert setup.apply(whole, secrets={}).changes == ()
    assert setup.everything() == before


def test_fallbacks_and_the_default_go_along(setup: Setup, elsewhere: Setup) -> None:
    document = yaml.safe_load(EXAMPLE.read_text())
    first, second = document["tenants"][0]["connectors"][0]["accounts"]
    first["fallbacks"] = [
        {"tipo": "fallback_number", "destino": "+55 11 90000-0002"},
        {"tipo": "email_forward", "destino": "ops@example.com", "ativo": False},
    ]
    second["fallbacks"] = [{"tipo": "voicemail", "destino": "night@example.com", "default": True}]
    report = setup.apply(document)
    assert sum(one.kind == "fallback" for one in report.differences) == 3
    assert setup.apply(document).changes == ()
    text = setup.exported()
    assert setup.apply(text, secrets={}).changes == ()
    elsewhere.apply(text, secrets=supplied(setup, MEANT))
    assert same_but_ids_of_secrets(elsewhere.exported()) == same_but_ids_of_secrets(text)
    sql = (
        "SELECT identidade, tipo, destino, ativo, d.connector_id IS NOT NULL FROM channel_fallback f"
        " JOIN channel_account a ON a.id = f.account_id"
        " LEFT JOIN connector_default_fallback d ON d.fallback_id = f.id ORDER BY 1, 2"
    )
    assert elsewhere.rows(sql) == setup.rows(sql)
    first["fallbacks"][0]["ativo"] = False
    second["fallbacks"].append({"tipo": "fallback_number", "destino": "5511900000001"})
    assert [one.kind for one in setup.apply(document).differences] == ["fallback", "fallback"]  # the circle is never closed


def test_rows_share_a_part_only_with_the_same_secrets(setup: Setup) -> None:
    document = yaml.safe_load(EXAMPLE.read_text())
    one, two = ({"use": "sign", "value": f"canary-{number}"} for number in (1, 2))
    groups = [("message_in", [one]), ("delivery", [two]), ("message_status", [one]), ("fallback", [one, two])]
    webhooks = [{"events": [event], "secrets": secrets} for event, secrets in groups]
    document["tenants"][0]["connectors"][0]["webhooks"] = webhooks
    setup.apply(document)
    text = setup.exported()
    parts = yaml.safe_load(text)["tenants"][0]["connectors"][0]["webhooks"]
    assert [part["events"] for part in parts] == [["message_in", "message_status"], ["delivery"], ["fallback"]]
    first, second, both = ([secret["env"] for secret in part["secrets"]] for part in parts)
    assert both == [*first, *second]
    assert setup.apply(text, secrets={}).changes == ()


def test_a_stored_secret_stands_in_for_its_own_use_only(setup: Setup) -> None:
    setup.apply(EXAMPLE.read_text())
    document = yaml.safe_load(setup.exported())
    secrets = document["tenants"][0]["connectors"][0]["webhooks"][0]["secrets"]
    secrets[0]["use"], secrets[1]["use"] = secrets[1]["use"], secrets[0]["use"]
    assert len(setup.faults(document, secrets={})) == 2


def test_an_expired_secret_that_nobody_has_is_left_out(setup: Setup, elsewhere: Setup) -> None:
    document = yaml.safe_load(EXAMPLE.read_text())
    webhook = document["tenants"][0]["connectors"][0]["webhooks"][0]
    webhook["secrets"].append({"use": "sign", "value": "canary-expired", "not_after": "2020-01-31T12:00:00Z"})
    setup.apply(document)
    text = setup.exported()
    assert setup.apply(text, secrets={}).changes == ()
    values = {source.env: f"supplied {source.env}" for source in setup.export().sources.sources}
    del values["ACME_WHATSAPP_OFICIAL_META_SIGNING_SECRET_2"]
    report = elsewhere.apply(text, secrets=values)
    assert [note for note in report.notes if "left out, it has expired and is not stored here" in note]
    assert "SIGNING_SECRET_2" not in elsewhere.exported()


def test_tenants_with_the_same_names_stay_apart(setup: Setup, elsewhere: Setup) -> None:
    document = yaml.safe_load(EXAMPLE.read_text())
    document["tenants"].append({**document["tenants"][0], "name": "Ácme"})
    setup.apply(document)
    text = setup.exported()
    sources = {source.env: f"supplied {source.env}" for source in setup.export().sources.sources}
    assert len(sources) == 6  # ACME_… twice: the accent goes, and the number keeps them apart
    report = setup.apply(text, secrets={})
    assert (report.changes, len(report.connectors)) == ((), 2)
    elsewhere.apply(text, secrets=sources)
    sql = (
        "SELECT c.tenant_id = coalesce(u.tenant_id, f.tenant_id)"
        " FROM channel_account a JOIN channel_connector c ON c.id = connector_id"
        " LEFT JOIN org_unit u ON u.id = org_unit_id LEFT JOIN automation_flow f ON f.id = intake_flow_id"
    )
    assert elsewhere.rows(sql) == setup.rows(sql) == [(True,)] * 4
    assert same_but_ids_of_secrets(elsewhere.exported()) == same_but_ids_of_secrets(text)


def test_two_defaults_are_refused(setup: Setup) -> None:
    document = yaml.safe_load(EXAMPLE.read_text())
    for account in document["tenants"][0]["connectors"][0]["accounts"]:
        account["fallbacks"] = [{"tipo": "voicemail", "destino": "night@example.com", "default": True}]
    (fault,) = setup.faults(document)
    assert "accounts[1].fallbacks[0]: the connector has a default fallback already" in fault


def test_secrets_that_no_key_opens_any_more_are_asked_for(setup: Setup) -> None:
    setup.apply(EXAMPLE.read_text())
    ((tenant,),) = setup.rows("SELECT id::text FROM tenant")
    owner = create_engine_for(setup.database.owner_url, pool_size=1)
    with unit_of_work(owner) as session:
        erase_keys(session, tenant, actor="test")
        session.commit()
    owner.dispose()
    text = setup.exported()
    faults = setup.faults(text, secrets={})
    assert faults
    assert all("is not set" in fault for fault in faults)


def test_a_credential_that_came_in_by_another_way_does_not_leave(setup: Setup) -> None:
    setup.apply(EXAMPLE.read_text())
    by_its_owner(setup, """UPDATE channel_connector SET config = config || '{"api_key": "canary-raw"}'""")
    text = setup.exported()
    assert "canary" not in text
    assert "holds a credential in clear" in text.partition("version:")[0]


@settings(
    max_examples=15,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(manifest=manifests())
def test_any_configuration_goes_out_and_comes_back(setup: Setup, elsewhere: Setup, manifest: dict[str, Any]) -> None:
    """Each example has a tenant of its own, so that the databases need not be emptied in between."""
    tenant = manifest["tenants"][0]["id"]
    setup.apply(manifest)
    text = setup.exported(tenant, archived=True)
    assert "canary" not in text
    back = setup.apply(text, secrets={})
    assert (back.differences, back.changes, back.unnamed) == ([], (), [])
    assert setup.exported(tenant, archived=True) == text
    sources = setup.export(tenant, archived=True).sources.sources
    elsewhere.apply(text, secrets={source.env: f"supplied {source.env}" for source in sources})
    assert same_but_ids_of_secrets(elsewhere.exported(tenant, archived=True)) == same_but_ids_of_secrets(text)
