"""`idempotency_key`, indexes for paging, and the right to delete checks with their connector."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Run the script; the previous release does not look at what is new."""
    op.get_bind().exec_driver_sql((_SQL / "0004_management_api.sql").read_text())


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
