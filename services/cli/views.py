"""What commands show of a row: the fields that the management API shows, under the same names. No credential is in any."""

from __future__ import annotations

from typing import Any

from shared.adapters.tables import Base, ChannelAccount, ChannelCapability, ChannelToken, ChannelWebhook
from shared.management.masking import columns_of, masked
from shared.management.pauses import pause_of
from shared.management.tokens import renewal_of

_LEFT_OUT = frozenset({"tenant_id", "segredo"})  # the caller named the tenant; of a webhook's secrets only whether there are any
_FINGERPRINT = "fingerprint"  # tells whether a credential is known already; nobody outside has a use for it


def seen(row: Base) -> dict[str, Any]:
    """Column -> JSON value, in the order of the table."""
    columns = columns_of(row)
    view = masked({name: value for name, value in columns.items() if name not in _LEFT_OUT})
    if isinstance(row, ChannelAccount):
        view |= pause_of(row)
    if isinstance(row, ChannelCapability):
        view["manual"] = row.manual or []
    if isinstance(row, ChannelWebhook):
        view["has_secret"] = bool(row.segredo)
    if isinstance(row, ChannelToken):
        view["metadata"] = {name: value for name, value in (view["metadata"] or {}).items() if name != _FINGERPRINT} or None
        view["renewal"] = renewal_of(row)
    return view
