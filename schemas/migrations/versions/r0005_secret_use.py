"""`secret_use`: when each receiving secret last proved a webhook."""

from __future__ import annotations

from alembic import op

from shared.adapters.migrations import run_script

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Run the script; the previous release does not look at the new table."""
    run_script(op.get_bind(), "0005_secret_use")


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
