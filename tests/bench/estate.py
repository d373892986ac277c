"""A large installation: many tenants, one of them with most of the connectors and accounts, written straight into the tables."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from shared.adapters.clock import new_uuid7
from tests.database_fixtures import DatabaseUnderTest

_TENANTS = 20
_LARGE_SHARE = 5  # four of five connectors are the first tenant's
_BIG_CONNECTOR_SHARE = 20  # one connector has a twentieth of all accounts

_MAKE = """
INSERT INTO tenant (id, name) SELECT id, 'Tenant ' || n FROM made_tenant;
INSERT INTO org_unit (id, tenant_id, name) SELECT unit, id, 'Sales' FROM made_tenant;
INSERT INTO automation_flow (id, tenant_id, name, category, published)
    SELECT flow, id, 'Welcome', 'intake', true FROM made_tenant;
CREATE TEMP TABLE made_connector AS
    SELECT uuidv7() AS id, n, CASE WHEN mod(n, %(large)s) = 0 THEN 1 + mod(n / %(large)s, %(tenants)s) ELSE 0 END AS owner
    FROM generate_series(1, %(connectors)s) n;
INSERT INTO channel_connector (id, tenant_id, tipo, nome, config, status)
    SELECT c.id, t.id, CASE WHEN mod(c.n, 4) = 3 THEN 'telegram' ELSE 'whatsapp_official' END::channel_type, 'Connector ' || c.n,
        CASE WHEN mod(c.n, 4) = 3 THEN '{}' ELSE jsonb_build_object('waba_id', (200000000000000 + c.n)::text) END,
        CASE mod(c.n, 10) WHEN 8 THEN 'pending' WHEN 9 THEN 'error' ELSE 'active' END::connector_status
    FROM made_connector c JOIN made_tenant t ON t.n = c.owner;
CREATE TEMP TABLE made_account AS
    SELECT uuidv7() AS id, c.id AS connector_id, c.n AS connector, a, c.owner,
        100000000 + c.n * 10000 + a AS number
    FROM made_connector c, LATERAL generate_series(1, CASE WHEN c.n = 1 THEN %(big)s ELSE %(each)s END) a;
INSERT INTO channel_account
    (id, connector_id, identidade, nome_exibicao, status, org_unit_id, intake_flow_id, config, webhook_url)
    SELECT a.id, a.connector_id, '5511' || a.number, 'Account ' || a.a,
        CASE WHEN mod(a.connector, 10) > 7 OR mod(a.a, 5) = 4 THEN 'pending' ELSE 'active' END::account_status,
        t.unit, CASE WHEN mod(a.a, 7) = 0 THEN t.flow END,
        CASE WHEN mod(a.connector, 4) = 3 THEN NULL ELSE jsonb_build_object('phone_number_id', '1' || a.number) END,
        'https://edge.example.org/webhooks/' || a.connector_id || '/' || a.id
    FROM made_account a JOIN made_tenant t ON t.n = a.owner;
INSERT INTO channel_capability (id, connector_id, feature, enabled)
    SELECT uuidv7(), id, feature, true FROM made_connector, unnest(enum_range(NULL::channel_feature)) feature;
INSERT INTO channel_token (id, connector_id, kind, valor_encrypted) SELECT uuidv7(), id, 'access_token', 'x' FROM made_connector;
INSERT INTO channel_webhook (id, connector_id, evento, url, status)
    SELECT uuidv7(), id, 'message_in', 'https://edge.example.org/webhooks/' || id, 'disabled' FROM made_connector;
INSERT INTO channel_health_check (id, connector_id, account_id, status, executado_em, duracao_ms)
    SELECT uuidv7(), id, NULL::uuid, 'passed'::health_status, now(), 12 FROM made_connector
    UNION ALL SELECT uuidv7(), connector_id, id, 'passed', now() - interval '1 min' * a, 12 FROM made_account;
INSERT INTO channel_usage_log (id, connector_id, account_id, tipo, quantidade, data)
    SELECT uuidv7(), connector_id, id, tipo, a, current_date - day
    FROM made_account, generate_series(0, 1) day, unnest(ARRAY['message_in', 'message_out']::usage_type[]) tipo;
