"""What one peer and the company write to each other, webhook by webhook, as Meta would post it. Pure and seeded.

Beside texts: edits, reactions and deletions, some before the message that they are about; what the company wrote in its phone
app (echoes) with the states of its delivery, in any order, repeated, and before the echo itself; elements that are no messages,
and messages to a number that nobody has. Each element knows what the oracle must know of it.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from shared.providers.whatsapp_official.samples import DISPLAY_PHONE_NUMBER, batch, encode, message, status

ABOUT_SHARE = 0.06  # of the webhooks hold an edit, a reaction or a deletion of a message written before
EARLY_SHARE = 0.04  # hold one whose message follows in the next webhook
ECHO_SHARE = 0.06  # begin with something that the company wrote, whose states follow
EARLY_STATES_SHARE = 0.4  # of the echoes have states that come before them
GHOST_SHARE = 0.01  # hold a state or a reaction of a message that never comes
POISON_SHARE = 0.015  # of the webhooks hold an element that is none; about 1 % of the elements
STRANGER_SHARE = 0.004  # hold a message to a number that nobody has
INNER_REPEAT_SHARE = 0.03  # name an element twice in one body
_COURSES = (
    *[("sent", "delivered", "read")] * 3,
    *[("delivered", "sent", "read"), ("read", "delivered", "sent"), ("sent", "sent", "delivered", "delivered")],
    *[("sent", "failed"), ("delivered", "failed", "read"), ("failed", "delivered"), ("sent", "read", "played", "delivered")],
)
_NOBODYS_NUMBER = "199999999999999"
_TIMESTAMP = 1_790_000_000


class Kind(StrEnum):
    """What an element is."""

    TEXT = "text"
    EDIT = "edit"
    REACTION = "reaction"
    REVOKE = "revoke"
    ECHO = "echo"
    STATE = "state"  # of the delivery of an echo
    POISON = "poison"
    STRANGER = "stranger"


MESSAGES = frozenset({Kind.TEXT, Kind.EDIT, Kind.REACTION, Kind.REVOKE, Kind.ECHO})
_ABOUT = (Kind.EDIT, Kind.REACTION, Kind.REVOKE)


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a body. `id`: of a message the provider's; of a state `<message>/<state>`. `about`: another message.

    `early`: what it is about was not written before it; `ghost`: nor will it be.
    """

    id: str
    kind: Kind
    about: str | None = None
    state: str = ""
    early: bool = False
    ghost: bool = False


