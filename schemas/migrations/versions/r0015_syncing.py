"""Sync at the providers: what is to be registered, how it went, and secrets that are being replaced."""

from __future__ import annotations

from alembic import op

from shared.adapters.migrations import run_script

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Run the script; the previous release knows nothing of the tables, and its relay sets the new notices aside."""
    run_script(op.get_bind(), "0015_syncing")


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
