"""The durable schedule of token renewals, and the budgets of the providers that are called for them."""

from __future__ import annotations

from alembic import op

from shared.adapters.migrations import run_script

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Run the script; the previous release knows nothing of the tables, and writes no notice of the new topic."""
    run_script(op.get_bind(), "0013_token_renewal")


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
