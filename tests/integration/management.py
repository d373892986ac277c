"""A tenant with a unit and a flow, and the use cases at hand, logged in as the role of the API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from shared.adapters.clock import new_uuid7
from shared.adapters.database import create_engine_for, unit_of_work
from shared.adapters.vault import LocalKeyFiles, Vault
from shared.domain.enums import ConnectorStatus, ConnectorType, HealthStatus, KeyPurpose, TokenKind
from shared.domain.snapshots import WrappedDataKey
from shared.domain.topics import Topic
from shared.management.accounts import NewAccount, create_account
from shared.management.connectors import NewConnector, change_status, create_connector
from shared.management.data_keys import wrapped_keys
from shared.management.health_checks import record_check
from shared.management.reference import FlowFacts, put_flow, put_org_unit, put_tenant
from shared.management.tokens import NewToken, add_token

ACTOR = "test"
PUBLIC_URL = "https://edge.example.org"
TOKEN_VALUE = "EAAcanary0000000000token"

Result = TypeVar("Result")


@dataclass
class Management:
    """Runs use cases, one transaction each, and reads what they left."""

    engine: Engine
    vault: Vault
    tenant: str = ""
    unit: str = ""
    flow: str = ""

    def run(self, use_case: Callable[[Session], Result], *, tenant: str | None = None) -> Result:
        """One committed unit of work, for our tenant unless another is named."""
        with self.work(tenant) as session:
            result = use_case(session)
            session.commit()
        return result

    def work(self, tenant: str | None = None) -> AbstractContextManager[Session]:
        """A unit of work, for our tenant unless another is named."""
        return unit_of_work(self.engine, tenant_id=tenant or self.tenant)

    def read(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """Rows of one query."""
        with self.work() as session:
            return [tuple(row) for row in session.execute(text(sql), values)]

    def another_tenant(self) -> str:
        """A tenant with nothing in it."""
        other = new_uuid7()
        self.run(lambda session: put_tenant(session, other, "Other", actor=ACTOR), tenant=other)
        return other

    def connector(self, **overrides: Any) -> str:
        """A new pending connector."""
        values = {"tenant_id": self.tenant, "tipo": ConnectorType.WHATSAPP_OFFICIAL, "nome": "Meta"}
        new = NewConnector(**{**values, "config": {"waba_id": "100000000000000"}, **overrides})
        return self.run(lambda session: create_connector(session, self.vault, new, actor=ACTOR), tenant=new.tenant_id).id

    def active_connector(self) -> str:
        """A connector with a token and a passed check, activated."""
        connector = self.connector()
        self.token(connector)
        self.check(connector)
        self.status(connector, ConnectorStatus.ACTIVE)
        return connector

    def token(self, connector: str, **overrides: Any) -> str:
        """A sealed token."""
        new = NewToken(**{"kind": TokenKind.ACCESS_TOKEN, "value": TOKEN_VALUE, **overrides})
        return self.run(lambda session: add_token(session, self.vault, connector, new, actor=ACTOR)).id

    def check(self, connector: str, status: HealthStatus = HealthStatus.PASSED) -> str:
        """A check row."""
        return self.run(lambda session: record_check(session, connector, status, "for the test", actor=ACTOR)).id

    def status(self, connector: str, status: ConnectorStatus, cause: str = "by hand") -> None:
        """Move the connector to another state."""
        self.run(lambda session: change_status(session, connector, status, cause=cause, actor=ACTOR))

    def account(self, connector: str, identidade: str = "+55 11 90000-0001", **overrides: Any) -> str:
        """A pending account routed to the unit."""
        values = {"identidade": identidade, "org_unit_id": self.unit, "config": {"phone_number_id": "100000000000001"}}
        new = NewAccount(**{**values, **overrides})
        return self.run(lambda session: create_account(session, connector, new, public_url=PUBLIC_URL, actor=ACTOR)).id

    def keys(self, purpose: KeyPurpose) -> tuple[WrappedDataKey, ...]:
        """The tenant's wrapped keys, newest first."""
        return self.run(lambda session: wrapped_keys(session, self.tenant, purpose))

    def notices(self, subject: str) -> list[tuple[str, Any]]:
        """Topic and detail of the subject's outbox rows, in order, without requests for a sync."""
        rows = self.read("SELECT topic, detail FROM outbox WHERE subject_id = :subject ORDER BY id", subject=subject)
        return [(topic, detail) for topic, detail in rows if topic != Topic.SYNC_REQUIRED]

    def sync_causes(self, subject: str) -> list[str]:
        """Why a sync of the subject was asked for, in order."""
        rows = self.read("SELECT topic, detail FROM outbox WHERE subject_id = :subject ORDER BY id", subject=subject)
        return [detail["cause"] for topic, detail in rows if topic == Topic.SYNC_REQUIRED]

    def version(self, subject: str) -> int:
        """Version of the subject's snapshot; 0 without one."""
        found = self.read("SELECT version FROM snapshot_version WHERE subject_id = :subject", subject=subject)
        return int(found[0][0]) if found else 0

    def audit(self, subject: str) -> list[tuple[Any, ...]]:
        """Action, before, after of the subject's audit rows, in order."""
        return self.read("SELECT action, before, after FROM audit_log WHERE subject_id = :subject ORDER BY id", subject=subject)


@contextmanager
def management_of(api_url: str, keys: Path) -> Iterator[Management]:
    """Build one on an empty database; `keys` is a directory for key files."""
    LocalKeyFiles.create(keys)
    engine = create_engine_for(api_url, pool_size=4)
    made = Management(engine, Vault(LocalKeyFiles(keys, frozenset(KeyPurpose))))
    made.tenant = new_uuid7()
    made.run(lambda session: put_tenant(session, made.tenant, "Acme", actor=ACTOR))
    made.unit = made.run(lambda session: put_org_unit(session, made.tenant, None, "Support", actor=ACTOR)).id
    facts = FlowFacts(name="Welcome", category="intake", published=True)
    made.flow = made.run(lambda session: put_flow(session, made.tenant, None, facts, actor=ACTOR)).id
    yield made
    engine.dispose()