class Talk:
    """One peer's conversation with one number. `next` gives the elements of its next webhook, `body` their bytes."""

    def __init__(self, peer: str, phone_number_id: str, dice: random.Random) -> None:
        self.peer = peer
        self._number = phone_number_id
        self._dice = dice
        self._numbers = itertools.count()
        self._own: list[str] = []
        self._next: list[Element] = []  # promised by an earlier webhook

    def next(self, *, ghosts: bool) -> list[Element]:
        """What comes now. `ghosts`: whether there may be some, which wait for their whole deadline."""
        dice = self._dice
        elements, self._next = self._next, []
        if dice.random() < ECHO_SHARE:
            elements += self._echo()
        elements += [self._text() for _ in range(dice.choice((1, 1, 1, 2, 3)))]
        if self._own and dice.random() < ABOUT_SHARE:
            elements.append(Element(self._id(), dice.choice(_ABOUT), about=dice.choice(self._own[-5:])))
        if dice.random() < EARLY_SHARE:
            promised = self._text()
            elements.append(Element(self._id(), dice.choice(_ABOUT), about=promised.id, early=True))
            self._next.append(promised)
        if ghosts and dice.random() < GHOST_SHARE:
            elements.append(self._ghost())
        if dice.random() < POISON_SHARE:
            elements.insert(dice.randrange(len(elements) + 1), Element(self._id(), Kind.POISON))
        if dice.random() < STRANGER_SHARE:
            elements.append(Element(self._id(), Kind.STRANGER))
        return elements

    def rest(self) -> list[Element]:
        """What was promised and not written yet."""
        elements, self._next = self._next, []
        return elements

    def body(self, elements: Sequence[Element]) -> bytes:
        """The elements as one webhook; now and then one of them stands in it twice."""
        named = list(elements)
        if self._dice.random() < INNER_REPEAT_SHARE:
            named.append(self._dice.choice([one for one in elements if one.kind is not Kind.POISON] or named))
        return encode(batch([self._written(one) for one in named]))

    def _id(self) -> str:
        return f"wamid.{self.peer}.{next(self._numbers):06d}"

    def _text(self) -> Element:
        text = Element(self._id(), Kind.TEXT)
        self._own.append(text.id)
        return text

    def _echo(self) -> list[Element]:
        """An echo and the course of its delivery, some of it in this webhook and some in the next one."""
        echo, course = Element(self._id(), Kind.ECHO), self._dice.choice(_COURSES)
        early = self._dice.randrange(1, len(course) + 1) if self._dice.random() < EARLY_STATES_SHARE else 0
        before = [Element(f"{echo.id}/{state}", Kind.STATE, echo.id, state, early=True) for state in course[:early]]
        after = [Element(f"{echo.id}/{state}", Kind.STATE, echo.id, state) for state in course[early:]]
        if before and self._dice.random() < 0.7:
            self._next += [echo, *after]
            return before
        now = self._dice.randrange(len(after) + 1)
        self._next += after[now:]
        return [*before, echo, *after[:now]]

    def _ghost(self) -> Element:
        nowhere = self._id()
        if self._dice.random() < 0.5:
            return Element(f"{nowhere}/delivered", Kind.STATE, nowhere, "delivered", early=True, ghost=True)
        return Element(self._id(), Kind.REACTION, about=nowhere, early=True, ghost=True)

    def _written(self, one: Element) -> dict[str, Any]:
        match one.kind:
            case Kind.STATE:
                code = 131026 if one.state == "failed" else None
                return status(
                    message_id=one.about or "",
                    status=one.state,
                    recipient=self.peer,
                    phone_number_id=self._number,
                    error_code=code,
                )
            case Kind.ECHO:
                return self._in_app(one)
            case Kind.POISON:
                return self._poison(one)
            case Kind.STRANGER:
                return self._message(one, _NOBODYS_NUMBER)
            case _:
                return self._message(one, self._number)

    def _message(self, one: Element, number: str) -> dict[str, Any]:
        said = {"type": "text", "text": {"body": one.id}}
        content: dict[str, Any] = said
        if one.kind is Kind.EDIT:
            content = {"type": "edit", "edit": {"original_message_id": one.about, "message": said}}
        elif one.kind is Kind.REACTION:
            content = {"type": "reaction", "reaction": {"message_id": one.about, "emoji": "\N{THUMBS UP SIGN}"}}
        elif one.kind is Kind.REVOKE:
            content = {"type": "revoke", "revoke": {"original_message_id": one.about}}
        return message(content, message_id=one.id, sender=self.peer, phone_number_id=number)

    def _in_app(self, one: Element) -> dict[str, Any]:
        element = {"from": DISPLAY_PHONE_NUMBER, "to": self.peer, "id": one.id, "timestamp": str(_TIMESTAMP)}
        return self._body("smb_message_echoes", {"message_echoes": [{**element, "type": "text", "text": {"body": one.id}}]})

    def _poison(self, one: Element) -> dict[str, Any]:
        forms: tuple[Any, ...] = (one.id, {"from": self.peer, "type": "text", "text": {"body": one.id}}, {"id": one.id})
        return self._body("messages", {"messages": [forms[int(one.id[-1]) % len(forms)]]})

    def _body(self, field: str, parts: dict[str, Any]) -> dict[str, Any]:
        metadata = {"display_phone_number": DISPLAY_PHONE_NUMBER, "phone_number_id": self._number}
        value = {"messaging_product": "whatsapp", "metadata": metadata, **parts}
        return {"entry": [{"id": "200000000000001", "changes": [{"value": value, "field": field}]}]}
