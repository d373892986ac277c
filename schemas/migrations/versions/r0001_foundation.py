"""The foundation: nine tables, support tables, the rules the database keeps, and the grants of the roles."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Run the three scripts; the roles must exist (`channels database prepare` creates them)."""
    for part in ("tables", "rules", "grants"):
        op.get_bind().exec_driver_sql((_SQL / f"0001_{part}.sql").read_text())


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
