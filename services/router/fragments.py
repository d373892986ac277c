"""The piece of a body that a dead letter carries: the element at the item's path. Pure."""

from __future__ import annotations

import json
from typing import Any

MAX_FRAGMENT_BYTES = 65_536


def fragment_at(body: bytes, pointer: str) -> bytes | None:
    """JSON text of the element that a JSON Pointer (RFC 6901) names; None if absent or larger than 64 KiB."""
    try:
        element: Any = json.loads(body)
        for token in pointer.split("/")[1:]:
            name = token.replace("~1", "/").replace("~0", "~")
            element = element[int(name)] if isinstance(element, list) else element[name]
        fragment = json.dumps(element, ensure_ascii=True, separators=(",", ":")).encode()
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return None
    return fragment if len(fragment) <= MAX_FRAGMENT_BYTES else None
