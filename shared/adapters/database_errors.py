"""Errors of the database as errors of ours: who may try again, and for whom the schema or the program is at fault."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from shared.adapters.database import DatabaseFault, classify
from shared.domain.errors import ConfigError, Unavailable


def meaning_of(error: SQLAlchemyError, who: str = "") -> Unavailable | ConfigError:
    """Unavailable where a retry heals it, else ConfigError. `who` the database refuses, for the text: `the mailbox service`."""
    cause = str(getattr(error, "orig", error)).partition("\n")[0]  # what follows may quote a row
    if classify(error) is DatabaseFault.RETRY:
        return Unavailable(f"PostgreSQL: {cause}")
    refused = f"PostgreSQL refuses {who}".rstrip()
    return ConfigError(f"{refused}: {cause}. Is the schema up to date? `channels database prepare`")


@contextmanager
def translated(who: str = "") -> Iterator[None]:
    """Raises `meaning_of` in place of what SQLAlchemy raises in the block."""
    try:
        yield
    except SQLAlchemyError as error:
        raise meaning_of(error, who) from error
