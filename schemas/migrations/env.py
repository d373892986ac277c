"""What Alembic runs: the migrations over the connection that `shared.adapters.migrations` hands in."""

from __future__ import annotations

from alembic import context

from shared.adapters.tables import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
