"""The control API: what a script or a person orders over HTTP. JSON in, JSON out; the same operations as in process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from services.simulator.people import Person, person
from services.simulator.simulator import Simulator
from services.simulator.stand_in import Disturbance, StandIn
from services.simulator.utterances import Receipt, Utterance

_EXTRAS = frozenset({"rotate", "album", "block", "connection", "confirm", "tier"})  # what only some stand-ins can do


class WrongOrder(Exception):
    """Raised for an order that makes no sense; its text says what is wrong."""


class Control:
    """Runs one order on one simulator. Ledger lines and accounts come back without secrets that nobody asked for."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._orders: dict[str, Callable[[StandIn, dict[str, Any]], object]] = {
            "create": self._create,
            "say": lambda stand_in, order: stand_in.say(order["account"], _who(order), _utterance(order)),
            "tell": lambda stand_in, order: stand_in.tell(order["account"], _who(order), _receipt(order)),
            "event": lambda stand_in, order: stand_in.event(order["account"], order["name"], **order.get("values", {})),
            "fault": lambda stand_in, order: stand_in.faults.add(**order),
            "clear_faults": lambda stand_in, _: stand_in.faults.clear(),
            "disturb": self._disturb,
            "change": self._change,
            **dict.fromkeys(_EXTRAS, self._extra),
        }

    @property
    def orders(self) -> tuple[str, ...]:
        """Names of all orders."""
        return tuple(self._orders)

    def run(self, stand_in: str, name: str, order: dict[str, Any]) -> dict[str, Any]:
        """Do it; raises WrongOrder."""
        if stand_in not in self._simulator.stand_ins:
            raise WrongOrder(f"no stand-in {stand_in!r}; there are {', '.join(self._simulator.stand_ins)}")
        if name not in self._orders:
            raise WrongOrder(f"no order {name!r}; there are {', '.join(self._orders)}")
        try:
            order = {"_name": name, **order} if name in _EXTRAS else order
            done = self._orders[name](self._simulator[stand_in], order)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise WrongOrder(f"{type(error).__name__}: {error}") from error
        return {"done": done if isinstance(done, str | int | list | dict) else True}

    def ledger(self, since: int = 0) -> list[dict[str, Any]]:
        """The attempts from the given one on."""
        return [dataclasses.asdict(line) for line in self._simulator.ledger[since:]]

    def state(self) -> dict[str, Any]:
        """Time, accounts, and what waits."""
        return {
            "now_ms": self._simulator.clock.now_ms,
            "next_moment_ms": self._simulator.engine.next_moment_ms(),
            "accounts": {name: sorted(one.accounts) for name, one in self._simulator.stand_ins.items()},
            "attempts": len(self._simulator.ledger),
        }

    def _create(self, stand_in: StandIn, order: dict[str, Any]) -> dict[str, Any]:
        account = stand_in.create(**order)
        plain = {name: value for name, value in account.about.items() if isinstance(value, str | int | list | tuple | None)}
        return {"id": account.id, "callback_url": account.callback_url, "secret": account.secret, "about": plain}

    def _disturb(self, stand_in: StandIn, order: dict[str, Any]) -> None:
        stand_in.disturbance = Disturbance(**order)

    def _change(self, stand_in: StandIn, order: dict[str, Any]) -> None:
        account = stand_in.accounts[order["account"]]
        account.callback_url = order.get("callback_url", account.callback_url)
        account.secret = order.get("secret", account.secret)
        account.about |= order.get("about", {})

    def _extra(self, stand_in: StandIn, order: dict[str, Any]) -> object:
        act = getattr(stand_in, order["_name"])
        given = {name: value for name, value in order.items() if name not in ("_name", "account", "person")}
        people = [_who(order)] if "person" in order else []
        done = act(order["account"], *people, **given)
        return dataclasses.asdict(done) if isinstance(done, Person) else done


def _who(order: dict[str, Any]) -> Person:
    given = dict(order.get("person", {}))
    made = person(int(given.pop("number", 1)))
    return dataclasses.replace(made, **given)


def _utterance(order: dict[str, Any]) -> Utterance:
    return Utterance(**{"kind": "text", "text": "oi", **order.get("utterance", {})})


def _receipt(order: dict[str, Any]) -> Receipt:
    return Receipt(**order["receipt"])
