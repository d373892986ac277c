"""Who a message is from or to: every name of one person that a change tells.

`contacts` is matched by business-scoped id or phone, never by position: batches mix people.
The parent BSUID is an alias too: Meta gives one and the same to one person across the portfolios of an enterprise. The
username is none: it can be changed and then taken by somebody else, and aliases join people for good.
Source: https://developers.facebook.com/documentation/business-messaging/whatsapp/business-scoped-user-ids
"""

from __future__ import annotations

from msgspec import ValidationError, convert

from shared.domain.enums import AliasKind
from shared.domain.items import Alias, Peer
from shared.providers.cleaning import MAX_CODE_CHARACTERS, MAX_NAME_CHARACTERS, clean_text, exact_text, phone_digits
from shared.providers.phones import phone_aliases
from shared.providers.whatsapp_official.payloads import Contact

MAX_BSUID_CHARACTERS = 256  # documented: country code, a dot, `ENT.` in a parent's, at most 128 letters and digits


class People:
    """The people of one change, found by phone or business-scoped id."""

    def __init__(self, contacts: object) -> None:
        self._by_phone: dict[str, Contact] = {}
        self._by_user: dict[str, Contact] = {}
        for element in contacts if isinstance(contacts, list) else ():
            try:
                contact = convert(element, Contact)
            except ValidationError:
                continue  # it only adds a name or an alias; the message itself says who wrote it
            phone = phone_digits(contact.wa_id)
            if phone is not None:
                self._by_phone.setdefault(phone, contact)
            if contact.user_id:
                self._by_user.setdefault(contact.user_id, contact)

    def peer(self, phone: str | None, user_id: str | None, parent_user_id: str | None) -> Peer | None:
        """The person with these names, and what `contacts` adds; None if not one name can be used."""
        digits, contact = phone_digits(phone), None
        if user_id:
            contact = self._by_user.get(user_id)
        if contact is None and digits is not None:
            contact = self._by_phone.get(digits)
            if contact is not None and user_id and contact.user_id and contact.user_id != user_id:
                contact = None  # the same phone under another id: somebody else by now
        name = username = None
        if contact is not None:
            digits = digits or phone_digits(contact.wa_id)
            user_id = user_id or contact.user_id
            parent_user_id = parent_user_id or contact.parent_user_id
            if contact.profile is not None:
                name, username = contact.profile.name, contact.profile.username
        found = aliases(digits, user_id, parent_user_id)
        if not found:
            return None
        return Peer(
            aliases=found,
            name=clean_text(name, MAX_NAME_CHARACTERS) or None,
            username=clean_text(username, MAX_CODE_CHARACTERS) or None,
        )


def aliases(phone: str | None, user_id: str | None, parent_user_id: str | None = None) -> tuple[Alias, ...]:
    """Aliases of one person, phone first (both spellings if it has two); what is empty or too long is left out."""
    found = phone_aliases(phone)
    for kind, value in ((AliasKind.BSUID, user_id), (AliasKind.PARENT_BSUID, parent_user_id)):
        exact = exact_text(value, MAX_BSUID_CHARACTERS)
        if exact is not None:
            found = (*found, Alias(kind=kind, value=exact))
    return found
