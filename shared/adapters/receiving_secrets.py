"""`channel_webhook.segredo`: the receiving secrets of one webhook row, sealed as one text.

Inside: a JSON list of `{id, use, value, not_before, not_after}`; value in base64url, times in milliseconds since the epoch or
null. `id` is the secret's number in this row, which it keeps while others come and go; without it, its place in the list.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from shared.adapters.sealing import Aad, KeyRing, decode64, encode64
from shared.domain.enums import SecretUse
from shared.domain.errors import CorruptData
from shared.providers.contract import ReceivingSecret


def seal_segredo(ring: KeyRing, tenant_id: str, webhook_id: str, secrets: Sequence[ReceivingSecret]) -> str:
    """Seal the secrets in the order given; of an id `<webhook>/<number>` the number is stored, else the place in the list."""
    entries = [
        {
            "id": number if number is not None else place,
            "use": secret.use.value,
            "value": encode64(secret.value),
            "not_before": secret.not_before_ms,
            "not_after": secret.not_after_ms,
        }
        for place, secret in enumerate(secrets)
        for number in (number_of(webhook_id, secret.id),)
    ]
    return ring.seal_text(json.dumps(entries).encode(), _aad(tenant_id, webhook_id))


def open_segredo(ring: KeyRing, tenant_id: str, webhook_id: str, segredo: str) -> tuple[ReceivingSecret, ...]:
    """Open a sealed list. Raises SealBroken, Unavailable, and CorruptData for a list of another shape."""
    plain = ring.open_text(segredo, _aad(tenant_id, webhook_id))
    try:
        entries = enumerate(json.loads(plain))
        return tuple(_secret(f"{webhook_id}/{int(entry.get('id', index))}", entry) for index, entry in entries)
    except (ValueError, KeyError, TypeError, AttributeError):
        # No cause: a JSON error carries the text it failed on.
        raise CorruptData(f"segredo of webhook {webhook_id} is not a list of receiving secrets") from None


def number_of(webhook_id: str, secret_id: str) -> int | None:
    """The secret's number in its row; None for an id of another make."""
    row, _, number = secret_id.rpartition("/")
    return int(number) if row == webhook_id and number.isascii() and number.isdigit() else None


def _secret(secret_id: str, entry: dict[str, Any]) -> ReceivingSecret:
    return ReceivingSecret(
        id=secret_id,
        use=SecretUse(entry["use"]),
        value=decode64(entry["value"]),
        not_before_ms=entry["not_before"],
        not_after_ms=entry["not_after"],
    )


def _aad(tenant_id: str, webhook_id: str) -> Aad:
    return Aad(tenant_id, "channel_webhook", "segredo", webhook_id)
