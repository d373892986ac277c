"""What became of dead letters, so that a redrive is not done twice and a dropped one is not shown again."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0009"
down_revision = "0008"

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Run the script; the previous release knows nothing of the table."""
    op.get_bind().exec_driver_sql((_SQL / "0009_dead_letters.sql").read_text())


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
