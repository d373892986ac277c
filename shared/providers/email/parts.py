"""Fetches the bytes of one part by its `raw_part`, out of the raw body that the record refers to.

`2.1` is a MIME part; `body-html` a field of a form; `/Attachments/0/Content` a place in JSON (base64 for files, text for HTML).
`container!2.1` is a part of the raw mail that lies in a field or a place: `body-mime!1`, `/Message/content!2`.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from shared.domain.errors import NotFound
from shared.providers.documents import decode_object
from shared.providers.email.bodies import pieces
from shared.providers.email.forms import read_form
from shared.providers.email.raw_mail import leaf_numbered
from shared.providers.email.ses import content_of


def part_pieces(body: bytes, headers: Mapping[str, str], raw_part: str) -> Iterator[bytes]:
    """The decoded bytes in pieces of about a megabyte; raises NotFound (no such part) or UnparseableBody."""
    container, inside, number = raw_part.rpartition("!")
    if inside:
        yield from _part(_contained(body, headers, container.removesuffix("!base64")), number)
    elif raw_part.startswith("/"):
        yield _value(decode_object(body), raw_part)
    elif raw_part[:1].isdigit():
        yield from _part(body, raw_part)
    else:
        yield _field(body, headers, raw_part)


def _contained(body: bytes, headers: Mapping[str, str], container: str) -> bytes:
    if container == "/Message/content":
        return content_of(body)
    if container.startswith("/"):
        value = _at(decode_object(body), container)
        if not isinstance(value, str):
            raise NotFound(f"no part {container}")
        return value.encode("utf-8", "surrogatepass")
    return _field(body, headers, container)


def _part(mail: bytes, number: str) -> Iterator[bytes]:
    leaf = leaf_numbered(mail, number)
    if leaf is None:
        raise NotFound(f"no part {number}")
    return pieces(mail, leaf)


def _field(body: bytes, headers: Mapping[str, str], name: str) -> bytes:
    field = read_form(body, headers.get("content-type", "")).get(name)
    if field is None:
        raise NotFound(f"no field {name}")
    return field.data(body)


def _value(document: Any, pointer: str) -> bytes:
    value = _at(document, pointer)
    if not isinstance(value, str):
        raise NotFound(f"no part {pointer}")
    if not pointer.endswith("/Content"):
        return value.encode("utf-8", "surrogatepass")
    try:
        return binascii.a2b_base64(value)
    except (binascii.Error, ValueError):
        raise NotFound(f"part {pointer} is not base64") from None


def _at(value: Any, pointer: str) -> Any:
    for name in pointer.split("/")[1:]:
        if isinstance(value, list):
            value = value[int(name)] if name.isdigit() and int(name) < len(value) else None
        else:
            value = value.get(name) if isinstance(value, dict) else None
    return value
