"""The providers, by name: adding one adds a folder and its name in `names.py`.

`PROVIDERS` is loaded at its first use, because every import of `shared.providers.receiving` runs this file first and
the edge must not load a normaliser.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from shared.domain.enums import ConnectorType
from shared.domain.errors import InvalidInput

if TYPE_CHECKING:
    from shared.providers.contract import Provider

    PROVIDERS: tuple[Provider, ...]

__all__ = ["PROVIDERS", "provider_of"]


def __getattr__(name: str) -> object:
    if name == "PROVIDERS":
        from shared.providers.registry import PROVIDERS  # late: it loads every normaliser

        return PROVIDERS
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@lru_cache(maxsize=64)  # asked for each record; an import that is done already still costs more than the rest of the look-up
def provider_of(tipo: ConnectorType | str) -> Provider:
    """The provider of one connector type; raises InvalidInput (`tipo_unknown`, `tipo_reserved`) where there is none."""
    from shared.providers.registry import PROVIDERS  # late: it loads every normaliser

    for provider in PROVIDERS:
        if provider.tipo == tipo:
            return provider
    reserved = tipo == ConnectorType.FUTURE
    raise InvalidInput(
        f"no provider for connector type {str(tipo)[:64]!r}",
        reason="tipo_reserved" if reserved else "tipo_unknown",
        pointer="/tipo",
    )
