"""What people say and what becomes of what we said, before any provider gives it a form.

Each stand-in writes these down in its provider's way. Tests compare them with what our normalisers made of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

# fmt: off
Kind = Literal[
    "text", "image", "audio", "voice", "video", "document", "sticker", "location", "contacts", "button", "list",
    "reaction", "unreaction", "edit", "revoke", "order", "something_new",
]
# fmt: on
KINDS: tuple[Kind, ...] = get_args(Kind)
Status = Literal["sent", "delivered", "read", "played", "failed"]
STATUSES: tuple[Status, ...] = get_args(Status)

MIME = {
    "image": "image/jpeg",
    "audio": "audio/mpeg",
    "voice": "audio/ogg; codecs=opus",
    "video": "video/mp4",
    "document": "application/pdf",
    "sticker": "image/webp",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """One thing said. Which fields count follows from the kind; `text` is also the caption and the button's title.

    `target`: id of the message that is reacted to, edited, revoked. `from_us`: said on the company's own phone.
    """

    kind: Kind
    text: str = ""
    filename: str = "nota.pdf"
    latitude: float = -23.5613
    longitude: float = -46.6562
    place: str = "Praça"
    address: str = "Rua 1"
    card_name: str = "Rui Alves"
    card_phone: str = "5511900000099"
    option_id: str = "yes"
    target: str | None = None
    emoji: str = "👍"
    reply_to: str | None = None
    forwarded: bool = False
    group: str | None = None
    from_us: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of a message of ours; `error_code` is the provider's own."""

    status: Status
    message_id: str
    error_code: int | None = None
    callback_data: str | None = None
