"""What the edge imports: the `Receiving` record of every provider, and nothing that parses a payload."""

from __future__ import annotations

from importlib import import_module

from shared.domain.enums import ConnectorType
from shared.providers.contract import Receiving
from shared.providers.names import FOLDERS

RECEIVING: tuple[Receiving, ...] = tuple(import_module(f"shared.providers.{folder}.receiving").RECEIVING for folder in FOLDERS)

_BY_TYPE = {receiving.tipo: receiving for receiving in RECEIVING}


def receiving_of(tipo: ConnectorType) -> Receiving | None:
    """The receiving record of one connector type, or None where this release has no provider for it."""
    return _BY_TYPE.get(tipo)
