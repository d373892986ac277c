"""Rows by raw SQL, so that a test of the database's own rules needs no use case."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg

from shared.adapters.clock import new_uuid7


def connect(url: str, *, autocommit: bool = True, tenant: str | None = None) -> psycopg.Connection[Any]:
    """A plain connection for one role's URL; all that it does is for `tenant`, if one is given."""
    options = {"options": f"-c channels.tenant={tenant}"} if tenant else {}
    return psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://"), autocommit=autocommit, **options)


class Rows:
    """Inserts rows over one connection, which acts for the new tenant from then on, and returns their ids."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.tenant = new_uuid7()
        connection.execute("SELECT set_config('channels.tenant', %s, false)", (self.tenant,))
        self.insert("tenant", id=self.tenant, name="Acme")
        self.unit = self.insert("org_unit", tenant_id=self.tenant, name="Support")

    def insert(self, table: str, **values: object) -> str:
        """Insert one row with a new id."""
        values.setdefault("id", new_uuid7())
        names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
        self.connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))
        return str(values["id"])

    def set(self, table: str, row: str, **values: object) -> None:
        """Update one row."""
        names = ", ".join(f"{name} = %s" for name in values)
        self.connection.execute(f"UPDATE {table} SET {names} WHERE id = %s", (*values.values(), row))

    def get(self, table: str, row: str, column: str) -> Any:
        """One value of one row."""
        found = self.connection.execute(f"SELECT {column} FROM {table} WHERE id = %s", (row,)).fetchone()
        assert found is not None
        return found[0]

    def connector(self, *, tipo: str = "whatsapp_official", tenant: str | None = None) -> str:
        """A pending connector."""
        values = {"tenant_id": tenant or self.tenant, "tipo": tipo, "nome": "Meta", "config": "{}", "status": "pending"}
        return self.insert("channel_connector", **values)

    def token(self, connector: str, *, kind: str = "access_token", expires_at: object = None) -> str:
        """A token; its sealed text is not real."""
        return self.insert("channel_token", connector_id=connector, kind=kind, valor_encrypted="x", expires_at=expires_at)

    def check(self, connector: str, status: str = "passed") -> str:
        """A health check of now."""
        return self.insert("channel_health_check", connector_id=connector, status=status, executado_em="now")

    def active_connector(self) -> str:
        """A connector that went the whole way to active."""
        connector = self.connector()
        self.token(connector)
        self.check(connector)
        self.set("channel_connector", connector, status="active")
        return connector

    def account(self, connector: str, *, status: str = "inactive", identidade: str | None = None, **values: object) -> str:
        """An account routed to the tenant's unit unless told otherwise."""
        values.setdefault("org_unit_id", self.unit)
        return self.insert(
            "channel_account", connector_id=connector, identidade=identidade or uuid4().hex, status=status, **values
        )
