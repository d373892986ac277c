"""Old Idempotency-Keys of a tenant are found by their age."""

from __future__ import annotations

from alembic import op

from shared.adapters.migrations import run_script

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Run the script; the previous release asks for the same, and finds it by the new index."""
    run_script(op.get_bind(), "0018_sweep_of_keys")


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
