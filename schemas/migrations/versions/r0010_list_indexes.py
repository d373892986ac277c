"""Indexes for filters of lists: by name of a connector, by number of an account, by actor and action in the audit log."""

from __future__ import annotations

from alembic import op

from shared.adapters.migrations import run_script

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Run the script; writers of these tables wait while an index is made. The previous release runs on."""
    run_script(op.get_bind(), "0010_list_indexes")


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
