"""Inbound items that must happen later, and the pause of an account's route."""

from __future__ import annotations

from alembic import op

from shared.adapters.migrations import run_script

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Run the script; the previous release knows nothing of the table."""
    run_script(op.get_bind(), "0011_held_records")


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
