"""`mailbox_position`: progress and leases of the mailbox service."""

from __future__ import annotations

from alembic import op

from shared.adapters.migrations import run_script

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Run the script; the previous release does not look at the new table."""
    run_script(op.get_bind(), "0002_mailbox")


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
