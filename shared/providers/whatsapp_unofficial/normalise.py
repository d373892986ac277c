"""Splits one verified body into items, in the dialect that the connector's settings name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from shared.domain.items import AnyItem
from shared.providers.contract import NOTHING, UnparseableBody
from shared.providers.documents import at_most_max_items, decode_object
from shared.providers.whatsapp_unofficial.evolution.normalise import items_of as evolution_items
from shared.providers.whatsapp_unofficial.fields import JsonObject
from shared.providers.whatsapp_unofficial.waha.normalise import items_of as waha_items
from shared.providers.whatsapp_unofficial.zapi.normalise import items_of as zapi_items

_DIALECTS: Mapping[object, Callable[[JsonObject], Iterator[AnyItem]]] = {
    "evolution": evolution_items,
    "waha": waha_items,
    "zapi": zapi_items,
}


def normalise(body: bytes, headers: Mapping[str, str], settings: Mapping[str, Any] = NOTHING) -> Sequence[AnyItem]:  # noqa: ARG001 - the contract's signature
    """The items of one body, in its own order.

    Raises UnparseableBody if it is not a JSON object in UTF-8, or if the settings name no dialect that exists.
    """
    items_of = _DIALECTS.get(settings.get("dialect"))
    if items_of is None:
        raise UnparseableBody("the connector names no dialect")
    return at_most_max_items(items_of(decode_object(body)))
