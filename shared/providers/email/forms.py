"""Bodies of forms (multipart/form-data and urlencoded) by places: a file of 30 MB is found, not copied.

Names in these bodies are those of providers, so the first of each name counts, and Mailgun's signed fields come once
(verification, which reads forms by the same `form_places`, refuses others).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from shared.providers.contract import UnparseableBody
from shared.providers.email.decoding import text_of, unstructured
from shared.providers.email.mime import Head, read_head
from shared.providers.email.signed_fields import Place, form_places

MAX_FIELD_BYTES = 2_097_152  # of a field that is read as text; files have no such bound


@dataclass(frozen=True)
class Field:
    """One value of a form, and what the form says of it."""

    place: Place

    @cached_property
    def head(self) -> Head:
        """The headers of one part of multipart/form-data."""
        return read_head(self.place.head)[0]

    @property
    def filename(self) -> str | None:
        """The name of a file; None for a plain field. Browsers' way is UTF-8 as it is (RFC 7578 §4.2)."""
        if b"filename" not in self.place.head:
            return None
        return unstructured(self.head.parameter("content-disposition", "filename"), 4_096)

    @property
    def size_bytes(self) -> int:
        """How long the value is as it stands in the body."""
        return self.place.end - self.place.start

    def data(self, body: bytes, limit: int | None = None) -> bytes:
        """The bytes of the value, at most about `limit` of them."""
        return self.place.data(body, limit)

    def text(self, body: bytes, charset: str | None = "utf-8") -> str:
        """The value as text, at most about 2 MB of it."""
        return text_of(self.data(body, MAX_FIELD_BYTES), charset)


def read_form(body: bytes, content_type: str) -> dict[str, Field]:
    """The fields by name; raises UnparseableBody for another content type or a body without any field."""
    places = form_places(body, content_type.encode("latin-1", "replace"))
    if places is None:
        raise UnparseableBody("not a form")
    found: dict[str, Field] = {}
    for place in places:
        found.setdefault(place.name.decode("utf-8", "replace"), Field(place))
    if not found:
        raise UnparseableBody("a form without a field")
    return found
