"""Setting up: register our webhook with the provider and read back what it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shared.domain.enums import SecretUse
from shared.providers.calling import CallContext, Fault, ProviderAnswer, ProviderCall


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupOrder:
    """What the provider shall have. Receiving secrets that it must know are placed as `handshake` or `sign`."""

    callback_url: str
    events: tuple[str, ...] = ()  # the provider's own names; empty: all that we understand


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupState:
    """What the provider has. `missing`: short codes of what it lacks (`callback_url`, `event:messages`, …).

    `by_hand`: what no call can do, as one sentence each for a person. `pending_count`: what waits at the provider.
    """

    registered_url: str | None
    missing: tuple[str, ...]
    by_hand: tuple[str, ...] = ()
    pending_count: int | None = None
    last_error: str | None = None
    fault: Fault | None = None  # a call did not work: then the rest says what is known anyway

    @property
    def complete(self) -> bool:
        """Nothing is missing and every call worked."""
        return self.fault is None and not self.missing


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingUp:
    """`build` registers (idempotent: done twice it changes nothing), `build_read_back` asks; `read` judges by step.

    `read` takes the answers of either, or of both, and never raises. `per_account`: each account has a registration of its own,
    else the connector has one. `registers`: uses of receiving secrets that a registration hands to the provider.
    """

    build: Callable[[SetupOrder, CallContext], tuple[ProviderCall, ...]]
    build_read_back: Callable[[CallContext], tuple[ProviderCall, ...]]
    read: Callable[[Mapping[str, ProviderAnswer], SetupOrder], SetupState]
    registers: frozenset[SecretUse]
    per_account: bool = False
