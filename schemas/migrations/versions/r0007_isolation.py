"""Row-level security: the role of the use cases sees and writes the rows of one tenant."""

from __future__ import annotations

from alembic import op

from shared.adapters.migrations import run_script

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Run the script. The previous release sees no row as `channels_api`: stop its API and CLI before; the edge, router and
    relay of the previous release go on, they work as other roles."""
    run_script(op.get_bind(), "0007_isolation")


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
