"""Two tenants with one object of every kind each, and everything that the database holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.adapters.clock import new_uuid7
from shared.domain.enums import HealthStatus
from shared.domain.identity import Permission
from shared.management.health_checks import record_check
from shared.management.reference import FlowFacts, put_flow, put_org_unit
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import ACTOR
from tests.integration.rows import connect
from tests.integration.services.control.scene import Scene
from tests.integration.services.control.test_records import insert

SECRET = {"use": "sign", "value": "s3cret-of-a-webhook"}
ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass
class Tenant:
    """A caller who may do everything, and what there is of his: id or value by the name that requests give it."""

    token: str
    known: dict[str, str]
    bodies: dict[tuple[str, str], Any]

    def key_for(self, path: str) -> str:
        """The Idempotency-Key under which this tenant created something there."""
        return f"{self.token}-{path.rpartition('/')[2]}"


def settle(scene: Scene, database: DatabaseUnderTest, tenant: str, digit: int) -> Tenant:
    """Give a tenant one object of every kind."""
    manage, token = scene.management, scene.tokens.issue(tenant, *Permission)
    facts = FlowFacts(name=f"Flow {digit}", category="intake", published=True)
    known = {
        "org_unit_id": manage.run(lambda one: put_org_unit(one, tenant, None, f"Unit {digit}", actor=ACTOR), tenant=tenant).id,
        "intake_flow_id": manage.run(lambda one: put_flow(one, tenant, None, facts, actor=ACTOR), tenant=tenant).id,
        "entidade_id": new_uuid7(),
        "chave_externa": f"phone:551190000009{digit}",
        "identidade": f"551190000007{digit}",
        "nome": f"Meta of tenant {digit}",
        "actor": f"api:{scene.tokens.known[token].subject}",
    }
    known["destino"] = known["identidade"]

    settled = Tenant(token, known, {})

    def made(path: str, body: Any) -> str:
        answer = scene.post(path, body, token=token, headers={"Idempotency-Key": settled.key_for(path)})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    bodies = _bodies(known)
    connector = known["connector_id"] = made("connectors", bodies["POST", "/v1/connectors"])
    path = f"connectors/{connector}"
    known["account_id"] = made(f"{path}/accounts", bodies["POST", "/v1/connectors/{connector_id}/accounts"])
    known["token_id"] = made(f"{path}/tokens", {"kind": "access_token", "value": f"EAA00000000000000{digit}"})
    webhook = {"evento": "message_in", "url": "https://edge.example.org/w", "secrets": [SECRET]}
    known["webhook_id"] = made(f"{path}/webhooks", webhook)
    known["fallback_id"] = made(f"accounts/{known['account_id']}/fallbacks", {"tipo": "voicemail", "destino": "ops@example.com"})
    known["subject_id"] = connector
    default = {"fallback_id": known["fallback_id"]}
    headers = {"If-None-Match": "*"}
    assert scene.call("PUT", f"{path}/default-fallback", json=default, headers=headers, token=token).status_code == 200
    manage.run(lambda one: record_check(one, connector, HealthStatus.PASSED, f"of {digit}", actor=ACTOR), tenant=tenant)
    part = {"connector_id": connector, "account_id": known["account_id"]}
    insert(database, "channel_usage_log", tipo="message_in", quantidade=1000 + digit, data="2026-01-01", **part)
    entity = {"entidade_type": "contact", "entidade_id": known["entidade_id"]}
    insert(database, "channel_mapping", chave_externa=known["chave_externa"], **entity, **part)
    settled.bodies = _bodies(known)
    return settled


def _bodies(known: Mapping[str, str]) -> dict[tuple[str, str], Any]:
    """A body that each operation takes."""
    account = {"org_unit_id": known["org_unit_id"], "config": {"phone_number_id": "100000000000001"}}
    return {
        ("POST", "/v1/connectors"): {
            "tipo": "whatsapp_official",
            "nome": known["nome"],
            "config": {"waba_id": "100000000000000"},
        },
        ("PATCH", "/v1/connectors/{connector_id}"): {"nome": "taken over"},
        ("PUT", "/v1/connectors/{connector_id}/default-fallback"): {"fallback_id": known.get("fallback_id", "")},
        ("POST", "/v1/connectors/{connector_id}/accounts"): {"identidade": known["identidade"], **account},
        ("PATCH", "/v1/accounts/{account_id}"): {"nome_exibicao": "taken over"},
        ("POST", "/v1/accounts/{account_id}:pause"): {"cause": "taken_over"},
        ("PATCH", "/v1/connectors/{connector_id}/capabilities/{feature}"): {"enabled": False},
        ("POST", "/v1/connectors/{connector_id}/tokens"): {"kind": "access_token", "value": "EAA0000000000000000"},
        ("PATCH", "/v1/tokens/{token_id}"): {"metadata": {"scopes": ["taken over"]}},
        ("POST", "/v1/connectors/{connector_id}/webhooks"): {
            "evento": "delivery",
            "url": "https://edge.example.org/w",
            "secrets": [SECRET],
        },
        ("PATCH", "/v1/webhooks/{webhook_id}"): {"url": "https://edge.example.org/taken"},
        ("PUT", "/v1/webhooks/{webhook_id}/secrets"): {"secrets": [{"use": "sign", "value": "taken over"}]},
        ("POST", "/v1/webhooks/{webhook_id}/secrets"): {"use": "sign", "value": "taken over"},
        ("POST", "/v1/webhooks/{webhook_id}/secrets:rotate"): {"use": "handshake"},
        ("PATCH", "/v1/webhooks/{webhook_id}/secrets/{number}"): {"not_after_ms": 1},
        ("POST", "/v1/accounts/{account_id}/fallbacks"): {"tipo": "voicemail", "destino": "ops@example.com"},
        ("PATCH", "/v1/fallbacks/{fallback_id}"): {"destino": "taken@example.com"},
    }


def dump(database: DatabaseUnderTest) -> dict[str, list[str]]:
    """Every row of every table, as text."""
    with connect(database.owner_url) as owner:
        tables = [name for (name,) in owner.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")]
        return {table: sorted(row for (row,) in owner.execute(f"SELECT t::text FROM {table} t")) for table in tables}


def ids_in(rows: Mapping[str, list[str]]) -> frozenset[str]:
    """Every id that stands in them."""
    return frozenset(found for held in rows.values() for row in held for found in ID.findall(row))
