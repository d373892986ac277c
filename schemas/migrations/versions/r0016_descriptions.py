"""What people set by hand, what the provider said last of each account, and calls that connectors wait for."""

from __future__ import annotations

from alembic import op

from shared.adapters.migrations import run_script

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Run the script; the previous release knows nothing of the tables, and a name that it writes is taken for a person's."""
    run_script(op.get_bind(), "0016_descriptions")


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
