"""Syncs that come by themselves when a receiving secret begins to hold."""

from __future__ import annotations

from alembic import op

from shared.adapters.migrations import run_script

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Run the script; the previous release knows nothing of the column, and leaves such secrets to the next sync."""
    run_script(op.get_bind(), "0017_secret_beginnings")


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
