"""The piece of a body that a dead letter carries: the element at the item's path. Pure."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from shared.providers.documents import MAX_FRAGMENT_BYTES


@lru_cache(maxsize=1)
def _document(body: bytes) -> Any:
    """The parsed body. The last one is kept: thousands of items of one body may ask for it one after the other."""
    return json.loads(body)


def fragment_at(body: bytes, pointer: str) -> bytes | None:
    """JSON text of the element that a JSON Pointer (RFC 6901) names; None if absent or larger than a dead letter carries."""
    try:
        element = _document(body)
        for token in pointer.split("/")[1:]:
            name = token.replace("~1", "/").replace("~0", "~")
            element = element[int(name)] if isinstance(element, list) else element[name]
        fragment = json.dumps(element, ensure_ascii=True, separators=(",", ":")).encode()
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return None
    return fragment if len(fragment) <= MAX_FRAGMENT_BYTES else None
