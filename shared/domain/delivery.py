"""Receipts only move forward (design section 3, promise 6). Pure."""

from __future__ import annotations

from shared.domain.enums import DeliveryStatus

_RANK = {
    DeliveryStatus.ACCEPTED: 1,
    DeliveryStatus.SENT: 2,
    DeliveryStatus.FAILED: 3,  # only before delivered; a device that got the message overrides it
    DeliveryStatus.DELIVERED: 4,
    DeliveryStatus.READ: 5,
    DeliveryStatus.PLAYED: 6,
}


def rank(status: DeliveryStatus) -> int:
    """Place of a state in the one direction in which a message may move; higher wins."""
    return _RANK[status]


def moves_forward(status: DeliveryStatus, known: frozenset[DeliveryStatus] | set[DeliveryStatus]) -> bool:
    """True if `status` is news after all the states in `known` (of the same message and participant)."""
    return all(_RANK[status] > _RANK[other] for other in known)
