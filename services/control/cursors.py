"""Cursors: the position after which a list goes on, bound to the list and its filters."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import json
from dataclasses import asdict, is_dataclass
from typing import Any
from uuid import UUID

from services.control.problems import Refusal
from shared.management.paging import Order, Slice

_PARSERS: dict[type, Any] = {
    str: lambda text: str(UUID(text)),  # every text that lists are ordered by is an id
    int: int,
    dt.date: dt.date.fromisoformat,
    dt.datetime: dt.datetime.fromisoformat,
}
_MAX_ID = 2**63 - 1


def write_cursor(position: tuple[Any, ...] | None, listed: object) -> str | None:
    """Opaque text for `?cursor=`; None stays None."""
    if position is None:
        return None
    parts = [part.isoformat() if isinstance(part, dt.date) else part for part in position]
    text = json.dumps([_mark(listed), *parts], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_slice(limit: int, cursor: str | None, listed: object, order: Order) -> Slice:
    """What a page is to hold. Raises Refusal (422 `cursor_invalid`) for a cursor of another list or with other filters."""
    if cursor is None:
        return Slice(limit=limit)
    try:
        mark, *parts = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if mark != _mark(listed) or len(parts) != len(order.columns):
            raise ValueError("of another list")  # noqa: TRY301  one way out for all that can be wrong
        after = tuple(_PARSERS[kind](part) for kind, part in zip(order.types, parts, strict=True))
        if any(isinstance(part, int) and not 0 <= part <= _MAX_ID for part in after):
            raise ValueError("no id")  # noqa: TRY301
        if any(isinstance(part, dt.datetime) and part.tzinfo is None for part in after):
            raise ValueError("no instant")  # noqa: TRY301
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError, binascii.Error) as error:
        detail = "the cursor is not of this list with these filters"
        raise Refusal(422, "cursor_invalid", detail, parameter="cursor") from error
    return Slice(limit=limit, after=after)


def _mark(listed: object) -> str:
    # `listed`: the filter record, whose type names the list, or a plain tuple of name and parent.
    told = [type(listed).__name__, asdict(listed)] if is_dataclass(listed) and not isinstance(listed, type) else listed
    return hashlib.sha256(json.dumps(told, default=str, sort_keys=True).encode()).hexdigest()[:12]
