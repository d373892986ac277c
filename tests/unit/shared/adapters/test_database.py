"""What each database error means to a worker."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from shared.adapters.database import DatabaseFault, classify, constraint_of
from shared.domain.errors import Unavailable


@pytest.mark.parametrize(
    ("states", "fault"),
    [
        (("22001", "22021", "22P02", "23502", "23503", "23505", "23514", "54000"), DatabaseFault.BAD_DATA),
        (("08006", "25006", "40001", "40P01", "53300", "55P03", "57014", "57P01", "58030"), DatabaseFault.RETRY),
        (("21000", "25001", "25P02", "42501", "42601", "42P01", "XX000", "0A000"), DatabaseFault.STOP),
    ],
)
def test_each_sqlstate_class_has_one_meaning(states: tuple[str, ...], fault: DatabaseFault) -> None:
    assert {state: classify(psycopg.errors.lookup(state)()) for state in states} == dict.fromkeys(states, fault)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"), DatabaseFault.BAD_DATA),
        (psycopg.OperationalError("the connection is closed"), DatabaseFault.RETRY),
        (psycopg.ProgrammingError("no result available"), DatabaseFault.STOP),
        (PoolTimeout("no connection became free"), DatabaseFault.RETRY),
        (ValueError("not the database's"), DatabaseFault.STOP),
    ],
)
def test_errors_of_our_own_side(error: Exception, fault: DatabaseFault) -> None:
    assert classify(error) is fault


def test_the_drivers_error_is_found_inside_others() -> None:
    driver = psycopg.errors.lookup("40P01")()
    wrapped = DBAPIError("SELECT 1", {}, driver)
    translated = Unavailable("try again")
    translated.__cause__ = wrapped
    assert [classify(error) for error in (wrapped, translated)] == [DatabaseFault.RETRY] * 2
    assert classify(StatementError("bad bind", "SELECT 1", {}, ValueError())) is DatabaseFault.STOP
    assert constraint_of(wrapped) is None
