"""Inbound items that must happen later, and the pause of an account's route."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0011"
down_revision = "0010"

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Run the script; the previous release knows nothing of the table."""
    op.get_bind().exec_driver_sql((_SQL / "0011_held_records.sql").read_text())


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
