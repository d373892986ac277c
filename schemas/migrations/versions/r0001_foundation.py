"""The foundation: nine tables, support tables, the rules the database keeps, and the grants of the roles."""

from __future__ import annotations

from alembic import op

from shared.adapters.migrations import run_script

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Run the three scripts; the roles must exist (`channels database prepare` creates them)."""
    for part in ("tables", "rules", "grants"):
        run_script(op.get_bind(), f"0001_{part}")


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
