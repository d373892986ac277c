"""Old Idempotency-Keys of a tenant are found by their age."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0018"
down_revision = "0017"

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Run the script; the previous release asks for the same, and finds it by the new index."""
    op.get_bind().exec_driver_sql((_SQL / "0018_sweep_of_keys.sql").read_text())


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
