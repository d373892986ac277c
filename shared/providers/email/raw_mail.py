"""A raw mail (RFC 5322 bytes) to the form that all dialects share. Files stay in the raw body: `raw_part` says where.

Needs memory for heads and for the beginnings of text parts only, whatever the mail's size.
"""

from __future__ import annotations

from collections.abc import Iterator

from shared.domain.content import Media
from shared.providers.cleaning import MAX_ID_CHARACTERS, clean_text, exact_text
from shared.providers.contract import UnparseableBody
from shared.providers.email.bodies import decoded, decoded_size, transfer_encoding
from shared.providers.email.filenames import harmless_filename
from shared.providers.email.mime import MimePart, scan
from shared.providers.email.received import MAX_ATTACHMENTS, ReceivedMail
from shared.providers.email.reports import ENCLOSED_TYPES
from shared.providers.email.texts import Texts, filename_of, is_text

_MAX_ENCLOSED_BYTES = 131_072
_MAX_ENCLOSED = 10
_KNOWN_HEADERS = (
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "received",
    "return-path",
    "mime-version",
    "content-type",
    "sender",
)


def read_raw(body: bytes, prefix: str = "") -> ReceivedMail:
    """The mail in `body`; `prefix` stands before part numbers where the mail itself lies inside of another body.

    Raises UnparseableBody for what has not one header of a mail.
    """
    root = scan(body)
    if not any(name in root.head for name in _KNOWN_HEADERS):
        raise UnparseableBody("not a mail")
    html_part: str | None = None
    attachments: list[Media] = []
    enclosed: list[tuple[str, bytes]] = []
    for leaf in root.leaves():
        if leaf.content_type in ENCLOSED_TYPES and len(enclosed) < _MAX_ENCLOSED:
            data = body[leaf.start : min(leaf.end, leaf.start + _MAX_ENCLOSED_BYTES)]
            enclosed.append((leaf.content_type, decoded(data, transfer_encoding(leaf))))
        if is_text(leaf, "text/plain"):
            continue
        if html_part is None and is_text(leaf, "text/html"):
            html_part = f"{prefix}{leaf.number}"
        elif len(attachments) < MAX_ATTACHMENTS:  # also further parts of HTML: they are shown after the first
            attachments.append(_media(body, leaf, prefix))
    text = "\n".join(part.strip("\n") for part in Texts(body).of(root))
    return ReceivedMail(
        head=root.head,
        text=text or None,
        html_part=html_part,
        attachments=tuple(attachments),
        enclosed=tuple(enclosed),
    )


def _media(body: bytes, leaf: MimePart, prefix: str) -> Media:
    disposition = (leaf.head.first("content-disposition") or "").split(";", 1)[0].strip().lower()
    content_id = (leaf.head.first("content-id") or "").strip().strip("<>")
    name = filename_of(leaf.head)
    if name is None and leaf.content_type == "message/rfc822":
        name = "message.eml"
    return Media(
        mime_type=clean_text(leaf.content_type, 128),
        filename=harmless_filename(name),
        size_bytes=decoded_size(body, leaf),
        raw_part=f"{prefix}{leaf.number}",
        content_id=exact_text(content_id, MAX_ID_CHARACTERS),
        inline=disposition == "inline"
        or (disposition != "attachment" and (leaf.parent_type == "multipart/related" or is_text(leaf, "text/html"))),
    )


def leaf_numbered(body: bytes, number: str) -> MimePart | None:
    """The part with that number, for whoever fetches a file out of the raw body."""
    leaves: Iterator[MimePart] = scan(body).leaves()
    return next((leaf for leaf in leaves if leaf.number == number), None)
