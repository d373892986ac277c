"""One `change` of a webhook: its place, the accounts it names, its times. All that the single mappings share."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from msgspec import ValidationError, convert

from shared.domain.enums import WebhookEvent
from shared.domain.items import PoisonItem
from shared.providers.cleaning import exact_text, phone_digits
from shared.providers.documents import Malformed, fingerprint, fragment_of
from shared.providers.whatsapp_official.payloads import Error, JsonObject
from shared.providers.whatsapp_official.people import People

_LATEST_SECONDS = 4_102_444_800  # the year 2100: later than that is no time in seconds


class Change:
    """`entry[i].changes[j]` with a value that is an object. `path` is its JSON Pointer; nobody changes it afterwards.

    `account_refs`: the number this change is about, as accounts are called, `phone_number_id:<id>`; empty if it names none.
    """

    def __init__(self, *, path: str, entry_id: Any, entry_time: Any, field: str, value: JsonObject) -> None:
        self.path = path
        self.entry_id = entry_id
        self.entry_time = entry_time
        self.field = field
        self.value = value
        self._people: People | None = None
        metadata = value.get("metadata")
        number_id = metadata.get("phone_number_id") if isinstance(metadata, dict) else None
        exact = exact_text(number_id, 64) if isinstance(number_id, str) else None
        self.account_refs: tuple[str, ...] = () if exact is None else (f"phone_number_id:{exact}",)

    @property
    def people(self) -> People:
        """Who is named in `contacts`; read once."""
        if self._people is None:
            self._people = People(self.value.get("contacts"))
        return self._people

    @cached_property
    def wide_refs(self) -> tuple[str, ...]:
        """For what is not about one message: the number if it is named, the business account, the number's digits."""
        waba_id = exact_text(self.entry_id, 64) if isinstance(self.entry_id, str) else None
        number = self.value.get("display_phone_number")
        digits = phone_digits(number) if isinstance(number, str) else None
        return (
            *self.account_refs,
            *(() if waba_id is None else (f"waba_id:{waba_id}",)),
            *(() if digits is None else (f"display_phone_number:{digits}",)),
        )

    @cached_property
    def errors_beside(self) -> list[Error] | None:
        """Errors that explain the messages of this change; read once, however many messages there are."""
        try:
            return convert(self.value.get("errors"), list[Error] | None)
        except ValidationError:
            return None  # each of them is an item of its own; here they only explain

    @property
    def provider_time_ms(self) -> int | None:
        """When Meta made this entry; message entries carry none."""
        return milliseconds(self.entry_time)


def milliseconds(seconds: object) -> int | None:
    """Unix seconds, as a number or as decimal text, in milliseconds; None if that is no plausible time."""
    if isinstance(seconds, str):
        seconds = int(seconds) if len(seconds) <= 12 and seconds.isascii() and seconds.isdigit() else None
    if type(seconds) is not int or not 0 < seconds < _LATEST_SECONDS:  # a bool is no time
        return None
    return seconds * 1000


def poison(path: str, reason: str, element: object, evento: WebhookEvent, account_refs: tuple[str, ...] = ()) -> PoisonItem:
    """The item of an element that cannot be read; equal content under one reason counts as a repeat."""
    fragment = fragment_of(element)
    try:
        key = fingerprint(reason, element)
    except Malformed:
        key = fingerprint(reason, path, fragment.decode("ascii"))
    return PoisonItem(path=path, evento=evento, account_refs=account_refs, dedup_key=key, reason=reason, fragment=fragment)
