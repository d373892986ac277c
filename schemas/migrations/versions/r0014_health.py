"""Health: what is known from checks, when the next is due, and what is usual for an account."""

from __future__ import annotations

from alembic import op

from shared.adapters.migrations import run_script

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Run the script; the previous release knows nothing of the tables."""
    run_script(op.get_bind(), "0014_health")


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
