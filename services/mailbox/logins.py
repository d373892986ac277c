"""What a mailbox logs in with: opened for each login, kept for no longer."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from services.mailbox.decide import Mailbox
from shared.adapters.database import unit_of_work
from shared.adapters.database_errors import meaning_of
from shared.adapters.imap import LoginRefused, PasswordLogin, TokenLogin
from shared.adapters.vault import Vault
from shared.domain.errors import SealBroken
from shared.management.opened_tokens import OpenedToken, newest_token, open_token

ACTOR = "mailbox"


class NoLogin(LoginRefused):
    """Raised when there is no credential that could be tried: none stored, expired, or not to be opened."""

    code = "login_missing"


class Logins:
    """Reads as the role `channels_credential`. Safe for threads; blocks."""

    def __init__(self, engine: Engine, vault: Vault) -> None:
        self._engine = engine
        self._vault = vault

    def token_id(self, mailbox: Mailbox) -> str | None:
        """Which token a login would use now; opens nothing. Raises Unavailable."""
        try:
            with unit_of_work(self._engine) as session:
                return newest_token(session, mailbox.connector_id, mailbox.token_kinds, mailbox.address)
        except SQLAlchemyError as error:
            raise meaning_of(error, "the mailbox service") from error

    def open(self, mailbox: Mailbox, token_id: str | None) -> PasswordLogin | TokenLogin:
        """The login, in clear. Raises NoLogin, Unavailable."""
        token = None if token_id is None else self._opened(token_id)
        if token is None:
            raise NoLogin(f"no token of kind {mailbox.token_kinds[0].value}")
        if token.expires_at is not None and token.expires_at <= dt.datetime.now(dt.UTC):
            raise NoLogin("the token has expired")
        if not token.value.isprintable():
            raise NoLogin("the token holds control characters")
        if mailbox.auth == "xoauth2":
            return TokenLogin(username=mailbox.username, access_token=token.value)
        return PasswordLogin(username=mailbox.username, password=token.value)

    def _opened(self, token_id: str) -> OpenedToken | None:
        try:
            with unit_of_work(self._engine) as session:
                token = open_token(session, self._vault, token_id, actor=ACTOR)
                session.commit()
                return token
        except SealBroken as error:
            raise NoLogin(f"the token cannot be opened ({error.code})") from error
        except SQLAlchemyError as error:
            raise meaning_of(error, "the mailbox service") from error
