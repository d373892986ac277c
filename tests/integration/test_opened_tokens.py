"""Opening a credential: which one, by whom, and that it leaves a trace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import ProgrammingError

from shared.adapters.database import create_engine_for, unit_of_work
from shared.domain.enums import TokenKind
from shared.management.opened_tokens import newest_token, open_token
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import TOKEN_VALUE, Management, management_of


@pytest.fixture
def management(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Management]:
    with management_of(database.api_url, tmp_path / "keys") as made:
        yield made


@pytest.fixture
def engine(database: DatabaseUnderTest) -> Iterator[Engine]:
    made = create_engine_for(database.credential_url)
    yield made
    made.dispose()


@pytest.mark.req(74)
def test_a_token_is_opened_by_the_credential_role_and_the_log_says_so(management: Management, engine: Engine) -> None:
    connector = management.connector()
    token = management.token(connector)
    with unit_of_work(engine) as session:
        opened = open_token(session, management.vault, token, actor="mailbox")
        session.commit()
    assert opened is not None
    assert (opened.value, opened.kind, opened.token_id) == (TOKEN_VALUE, TokenKind.ACCESS_TOKEN, token)
    assert TOKEN_VALUE not in repr(opened)
    assert management.read("SELECT actor, action FROM audit_log WHERE action = 'token.opened'") == [("mailbox", "token.opened")]
    with unit_of_work(engine) as session:
        assert open_token(session, management.vault, "01900000-0000-7000-8000-000000000001", actor="mailbox") is None


def test_no_other_role_can(management: Management, database: DatabaseUnderTest) -> None:
    token = management.token(management.connector())
    other = create_engine_for(database.worker_url)
    try:
        with unit_of_work(other) as session, pytest.raises(ProgrammingError, match="permission denied"):
            open_token(session, management.vault, token, actor="mailbox")
    finally:
        other.dispose()


def test_a_token_of_the_account_goes_before_one_for_all(management: Management, engine: Engine) -> None:
    connector = management.connector()
    management.token(connector, metadata={"account": "bob@example.com"})
    older = management.token(connector)
    shared = management.token(connector)
    management.token(connector, kind=TokenKind.REFRESH_TOKEN)
    kinds = (TokenKind.ACCESS_TOKEN,)
    with unit_of_work(engine) as session:
        assert newest_token(session, connector, kinds, "ana@example.com") == shared != older
        assert newest_token(session, connector, (TokenKind.SECRET,), "ana@example.com") is None
    own = management.token(connector, metadata={"account": "ana@example.com"})
    management.token(connector)
    with unit_of_work(engine) as session:
        assert newest_token(session, connector, kinds, "ana@example.com") == own
