"""What an e-mail provider tells of a mail that went out, in one form for all of them: a receipt, or a connector event.

Opens and clicks are no receipts: a program that loads pictures opens every mail, so `read` is never said because of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.domain.enums import AliasKind, ConnectorEventName, DeliveryStatus, HealthStatus, WebhookEvent
from shared.domain.items import Alias, ConnectorEventItem, PoisonItem, ReceiptItem
from shared.providers.cleaning import MAX_CODE_CHARACTERS, MAX_NAME_CHARACTERS, clean_text, exact_text
from shared.providers.documents import Malformed, fingerprint
from shared.providers.email.bounces import enhanced_status, error_class, reply_code
from shared.providers.email.decoding import addresses, normal_address, unstructured
from shared.providers.email.items import poison
from shared.providers.email.received import refs_of

# What we add when we send (`X-Mailgun-Variables`, `X-SMTPAPI`, `X-PM-Metadata-…`, SES tags) and get back in each event.
VARIABLE_MESSAGE = "channels-message-id"
VARIABLE_ACCOUNT = "channels-account"
ANY_ACCOUNT = "any"  # the account of the connector that takes what names none


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One event. `sender`: our own address; `once`: what repeats share; `variables`: ours, if they came back."""

    path: str
    event: str
    once: str
    time_ms: int | None = None
    message_id: str | None = None
    recipient: str | None = None
    sender: str | None = None
    status_code: str | None = None
    diagnostic: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)


def account_refs(told: Told) -> tuple[str, ...]:
    """The account by our own variable or by the sender's address; at last the one that takes the rest."""
    given = (_variable(told, VARIABLE_ACCOUNT), told.sender)
    named = [entry.address for text in given if text for entry in addresses((text,), 1)]
    return (*refs_of(named), ANY_ACCOUNT)


def receipt(told: Told, status: DeliveryStatus) -> ReceiptItem:
    """A receipt; raises Malformed (`id_missing`) for an event that names no mail."""
    identity = exact_text(told.message_id)
    if identity is None:
        raise Malformed("id_missing")
    recipient = normal_address(told.recipient)
    failed = status is DeliveryStatus.FAILED
    diagnostic = unstructured(told.diagnostic)
    code = enhanced_status(told.status_code, diagnostic) if failed else None
    return ReceiptItem(
        path=told.path,
        evento=WebhookEvent.MESSAGE_STATUS,
        account_refs=account_refs(told),
        dedup_key=f"{identity}:{status.value}:{recipient or ''}",
        provider_time_ms=told.time_ms,
        provider_message_id=identity,
        status=status,
        recipient=() if recipient is None else (Alias(kind=AliasKind.MAIL, value=recipient),),
        callback_data=exact_text(_variable(told, VARIABLE_MESSAGE)),
        error_class=error_class(code, told.status_code if reply_code(told.status_code) else diagnostic) if failed else None,
        error_code=(code or clean_text(told.status_code, MAX_CODE_CHARACTERS) or None) if failed else None,
        error_detail=clean_text(diagnostic, MAX_NAME_CHARACTERS) or None if failed else None,
    )


def bad_event(told: Told, fault: Malformed, element: object) -> PoisonItem:
    """An event that is not as documented."""
    return poison(told.path, fault.reason, element, account_refs(told), WebhookEvent.MESSAGE_STATUS)


def mail_event(told: Told, event: str) -> ConnectorEventItem:
    """Something about a mail that is no delivery status: a complaint, a delay, an opening."""
    values = {
        "event": event,
        "message_id": told.message_id or "",
        "recipient": normal_address(told.recipient) or "",
        **told.values,
    }
    return _connector_event(told, ConnectorEventName.MAIL_EVENT, WebhookEvent.DELIVERY, values)


def unknown_event(told: Told) -> ConnectorEventItem:
    """An event that this release does not know; it is counted by its name."""
    return _connector_event(told, ConnectorEventName.UNKNOWN, WebhookEvent.FALLBACK, dict(told.values))


def connector_event(
    told: Told, name: ConnectorEventName, values: Mapping[str, str], health: HealthStatus | None = None
) -> ConnectorEventItem:
    """Something about the connection itself."""
    return _connector_event(told, name, WebhookEvent.FALLBACK, dict(values), health)


def _connector_event(
    told: Told,
    name: ConnectorEventName,
    evento: WebhookEvent,
    values: Mapping[str, str],
    health: HealthStatus | None = None,
) -> ConnectorEventItem:
    return ConnectorEventItem(
        path=told.path,
        evento=evento,
        account_refs=account_refs(told),
        dedup_key=told.once,
        provider_time_ms=told.time_ms,
        name=name,
        provider_event=clean_text(told.event, MAX_CODE_CHARACTERS) or "missing",
        values={key: clean_text(text, 4 * MAX_CODE_CHARACTERS) or "" for key, text in values.items() if text},
        health=health,
    )


def _variable(told: Told, name: str) -> str | None:
    value = told.variables.get(name)
    return value if isinstance(value, str) else None


def once_of(event: Mapping[str, Any]) -> str:
    """What repeats of an event without an id share: its content."""
    try:
        return fingerprint(event)
    except Malformed as fault:  # nested beyond reason
        return fault.reason


def texts(value: object) -> Iterable[str]:
    """The texts of a list, or nothing."""
    return (part for part in value if isinstance(part, str)) if isinstance(value, list) else ()


def text(document: Mapping[str, Any], *path: str) -> str | None:
    """The text at a path of objects; None for anything else."""
    value: Any = document
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def seconds_ms(value: object) -> int | None:
    """Seconds since the epoch, as a number or text, in ms; None for what is no time of 1990 to 2100."""
    try:
        moment = int(float(value) * 1000) if isinstance(value, int | float | str) and not isinstance(value, bool) else 0
    except (ValueError, OverflowError):
        return None
    return moment if 631_152_000_000 <= moment < 4_102_444_800_000 else None
