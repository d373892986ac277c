"""Applies manifests to a database, exports them again, and looks at what is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.adapters.database import create_engine_for, unit_of_work
from shared.adapters.local_keys import LocalKeyFiles
from shared.adapters.vault import Vault
from shared.domain.enums import KeyPurpose
from shared.management.manifest_apply import apply_text
from shared.management.manifest_check import SecretSources
from shared.management.manifest_export import Export, Exporter, export_tenants
from shared.management.manifest_pass import Applier, Report
from shared.management.manifest_text import ManifestFaults
from shared.management.manifest_writing import as_yaml
from shared.management.rules import rules_enforced
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.rows import connect

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "channels.yaml"
SECRETS = {"META_TOKEN": "canary-token", "META_APP_SECRET": "canary-app", "META_VERIFY_TOKEN": "canary-verify"}
_CONFIGURATION = (
    "tenant", "org_unit", "automation_flow", "channel_connector", "channel_account", "channel_capability", "channel_token",
    "channel_webhook", "channel_health_check", "channel_fallback", "connector_default_fallback", "data_key",
)  # fmt: skip
_TRACES = ("outbox", "audit_log", "snapshot_version")


class Setup:
    """Applies texts to one database and looks at the result."""

    def __init__(self, database: DatabaseUnderTest, directory: Path) -> None:
        LocalKeyFiles.create(directory / "keys")
        self.database = database
        self.directory = directory
        self.engine = create_engine_for(database.api_url)
        self.vault = Vault(LocalKeyFiles(directory / "keys", frozenset(KeyPurpose)))
        self.public_url = "https://edge.example.org"

    def apply(
        self,
        manifest: str | dict[str, Any],
        *,
        secrets: Mapping[str, str] | None = None,
        prune: bool = False,
        commit: bool = True,
    ) -> Report:
        text = manifest if isinstance(manifest, str) else yaml.safe_dump(manifest, sort_keys=False)
        sources = SecretSources(environ=SECRETS if secrets is None else secrets, directory=self.directory)
        applier = Applier(vault=self.vault, sources=sources, public_url=self.public_url, actor="test")
        with rules_enforced(), unit_of_work(self.engine) as session:
            report = apply_text(session, text, applier, prune=prune)
            if commit:
                session.commit()
        return report

    def faults(self, manifest: str | dict[str, Any], **options: Any) -> list[str]:
        with pytest.raises(ManifestFaults) as caught:
            self.apply(manifest, **options)
        return [str(fault) for fault in caught.value.faults]

    def export(self, *tenants: str, archived: bool = False) -> Export:
        exporter = Exporter(vault=self.vault, public_url=self.public_url, actor="test", archived=archived)
        with rules_enforced(), unit_of_work(self.engine) as session:
            return export_tenants(
                session, tenants or [str(row[0]) for row in self.rows("SELECT id FROM tenant ORDER BY id")], exporter
            )

    def exported(self, *tenants: str, archived: bool = False) -> str:
        return as_yaml(self.export(*tenants, archived=archived))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with connect(self.database.owner_url) as connection:
            return connection.execute(sql).fetchall()

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """Each row of configuration, notices, versions and audit, as text."""
        return {table: self.rows(f"SELECT t::text FROM {table} t ORDER BY 1") for table in (*_CONFIGURATION, *_TRACES)}


@contextmanager
def setup_of(database: DatabaseUnderTest, directory: Path) -> Iterator[Setup]:
    """One on a database, with keys of its own in the directory."""
    directory.mkdir(exist_ok=True)
    made = Setup(database, directory)
    try:
        yield made
    finally:
        made.engine.dispose()
