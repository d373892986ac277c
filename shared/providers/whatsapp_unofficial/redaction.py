"""Names under which these servers hand out credentials, and JSON without them.

Evolution writes its key into every body (`apikey`); answers about an instance hold its token. All of it stays in the sealed
record; whatever leaves it (fragments of dead letters, keys of events) passes here.
"""

from __future__ import annotations

from typing import Any

REMOVED = "[removed]"

# Fields and headers of all three dialects, in lower case.
REDACT = frozenset(
    {
        *("apikey", "api_key", "x-api-key", "authentication_api_key", "global_apikey"),
        *("authorization", "jwt_key", "x-channel-secret", "x-webhook-hmac", "z-api-token", "client-token", "clienttoken"),
        *("token", "hash", "access_token", "accesstoken", "instance_token", "instancetoken", "mediakey"),
        *("qrcode", "pairingcode", "base64", "challenge", "destination"),
    }
)
_MAX_DEPTH = 64


def without_credentials(value: Any, depth: int = 0) -> Any:
    """A copy whose fields of a name in REDACT say `[removed]`; what lies deeper than 64 levels is removed as a whole."""
    if depth > _MAX_DEPTH:
        return REMOVED
    if isinstance(value, dict):
        return {
            name: REMOVED if isinstance(name, str) and name.lower() in REDACT else without_credentials(inner, depth + 1)
            for name, inner in value.items()
        }
    return [without_credentials(inner, depth + 1) for inner in value] if isinstance(value, list) else value
