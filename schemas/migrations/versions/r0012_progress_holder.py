"""Which router holds a raw partition."""

from __future__ import annotations

from alembic import op

from shared.adapters.migrations import run_script

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Run the script; the previous release knows nothing of the table."""
    run_script(op.get_bind(), "0012_progress_holder")


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
