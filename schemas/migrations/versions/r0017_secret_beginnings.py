"""Syncs that come by themselves when a receiving secret begins to hold."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0017"
down_revision = "0016"

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Run the script; the previous release knows nothing of the column, and leaves such secrets to the next sync."""
    op.get_bind().exec_driver_sql((_SQL / "0017_secret_beginnings.sql").read_text())


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