INSERT INTO channel_override (subject_id, field, connector_id, account_id, actor)
    SELECT id, 'nome_exibicao', connector_id, id, 'somebody' FROM made_account WHERE mod(a, 3) = 1
    UNION ALL SELECT id, 'capability:templates', id, NULL, 'somebody' FROM made_connector;
INSERT INTO channel_fallback (id, account_id, tipo, destino, ativo)
    SELECT uuidv7(), id, 'email_forward', 'support@example.com', true FROM made_account WHERE mod(a, 5) = 1;
INSERT INTO channel_mapping (id, connector_id, account_id, chave_externa, entidade_type, entidade_id)
    SELECT uuidv7(), connector_id, id, 'user:' || number, 'contact', gen_random_uuid() FROM made_account;
INSERT INTO account_state (account_id, route) SELECT id, 'open' FROM made_account WHERE mod(a, 5) = 0;
INSERT INTO snapshot_version (subject_id, kind, version, tenant_id)
    SELECT c.id, 'connector', 1, t.id FROM made_connector c JOIN made_tenant t ON t.n = c.owner
    UNION ALL SELECT a.id, 'account', 1, t.id FROM made_account a JOIN made_tenant t ON t.n = a.owner;
INSERT INTO audit_log (tenant_id, actor, action, subject_type, subject_id, after)
    SELECT t.id, 'import', action, 'channel_account', a.id, jsonb_build_object('status', 'pending')
    FROM made_account a JOIN made_tenant t ON t.n = a.owner, unnest(ARRAY['account.created', 'account.updated']) action;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estate:
    """What was made. `tenants`: ids, the large one first; `units`: one org_unit of each."""

    tenants: list[str]
    units: list[str]
    connectors: int
    accounts: int


def build(database: DatabaseUnderTest, *, connectors: int, accounts: int) -> Estate:
    """Fill the empty database; blocks for some ten seconds at 100 000 accounts. At least 20 accounts for each connector's two."""
    big = max(2, accounts // _BIG_CONNECTOR_SHARE)
    each = max(1, round((accounts - big) / (connectors - 1)))
    tenants = [(number, new_uuid7(), new_uuid7(), new_uuid7()) for number in range(_TENANTS)]
    with psycopg.connect(superuser_url(database), autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")  # no triggers: what they guard is right by construction
        connection.execute("CREATE TEMP TABLE made_tenant (n int, id uuid, unit uuid, flow uuid)")
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO made_tenant VALUES (%s, %s, %s, %s)", tenants)
        sizes = {"large": _LARGE_SHARE, "tenants": _TENANTS - 1, "connectors": connectors, "big": big, "each": each}
        for statement in (_MAKE % sizes).split(";\n"):
            if statement.strip():
                connection.execute(statement)
        connection.execute("VACUUM ANALYZE")
        [made] = connection.execute("SELECT (SELECT count(*) FROM channel_connector), (SELECT count(*) FROM channel_account)")
    return Estate(
        tenants=[str(tenant) for _, tenant, _, _ in tenants],
        units=[str(unit) for _, _, unit, _ in tenants],
        connectors=made[0],
        accounts=made[1],
    )


def announce_all(database: DatabaseUnderTest) -> int:
    """Ask the relay to publish every connector and every account; returns how many notices that are."""
    with psycopg.connect(superuser_url(database), autocommit=True) as connection:
        return connection.execute(
            "INSERT INTO outbox (topic, subject_id, tenant_id)"
            " SELECT 'channel.' || kind || '.snapshot', subject_id, tenant_id FROM snapshot_version"
            " ORDER BY kind DESC, subject_id"
        ).rowcount


def superuser_url(database: DatabaseUnderTest) -> str:
    """Of the database itself."""
    head, _, query = database.superuser_url.partition("?")
    return f"{head.rpartition('/')[0]}/{database.name}?{query}".replace("postgresql+psycopg", "postgresql")
