"""Row-level security: the role of the use cases sees and writes the rows of one tenant."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Run the script. The previous release sees no row as `channels_api`: stop its API and CLI before; the edge, router and
    relay of the previous release go on, they work as other roles."""
    op.get_bind().exec_driver_sql((_SQL / "0007_isolation.sql").read_text())


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
