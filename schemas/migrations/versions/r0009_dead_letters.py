"""What became of dead letters, so that a redrive is not done twice and a dropped one is not shown again."""

from __future__ import annotations

from alembic import op

from shared.adapters.migrations import run_script

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Run the script; the previous release knows nothing of the table."""
    run_script(op.get_bind(), "0009_dead_letters")


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
