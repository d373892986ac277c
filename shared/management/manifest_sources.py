"""References in the place of secrets: which environment variable is to hold which secret, without the secret."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from shared.adapters.tables import ChannelConnector, ChannelWebhook
from shared.adapters.vault import Vault
from shared.domain.enums import SecretUse, WebhookEvent, WebhookStatus
from shared.management.manifest import SecretPart, WebhookPart
from shared.management.webhooks import known_secrets
from shared.providers.contract import ReceivingSecret

_MOST_LETTERS = 40  # of a tenant's or a connector's name in a variable's


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One variable, and what it is to hold, in words."""

    env: str
    told: str


@dataclass(slots=True)
class Sources:
    """All variables of one file; no two secrets share one."""

    sources: list[Source] = field(default_factory=list)
    _taken: set[str] = field(default_factory=set)

    def naming(self, tenant: str, connector: str) -> Names:
        """Names for one connector's secrets."""
        return Names(self, f"{_plain(tenant, 'TENANT')}_{_plain(connector, 'CONNECTOR')}", connector)

    def add(self, wanted: str, told: str) -> str:
        """A name like the wanted one that is still free."""
        name, number = wanted, 1
        while name in self._taken:
            number += 1
            name = f"{wanted}_{number}"
        self._taken.add(name)
        self.sources.append(Source(env=name, told=told))
        return name


@dataclass(slots=True)
class Names:
    """Of one connector: the same secret always gets the same name."""

    sources: Sources
    prefix: str
    connector: str
    _known: dict[object, str] = field(default_factory=dict)

    def of(self, what: str, secret: object) -> str:
        """The variable for a secret, told by anything that stands for it alone."""
        if secret not in self._known:
            told = f"the {what.replace('_', ' ')} of connector {self.connector!r}"
            self._known[secret] = self.sources.add(f"{self.prefix}_{what.upper()}", told)
        return self._known[secret]


def webhook_parts(
    session: Session,
    vault: Vault,
    connector: ChannelConnector,
    rows: Iterable[ChannelWebhook],
    names: Names,
    usual_url: str,
    *,
    actor: str,
) -> tuple[WebhookPart, ...]:
    """The connector's webhook rows; those with the same secrets, address and status are one part. Raises Unavailable."""
    groups: dict[tuple[object, ...], list[tuple[ChannelWebhook, Sequence[ReceivingSecret]]]] = {}
    for row in rows:
        secrets = known_secrets(session, vault, connector, row, actor=actor)
        same = tuple((one.use, one.value, one.not_before_ms, one.not_after_ms) for one in secrets)
        groups.setdefault((row.url, row.status, same), []).append((row, secrets))
    parts = []
    for members in groups.values():
        first, listed = members[0]
        parts.append(
            WebhookPart(
                events=tuple(sorted((row.evento for row, _ in members), key=list(WebhookEvent).index)),
                url=first.url if first.url != usual_url else None,
                status=first.status,
                secrets=tuple(_secret(one, names) for one in listed) or _lost(first, names),
            )
        )
    return tuple(parts)


def _secret(secret: ReceivingSecret, names: Names) -> SecretPart:
    what = "signing_secret" if secret.use is SecretUse.SIGN else "handshake_secret"
    return SecretPart(
        use=secret.use,
        id=secret.id,
        env=names.of(what, (secret.use, secret.value)),
        not_before=_time(secret.not_before_ms),
        not_after=_time(secret.not_after_ms),
    )


def _lost(row: ChannelWebhook, names: Names) -> tuple[SecretPart, ...]:
    # An active row whose secrets no key opens any more: a new one has to be given.
    if row.status is not WebhookStatus.ACTIVE:
        return ()
    return (SecretPart(use=SecretUse.SIGN, env=names.of("signing_secret", row.id)),)


def _time(at_ms: int | None) -> dt.datetime | None:
    return None if at_ms is None else dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC)


def _plain(name: str, otherwise: str) -> str:
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().upper()
    plain = re.sub(r"[^A-Z0-9]+", "_", letters).strip("_")[:_MOST_LETTERS].rstrip("_")
    return plain if plain and not plain[0].isdigit() else f"{otherwise}_{plain}".rstrip("_")
