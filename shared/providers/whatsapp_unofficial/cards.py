"""Contact cards (vCard 3.0, RFC 2426) as WhatsApp writes them: name, phones with the WhatsApp id, e-mails, organisation."""

from __future__ import annotations

import re
from collections.abc import Sequence

from shared.domain.content import ContactCard
from shared.providers.cleaning import clean_text, exact_text
from shared.providers.documents import Unmappable

MAX_CARDS = 257  # as many as the app lets a person share at once
_MAX_ENTRIES = 20
_MAX_CARD_CHARACTERS = 65_536  # beyond that it is a photo, which nobody reads here
_MAX_CHARACTERS = 100_000  # of all cards together: the event must fit one Kafka message
_ITEM = re.compile(r"\Aitem[0-9]{1,4}\.", re.IGNORECASE)
_WAID = re.compile(r"(?:\A|;)waid=([0-9]{1,20})(?:;|\Z)", re.IGNORECASE)
_ESCAPED = re.compile(r"\\([\\;,nN])")


def cards(found: Sequence[tuple[str | None, str | None]]) -> tuple[ContactCard, ...]:
    """Cards from (display name, vCard) pairs; raises Unmappable (`contacts_too_many`, `contacts_too_large`)."""
    if len(found) > MAX_CARDS:
        raise Unmappable("contacts_too_many")  # rather than to show a part as if it were all
    read = tuple(card(name, vcard) for name, vcard in found)
    if sum(_characters(one) for one in read) > _MAX_CHARACTERS:
        raise Unmappable("contacts_too_large")
    return read


def _characters(one: ContactCard) -> int:
    return sum(len(part) for part in (one.name or "", one.organization or "", *one.phones, *one.emails, *one.user_ids))


def card(name: str | None, vcard: str | None) -> ContactCard:
    """One card; `name` is what the message shows, else the card's own `FN`."""
    phones: list[str] = []
    emails: list[str] = []
    user_ids: list[str] = []
    organization = formatted = None
    for key, parameters, value in _lines(vcard or ""):
        if key == "FN":
            formatted = formatted or value
        elif key == "ORG":
            organization = organization or value.split(";", 1)[0]
        elif key == "EMAIL" and value:
            emails.append(value)
        elif key == "TEL":
            waid = _WAID.search(parameters)
            if waid is not None:
                user_ids.append(waid[1])
            if value:
                phones.append(value)
    return ContactCard(
        name=clean_text(name or formatted, 256) or None,
        phones=tuple(part for phone in phones[:_MAX_ENTRIES] if (part := clean_text(phone, 32))),
        emails=tuple(part for email in emails[:_MAX_ENTRIES] if (part := clean_text(email, 320))),
        organization=clean_text(organization, 256) or None,
        user_ids=tuple(part for user_id in user_ids[:_MAX_ENTRIES] if (part := exact_text(user_id, 32))),
    )


def _lines(vcard: str) -> list[tuple[str, str, str]]:
    """Key, parameters, value of each line; lines that were folded are joined."""
    unfolded = re.sub(r"\r?\n[ \t]", "", vcard[:_MAX_CARD_CHARACTERS])
    found = []
    for line in unfolded.splitlines():
        head, colon, value = line.partition(":")
        key, _, parameters = _ITEM.sub("", head.strip()).partition(";")
        if colon:
            found.append((key.upper(), parameters, _ESCAPED.sub(_unescaped, value.strip())))
    return found


def _unescaped(match: re.Match[str]) -> str:
    return "\n" if match[1] in "nN" else match[1]
