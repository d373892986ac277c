"""`secret_use`: when each receiving secret last proved a webhook."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Run the script; the previous release does not look at the new table."""
    op.get_bind().exec_driver_sql((_SQL / "0005_secret_use.sql").read_text())


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
