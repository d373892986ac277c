"""Opens the credentials that checks place, many at a time, and keeps them for minutes.

Each opening writes a row into the audit log. Twenty thousand accounts every five minutes would be six million rows a day, so what
was opened serves every check of the next minutes; a token that was replaced has another id, and is opened anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Engine

from services.health.writing import ACTOR, translated
from shared.adapters.database import unit_of_work
from shared.adapters.vault import Vault
from shared.domain.errors import SealBroken
from shared.management.call_credentials import TokenRow, known_tokens
from shared.management.opened_tokens import open_token


class Credentials:
    """Reads as the role `channels_credential`; one thread at a time."""

    def __init__(self, engine: Engine, vault: Vault, *, keep_ms: int) -> None:
        self._engine = engine
        self._vault = vault
        self._keep_ms = keep_ms
        self._opened: dict[str, tuple[int, str]] = {}

    def known(self, connector_ids: Iterable[str]) -> dict[str, list[TokenRow]]:
        """The tokens of these connectors, closed, the newest first. Raises Unavailable."""
        with translated(), unit_of_work(self._engine) as session:
            return known_tokens(session, connector_ids)

    def open(self, token_ids: Iterable[str], now_ms: int) -> Mapping[str, str]:
        """Token → its value, for those that can be opened now. Raises Unavailable."""
        self._opened = {one: kept for one, kept in self._opened.items() if now_ms - kept[0] < self._keep_ms}
        wanted = set(token_ids)
        missing = wanted - self._opened.keys()
        if missing:
            with translated(), unit_of_work(self._engine) as session:
                for token_id in sorted(missing):
                    try:
                        token = open_token(session, self._vault, token_id, actor=ACTOR)
                    except SealBroken:
                        continue
                    if token is not None:
                        self._opened[token_id] = (now_ms, token.value)
                session.commit()
        return {one: self._opened[one][1] for one in wanted if one in self._opened}
