"""Indexes for filters of lists: by name of a connector, by number of an account, by actor and action in the audit log."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0010"
down_revision = "0009"

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Run the script; writers of these tables wait while an index is made. The previous release runs on."""
    op.get_bind().exec_driver_sql((_SQL / "0010_list_indexes.sql").read_text())


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
