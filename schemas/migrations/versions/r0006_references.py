"""Reference copies that follow topics, consumer offsets, and two rules the database did not hold yet."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Run the script; the previous release leaves the new columns empty."""
    op.get_bind().exec_driver_sql((_SQL / "0006_references.sql").read_text())


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
