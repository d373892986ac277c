"""One update: its number, its kind, the account it falls to. All that the single mappings share."""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.enums import AliasKind, WebhookEvent
from shared.domain.items import Alias, Peer, PoisonItem
from shared.providers.cleaning import MAX_CODE_CHARACTERS, MAX_NAME_CHARACTERS, clean_text
from shared.providers.documents import Malformed, fingerprint, fragment_of
from shared.providers.telegram.payloads import Chat, User

BOT_REF = "bot"  # payloads do not name the bot: a connector is one bot
BUSINESS_REF = "business_connection"

_LATEST_SECONDS = 4_102_444_800  # the year 2100: later than that is no time in seconds
_MAX_BUSINESS_ID_CHARACTERS = 128


@dataclass(frozen=True, slots=True)
class Update:
    """`path` is the JSON Pointer of the element. `update_id` grows, but starts anew at random after a quiet week."""

    update_id: int
    kind: str
    path: str


def account_refs(business_connection_id: str | None = None) -> tuple[str, ...]:
    """The business account that is connected to the bot if the update names one, then the bot."""
    business = business_scope(business_connection_id)
    return (BOT_REF,) if business is None else (f"{BUSINESS_REF}:{business}", BOT_REF)


def business_scope(connection_id: str | None) -> str | None:
    """The id of a business connection if it can stand in a scope; None without one. Raises Malformed."""
    if not connection_id:
        return None
    plain = connection_id.isascii() and connection_id.isprintable() and ":" not in connection_id
    if not plain or len(connection_id) > _MAX_BUSINESS_ID_CHARACTERS:
        raise Malformed("business_connection_malformed")
    return connection_id


def chat_scope(chat_id: int, business_connection_id: str | None = None) -> str:
    """Where message ids are unique: the chat. A connected business account has its own ids in a chat of the same number."""
    business = business_scope(business_connection_id)
    return str(chat_id) if business is None else f"business:{business}:{chat_id}"


def milliseconds(seconds: int | None) -> int | None:
    """Unix seconds in milliseconds; None if that is no plausible time (0 stands for "too old to tell")."""
    return seconds * 1000 if seconds is not None and 0 < seconds < _LATEST_SECONDS else None


def number(value: int | None, reason: str) -> int:
    """An id as it must be there; raises Malformed with `reason`."""
    if value is None or value == 0 or not -(2**63) <= value < 2**63:
        raise Malformed(reason)
    return value


def person(user: User | None) -> Peer | None:
    """The person; the username is for show only, it can pass to somebody else. None if there is none. Raises Malformed."""
    if user is None or not user.id:
        return None
    return Peer(
        aliases=(Alias(kind=AliasKind.USER, value=str(number(user.id, "peer_malformed"))),),
        name=full_name(user.first_name, user.last_name),
        username=clean_text(user.username, MAX_CODE_CHARACTERS) or None,
    )


def chat_as_peer(chat: Chat | None) -> Peer | None:
    """A chat that speaks for itself: a channel, an anonymous administrator, a chat of one person."""
    if chat is None or not chat.id:
        return None
    kind = AliasKind.USER if chat.type == "private" else AliasKind.GROUP
    return Peer(
        aliases=(Alias(kind=kind, value=str(number(chat.id, "peer_malformed"))),),
        name=clean_text(chat.title, MAX_NAME_CHARACTERS) or full_name(chat.first_name, chat.last_name),
        username=clean_text(chat.username, MAX_CODE_CHARACTERS) or None,
    )


def full_name(first: str | None, last: str | None) -> str | None:
    """Both parts of a name as one text."""
    return clean_text(f"{first} {last}" if first and last else first or last, MAX_NAME_CHARACTERS) or None


def group_of(chat: Chat, thread_id: int | None, is_topic: bool | None) -> str | None:
    """The group's id; a topic of a forum is a talk of its own (`<group>/<topic>`). None in a private chat."""
    if chat.type == "private":
        return None
    return f"{chat.id}/{thread_id}" if is_topic and thread_id else str(chat.id)


def group_name_of(chat: Chat) -> str | None:
    """What the group is called."""
    return None if chat.type == "private" else clean_text(chat.title, MAX_NAME_CHARACTERS) or None


def poison(path: str, reason: str, element: object, evento: WebhookEvent) -> PoisonItem:
    """The item of an update that cannot be read; equal content under one reason counts as a repeat."""
    fragment = fragment_of(element)
    try:
        key = fingerprint(reason, element)
    except Malformed:
        key = fingerprint(reason, path, fragment.decode("ascii"))
    return PoisonItem(path=path, evento=evento, account_refs=(BOT_REF,), dedup_key=key, reason=reason, fragment=fragment)
