"""Describing: what a provider says of an account itself: its name, its tier, and what the connector can do by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from shared.domain.enums import Feature
from shared.providers.calling import CallContext, Fault, ProviderAnswer, ProviderCall


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureState:
    """What the provider says of one feature of this account.

    `enabled` None: it says nothing. `constraints`: single members of the feature's limits (`LIMITS_OF`), numbers and
    truths alone; None takes a limit away (there is none), a member that is not named is not spoken of.
    """

    feature: Feature
    enabled: bool | None = None
    constraints: Mapping[str, int | float | bool | None] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountDescription:
    """One account in the provider's words; None where it does not say. All texts are cleaned and bounded.

    `tier`, `throughput` and `quality` are the provider's own codes. `app_id`: which app its credential belongs to.
    `fault`: a call did not work, then the rest is what the others told.
    """

    display_name: str | None = None
    verified_name: str | None = None
    tier: str | None = None
    throughput: str | None = None
    quality: str | None = None
    app_id: str | None = None
    features: tuple[FeatureState, ...] = ()
    fault: Fault | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Describing:
    """`build` gives the calls for one account (all idempotent; raises InvalidInput where a setting is missing).

    `read` takes the answers by step and never raises.
    """

    build: Callable[[CallContext], tuple[ProviderCall, ...]]
    read: Callable[[Mapping[str, ProviderAnswer], CallContext], AccountDescription]
