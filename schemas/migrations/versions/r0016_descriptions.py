"""What people set by hand, what the provider said last of each account, and calls that connectors wait for."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0016"
down_revision = "0015"

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Run the script; the previous release knows nothing of the tables, and a name that it writes is taken for a person's."""
    op.get_bind().exec_driver_sql((_SQL / "0016_descriptions.sql").read_text())


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
