"""WAHA's message ids: `<fromMe>_<chat>_<id>[_<member>]`, of which only `<id>` is WhatsApp's own.

Some fields carry the whole, some the bare id (`editedMessageId`, `revokedMessageId`), so the bare one is the message's name
everywhere; for calls the whole is put together again.
"""

from __future__ import annotations

import re

from msgspec import Struct

from shared.providers.whatsapp_unofficial.jids import Jid, parse_jid

_WHOLE = re.compile(r"(true|false)_([^_]{1,128})_([^_]{1,128})(?:_(.{1,128}))?", re.DOTALL)


class MessageName(Struct, frozen=True, gc=False):
    """A message id of WAHA; `chat` and `member` are None where only the bare id was given."""

    bare: str
    from_me: bool | None = None
    chat: Jid | None = None
    member: str | None = None


def parse_name(given: str | None) -> MessageName | None:
    """The parts of an id, whole or bare; None without one."""
    if not given:
        return None
    match = _WHOLE.fullmatch(given)
    if match is None:
        return MessageName(given)
    return MessageName(match[3], match[1] == "true", parse_jid(match[2]), match[4])


def whole_name(bare: str, *, from_me: bool, chat_id: str, member: str | None = None) -> str:
    """The id as WAHA wants it in calls; one that is whole already stays as it is."""
    if _WHOLE.fullmatch(bare) is not None:
        return bare
    return f"{'true' if from_me else 'false'}_{chat_id}_{bare}" + (f"_{member}" if member else "")
