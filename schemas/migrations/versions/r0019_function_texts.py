"""Functions whose text an earlier release altered on its way into the database."""

from __future__ import annotations

from alembic import op

from shared.adapters.migrations import run_script

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Run the script; the previous release reads the rule's constraint and never its words."""
    run_script(op.get_bind(), "0019_function_texts")


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
