"""Every script is run once, by the migration of its number, and nothing reaches the database past `run_script`."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from shared.adapters.migrations import migrations_directory


def test_migrations_run_every_script_once_and_through_run_script_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations_directory()))
    connection, ran = object(), []  # whoever executes something at this connection fails

    def noted(given: object, name: str) -> None:
        assert given is connection
        ran.append(name)

    for migration in reversed(list(ScriptDirectory.from_config(config).walk_revisions())):
        monkeypatch.setattr(migration.module, "run_script", noted)
        monkeypatch.setattr(migration.module, "op", SimpleNamespace(get_bind=lambda: connection))
        before = len(ran)
        migration.module.upgrade()
        assert {name.partition("_")[0] for name in ran[before:]} == {migration.revision}
    assert sorted(ran) == sorted(path.stem for path in (migrations_directory() / "sql").glob("*.sql"))
