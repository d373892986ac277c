"""Connectors whose provider answers for accounts alone (unofficial WhatsApp, mail): what their accounts say of the whole. Pure.

Such a connector is in error while every account of it that is turned on steps aside: its breaker is not closed and its route is
paused. The accounts' own streaks are the patience in it, so the whole has none of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.health.decide import Finding, MoveConnector, cause_of_pause
from shared.domain.enums import ConnectorStatus, ConnectorType, HealthStatus
from shared.providers import provider_of

_DOWN = "accounts_down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """How many accounts of a connector are on (active, or pending only because the connector is in error), and step aside."""

    on: int
    down: int

    @property
    def all_down(self) -> bool:
        """Whether none is left; of no accounts nothing can be said."""
        return 0 < self.on == self.down


def is_judged_by_accounts(tipo: ConnectorType) -> bool:
    """Whether the provider has nothing to say of a connector as a whole."""
    checking = provider_of(tipo).checking
    return checking is not None and not checking.connector_steps and not checking.connector_checks


def finding_of(asked: Finding, accounts: Accounts) -> Finding:
    """What the connector's own check tells. A warning: it has no streak, and must not keep the connector from coming back."""
    if not accounts.all_down:
        return asked
    return Finding(check="accounts", status=HealthStatus.WARNING, cause=_DOWN, action="see_accounts")


def whole_effect(accounts: Accounts, status: ConnectorStatus, *, owns: bool, opened: bool) -> MoveConnector | None:
    """What follows for the connector. `opened`: an account's breaker has just opened. `owns`: we hold the connector in error.

    Only an opening leads into error, so that a person who activates the connector meanwhile is not overruled by the next check.
    """
    if opened and accounts.all_down and status is ConnectorStatus.ACTIVE:
        return MoveConnector(status=ConnectorStatus.ERROR, cause=cause_of_pause(_DOWN))
    if owns and not accounts.all_down and status is ConnectorStatus.ERROR:
        return MoveConnector(status=ConnectorStatus.ACTIVE, cause="health_recovered")
    return None


def is_settled(accounts: Accounts, status: ConnectorStatus, *, owns: bool) -> bool:
    """Whether the connector's own check has nothing to follow up: what we hold is in error, and with reason."""
    return not owns or (accounts.all_down and status is ConnectorStatus.ERROR)
