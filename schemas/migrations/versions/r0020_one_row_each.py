"""Whose a row is, is asked of the row that it hangs on, not of all connectors of the tenant."""

from __future__ import annotations

from alembic import op

from shared.adapters.migrations import run_script

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Run the script; rules of rows find the same rows as before."""
    run_script(op.get_bind(), "0020_one_row_each")


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
