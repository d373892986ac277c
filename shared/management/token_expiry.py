"""How long the credentials hold that run out first. Of all tenants: it tells numbers, and nothing about whose they are."""

from __future__ import annotations

from sqlalchemy import Engine, text

from shared.adapters.database import unit_of_work
from shared.domain.enums import TokenKind


def token_seconds_left(engine: Engine) -> dict[TokenKind, float]:
    """Kind -> seconds until the first connector has no valid token of it: infinity if none ends, negative once one has ended.

    Connectors that are archived, and kinds of which there is no token, are left out. `engine`: of the role `channels_api`.
    Blocks for one statement; raises SQLAlchemyError.
    """
    with unit_of_work(engine) as session:
        rows = session.execute(text("SELECT kind, seconds FROM token_seconds_left()"))
        return {TokenKind(kind): float(seconds) for kind, seconds in rows}
