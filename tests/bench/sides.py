"""Whose objects the callers of the management API name: ids at random, and positions from deep inside the lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from services.control.cursors import write_cursor
from shared.adapters.development_keys import DevelopmentKey, development_directory
from shared.domain.enums import AccountStatus, ConnectorStatus
from shared.domain.identity import Permission
from shared.management.lists import AccountFilter, AuditFilter, ConnectorFilter
from tests.bench.callers import Side
from tests.bench.estate import Estate, superuser_url
from tests.pipeline import Pipeline

_SIDES, _SMALL_EVERY = 10, 5  # every fifth side is a small tenant
_ROWS, _PLACES = 400, 100

_SOME = """SELECT c.id::text, a.id::text FROM channel_connector c JOIN channel_account a ON a.connector_id = c.id
WHERE c.tenant_id = %s ORDER BY random() LIMIT %s"""
_ENTRIES = "SELECT id FROM audit_log WHERE tenant_id = %s ORDER BY random() LIMIT %s"
# Callers write to connectors of an even number, the probe to the others, so that each of its changes is the only one.
_OWN = """SELECT c.id::text, array_agg(a.id::text) FROM channel_connector c JOIN channel_account a ON a.connector_id = c.id
WHERE c.tenant_id = %s AND c.status = 'active' AND c.tipo = 'whatsapp_official' AND c.nome ~ %s
GROUP BY c.id HAVING count(*) < 40 ORDER BY md5(c.id::text) LIMIT %s OFFSET %s"""
_EVEN, _ODD = "[02468]$", "[13579]$"


def sides_of(pipeline: Pipeline, estate: Estate, callers: int) -> list[Side]:
    """Ten sides, four of five in the large tenant; each with something of its own for each writer it may have."""
    each = -(-callers // _SIDES)
    made = []
    with psycopg.connect(superuser_url(pipeline.database)) as connection:
        for number in range(_SIDES):
            index = number // _SMALL_EVERY + 1 if number % _SMALL_EVERY == _SMALL_EVERY - 1 else 0
            tenant = estate.tenants[index]
            places = connection.execute(_SOME, (tenant, _ROWS)).fetchall()
            entries = connection.execute(_ENTRIES, (tenant, _PLACES)).fetchall()
            made.append(
                Side(
                    token=_token(pipeline, tenant, f"caller-{number}"),
                    unit=estate.units[index],
                    accounts=[account for _, account in places],
                    connectors=[connector for connector, _ in places],
                    pages=_pages(places[:_PLACES], entries),
                    own=[
                        [one, *accounts]
                        for one, accounts in connection.execute(
                            _OWN, (tenant, _EVEN, each, 0 if index else number * each)
                        ).fetchall()
                    ],
                )
            )
    return made


def probe_of(pipeline: Pipeline, estate: Estate, accounts: int) -> Side:
    """A caller of the large tenant with so many accounts that nobody else changes."""
    with psycopg.connect(superuser_url(pipeline.database)) as connection:
        own = connection.execute(_OWN, (estate.tenants[0], _ODD, accounts, 0)).fetchall()
    return Side(
        token=_token(pipeline, estate.tenants[0], "probe"),
        unit=estate.units[0],
        accounts=[accounts[0] for _, accounts in own],
        connectors=[connector for connector, _ in own],
        pages=[],
        own=[],
    )


def _token(pipeline: Pipeline, tenant_id: str, subject: str) -> str:
    signer = DevelopmentKey(development_directory(pipeline.keys_dir.parent))
    claims = {"aud": "channels", "sub": subject, "tenant_id": tenant_id, "permissions": list(Permission)}
    return signer.sign(claims, seconds=3600)


def _pages(places: Sequence[tuple[Any, ...]], entries: Sequence[tuple[Any, ...]]) -> list[str]:
    active, running = AccountFilter(status=AccountStatus.ACTIVE), ConnectorFilter(status=ConnectorStatus.ACTIVE)
    updated = AuditFilter(action="account.updated")
    pages = []
    for place in places:
        pages += [
            f"accounts?status=active&cursor={write_cursor(place, active)}",
            f"accounts?limit=20&cursor={write_cursor(place, AccountFilter())}",
            f"connectors?status=active&cursor={write_cursor(place[:1], running)}",
        ]
    return [*pages, *(f"audit-log?action=account.updated&cursor={write_cursor(entry, updated)}" for entry in entries)]
