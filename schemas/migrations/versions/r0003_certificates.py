"""`connector_certificate`: public certificates of SNS, by connector."""

from __future__ import annotations

from alembic import op

from shared.adapters.migrations import run_script

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Run the script; the previous release does not look at the new table."""
    run_script(op.get_bind(), "0003_certificates")


def downgrade() -> None:
    """Refuse: migrations only go forward, each one such that the previous release still runs on it."""
    raise RuntimeError("migrations only go forward; restore a backup instead")
