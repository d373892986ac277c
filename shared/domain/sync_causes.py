"""Causes of `channel.account.sync_required` that one service writes and another acts upon; and what their `detail` holds."""

from __future__ import annotations

from uuid import UUID

from shared.domain.records import RawPosition

TIER_CHANGED = "tier_changed"  # the provider speaks of the account's limits; detail: the names by which it calls the account
NAME_CHANGED = "name_changed"  # … of its display name
CERTIFICATE_MISSING = "certificate_missing"  # the edge needs a certificate to prove a message; detail: its address
CERTIFICATE_EXPIRED = "certificate_expired"  # … a newer one at the same address
SUBSCRIPTION_PENDING = (
    "subscription_pending"  # a topic waits for its confirmation; detail: where the request lies (`position_text`)
)

# Causes that ask for one call, which the detail names.
ERRANDS = frozenset({CERTIFICATE_MISSING, CERTIFICATE_EXPIRED, SUBSCRIPTION_PENDING})


def position_text(position: RawPosition) -> str:
    """Where a raw record lies, as a detail: `epoch/partition/offset`. Of its content it tells nothing."""
    return f"{position.epoch}/{position.partition}/{position.offset}"


def position_of(detail: str) -> RawPosition | None:
    """The position in a detail; None for text that is none."""
    epoch, *numbers = detail.split("/")
    if len(numbers) != 2 or not all(number.isascii() and number.isdigit() and len(number) < 20 for number in numbers):
        return None
    try:
        if str(UUID(epoch)) != epoch:
            return None
    except ValueError:
        return None
    return RawPosition(epoch=epoch, partition=int(numbers[0]), offset=int(numbers[1]))
