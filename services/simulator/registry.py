"""The stand-ins of this release."""

from __future__ import annotations

from services.simulator.meta import Meta
from services.simulator.stand_in import StandIn
from services.simulator.telegram import Telegram

STAND_INS: tuple[type[StandIn], ...] = (Meta, Telegram)
