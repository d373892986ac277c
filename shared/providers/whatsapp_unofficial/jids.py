"""WhatsApp's own addresses (JIDs) and whom they mean.

`<digits>@s.whatsapp.net` and WAHA's `<digits>@c.us` are phones, `<digits>@lid` is a hidden id that is no phone, `<id>@g.us`
a group; `status@broadcast`, `<id>@broadcast` and `<id>@newsletter` are nobody to talk with. `:<n>` behind the digits names
a device. Source: https://waha.devlike.pro/docs/how-to/contacts/ and https://baileys.wiki/docs/migration/to-v7.0.0/ (LIDs)
"""

from __future__ import annotations

import re
from functools import lru_cache

from msgspec import Struct

from shared.domain.enums import AliasKind
from shared.domain.items import Alias, Peer
from shared.providers.cleaning import MAX_NAME_CHARACTERS, MAX_PHONE_DIGITS, clean_text
from shared.providers.phones import canonical_phone, phone_aliases

_JID = re.compile(r"([0-9A-Za-z.-]{1,64})(?:_[0-9]{1,3})?(?::[0-9]{1,5})?@([a-z.]{1,32})")
_MAX_ADDRESS_CHARACTERS = 128  # more than the pattern takes; what is longer never reaches a cache
_PHONE_SERVERS = frozenset({"s.whatsapp.net", "c.us", "hosted"})  # the last: a company's device at Meta, as Baileys 7 names it
_LID_SERVERS = frozenset({"lid", "hosted.lid"})


class Jid(Struct, frozen=True, gc=False):
    """One address without its device."""

    user: str
    server: str

    @property
    def is_group(self) -> bool:
        """A group."""
        return self.server == "g.us"

    @property
    def is_phone(self) -> bool:
        """A person by phone."""
        return self.server in _PHONE_SERVERS and _is_number(self.user)

    @property
    def is_lid(self) -> bool:
        """A person by hidden id."""
        return self.server in _LID_SERVERS and _is_number(self.user)

    @property
    def is_audience(self) -> bool:
        """Stories, broadcast lists, channels: there is no conversation."""
        return self.server in ("broadcast", "newsletter")

    @property
    def group_id(self) -> str:
        """The group in the one spelling of all dialects."""
        return f"{self.user}@g.us"


def _is_number(user: str) -> bool:
    return user.isdigit() and len(user) <= MAX_PHONE_DIGITS  # ASCII already: nothing else parses


def parse_jid(address: str | None) -> Jid | None:
    """The parts of an address; None if it is none."""
    return _parsed(address) if address and len(address) <= _MAX_ADDRESS_CHARACTERS else None


# One address comes again and again: people write more than once, and answers to them come back as several receipts.
@lru_cache(maxsize=16_384)
def _parsed(address: str) -> Jid | None:
    match = _JID.fullmatch(address)
    return None if match is None else Jid(match[1], match[2])


def aliases_of(*addresses: str | None) -> tuple[Alias, ...]:
    """Aliases of one person from all addresses of theirs, each once: phones first (as given, then canonical), then LIDs."""
    return _all_aliases(*[address for address in addresses if address and len(address) <= _MAX_ADDRESS_CHARACTERS])


@lru_cache(maxsize=16_384)
def _all_aliases(*addresses: str) -> tuple[Alias, ...]:
    phones: list[Alias] = []
    lids: list[Alias] = []
    for address in addresses:
        jid = parse_jid(address)
        if jid is None:
            continue
        if jid.is_phone:
            found = phone_aliases(jid.user)
            phones.extend([alias for alias in found if alias not in phones] if phones else found)
        elif jid.is_lid and (alias := Alias(kind=AliasKind.LID, value=jid.user)) not in lids:
            lids.append(alias)
    return (*phones, *lids)


def peer_of(name: str | None, *addresses: str | None) -> Peer | None:
    """The person with these addresses; None if not one of them names a person."""
    aliases = aliases_of(*addresses)
    return Peer(aliases=aliases, name=clean_text(name, MAX_NAME_CHARACTERS) or None) if aliases else None


def group_peer(group: Jid) -> Peer:
    """Stands for all members where no single one is meant (the company wrote into the group) or named."""
    return Peer(aliases=(Alias(kind=AliasKind.GROUP, value=group.group_id),))


@lru_cache(maxsize=4_096)
def account_refs(instance: str | None, number: str | None) -> tuple[str, ...]:
    """How an account is called: `instance:<its name at the server>`, then `phone:<canonical digits>` of its own number."""
    found = () if not instance else (f"instance:{instance}",)
    aliases = phone_aliases(number.partition("@")[0].partition(":")[0]) if number else ()
    return (*found, f"phone:{canonical_phone(aliases[0].value)}") if aliases else found
