"""Reference copies that follow topics, consumer offsets, and two rules the database did not hold yet."""

from __future__ import annotations

from alembic import op

from shared.adapters.migrations import run_script

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Run the script; the previous release leaves the new columns empty."""
    run_script(op.get_bind(), "0006_references")


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
