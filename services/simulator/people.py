"""The people who write: invented names and every id a provider may know them by, made from the seed.

Phones are in a block that reads as invented (5511 9000 0…), ids are small and round.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

_NAMES = ("Lia Prado", "Bia Souza", "Caio Lima", "Davi Rocha", "Eva Nunes", "Gil Castro", "Iara Melo", "João Ávila 😀")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One person. `hides_phone`: the providers that can leave the phone out do so."""

    number: int
    name: str
    phone: str  # digits
    bsuid: str  # Meta's business-scoped user id
    lid: str  # WhatsApp's hidden id, digits
    telegram_id: int
    mail: str
    visitor: str
    username: str
    parent_bsuid: str | None = None
    hides_phone: bool = False


def person(number: int, *, hides_phone: bool = False, parent: bool = False) -> Person:
    """The person of this number: always the same."""
    return Person(
        number=number,
        name=_NAMES[number % len(_NAMES)],
        phone=f"55119{number + 1:08d}"[:13] if number >= 10**7 else f"551190{number + 1:07d}",
        bsuid=f"BR.{70_000_000_000_000 + number}",
        lid=f"{99_000_000_000_000 + number}",
        telegram_id=55_000_000 + number,
        mail=f"person{number}@cliente.example",
        visitor=f"visitor-{number:06d}",
        username=f"person.{number}",
        parent_bsuid=f"BR.ENT.{80_000_000_000_000 + number}" if parent else None,
        hides_phone=hides_phone,
    )


def with_new_number(who: Person) -> Person:
    """The same person with another phone: Meta gives a new BSUID then, WhatsApp a new LID stays the same."""
    digits = f"551191{who.number + 1:07d}"
    return dataclasses.replace(who, phone=digits, bsuid=f"BR.{71_000_000_000_000 + who.number}")
