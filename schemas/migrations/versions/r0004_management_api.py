"""`idempotency_key`, indexes for paging, and the right to delete checks with their connector."""

from __future__ import annotations

from alembic import op

from shared.adapters.migrations import run_script

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Run the script; the previous release does not look at what is new."""
    run_script(op.get_bind(), "0004_management_api")


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
