"""Sync at the providers: what is to be registered, how it went, and secrets that are being replaced."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0015"
down_revision = "0014"

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Run the script; the previous release knows nothing of the tables, and its relay sets the new notices aside."""
    op.get_bind().exec_driver_sql((_SQL / "0015_syncing.sql").read_text())


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
