"""Whose thresholds count: an account's own, else its connector's, else its tenant's, else the installation's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from services.health.decide import Policy
from shared.adapters.health_rows import SubjectRow

_NAMES = frozenset(field.name for field in fields(Policy))


class Policies:
    """`tenants`: tenant → thresholds that differ, by the names of Policy."""

    def __init__(self, default: Policy, tenants: Mapping[str, Mapping[str, int]]) -> None:
        self._default = default
        self._tenants = {tenant: replace(default, **_known(given)) for tenant, given in tenants.items()}

    def of(self, subject: SubjectRow) -> Policy:
        """The thresholds of one connector or account."""
        base = self._tenants.get(subject.tenant_id, self._default)
        given = _known(subject.config.get("health"))
        if subject.account_id is not None:
            given |= _known(subject.account_config.get("health"))
        return replace(base, **given) if given else base


def _known(given: Any) -> dict[str, int]:
    """What of it is a threshold; configs from before this release may hold anything."""
    if not isinstance(given, Mapping):
        return {}
    return {name: value for name, value in given.items() if name in _NAMES and type(value) is int and value >= 0}
