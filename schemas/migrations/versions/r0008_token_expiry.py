"""A function that tells how long tokens hold, by kind, for the gauge of the management API."""

from __future__ import annotations

from alembic import op

from shared.adapters.migrations import run_script

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Run the script; the previous release does not call it."""
    run_script(op.get_bind(), "0008_token_expiry")


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
