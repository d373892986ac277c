"""Rows as the audit log shows them: JSON values, and `***` in place of whatever could be a secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Column, inspect

from shared.adapters.tables import Base

MASK = "***"
_UNREADABLE = frozenset({"valor_encrypted"})
_SEALED = frozenset({"segredo", "wrapped", "fingerprint"})
SECRET_NAME = re.compile(
    r"token|secret|segredo|passw|senha|credential|credencial|authorization|bearer|private[_-]?key|api[_-]?key|(^|_)pin$",
    re.IGNORECASE,
)


def columns_of(row: Base) -> dict[str, Any]:
    """Column name -> value of one row as it is; leaves out what must not be read back."""
    return {name: getattr(row, attribute) for name, attribute in _readable(type(row))}


@cache
def _readable(table: type[Base]) -> tuple[tuple[str, str], ...]:
    columns = ((one.columns[0], one.key) for one in inspect(table).column_attrs)
    return tuple((each.name, key) for each, key in columns if isinstance(each, Column) and each.name not in _UNREADABLE)


def masked(columns: Mapping[str, Any]) -> dict[str, Any]:
    """The same for people."""
    return {name: _masked(name, value) for name, value in columns.items()}


def _masked(name: str, value: object, *, secret: bool = False) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if name in _SEALED:
        return MASK
    if isinstance(value, Mapping):
        return {
            key: _masked(str(key), member, secret=secret or SECRET_NAME.search(str(key)) is not None)
            for key, member in value.items()
        }
    if isinstance(value, list | tuple):
        return [_masked(name, member, secret=secret) for member in value]
    if secret:
        return MASK
    return value.isoformat() if isinstance(value, datetime) else str(value)
