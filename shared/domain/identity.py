"""Who calls, for which tenant, and what that caller may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shared.domain.errors import Forbidden


class Permission(StrEnum):
    """What a token may grant. None contains another: a caller that reads and changes carries both."""

    READ = "channel.read"  # see what is registered, usage, checks, mappings
    MANAGE = "channel.manage"  # change the configuration
    AUDIT = "channel.audit"  # read the audit log
    SECRETS = "channel.secrets"  # hand in or rotate credentials and receiving secrets (none is ever given back)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A caller whose token was verified. `permissions` holds values of `Permission`; `tenant_id` is a canonical UUID."""

    subject: str
    tenant_id: str
    permissions: frozenset[str]


def require(identity: Identity, permission: Permission | str) -> None:
    """Raise Forbidden unless the caller has this permission."""
    if permission not in identity.permissions:
        raise Forbidden(f"this needs the permission {permission}")
