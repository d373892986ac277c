"""The opened receiving secrets and sealing keys of connectors: opened in a thread when first needed, kept per version."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import structlog

from shared.adapters.receiving_secrets import open_segredo
from shared.adapters.vault import KeyRing, Vault
from shared.domain.enums import KeyPurpose, SecretUse
from shared.domain.errors import ChannelsError, ConfigError, CorruptData, SealBroken, Unavailable
from shared.domain.snapshots import ConnectorSnapshot
from shared.providers.contract import ReceivingSecret

_THREADS = 4
_RETRY_SECONDS = 1.0  # a key service that is down is asked once a second per connector, not once per request


@dataclass(frozen=True, slots=True)
class OpenedConnector:
    """One version of a connector, ready to verify and to seal without blocking.

    `always`: the secrets of use `sign` where none of them has a beginning or an end; None where the time decides.
    """

    snapshot: ConnectorSnapshot
    ring: KeyRing
    secrets: tuple[ReceivingSecret, ...]
    always: tuple[ReceivingSecret, ...] | None = field(init=False)

    def __post_init__(self) -> None:
        signing = tuple(secret for secret in self.secrets if secret.use is SecretUse.SIGN)
        timeless = all(secret.not_before_ms is None and secret.not_after_ms is None for secret in signing)
        object.__setattr__(self, "always", signing if timeless else None)


class ConnectorKeys:
    """Cache of opened connectors, for one event loop. What was opened keeps working while the key service is away."""

    def __init__(self, vault: Vault, clock_seconds: Callable[[], float]) -> None:
        self._vault = vault
        self._now = clock_seconds
        self._opened: dict[str, OpenedConnector] = {}
        self._opening: dict[str, tuple[ConnectorSnapshot, asyncio.Future[OpenedConnector]]] = {}
        self._failed: dict[str, tuple[ConnectorSnapshot, float, ChannelsError]] = {}
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="open-keys")

    def ready(self, snapshot: ConnectorSnapshot) -> OpenedConnector | None:
        """The opened connector if exactly this version was opened already."""
        found = self._opened.get(snapshot.connector_id)
        return found if found is not None and found.snapshot is snapshot else None

    async def open(self, snapshot: ConnectorSnapshot) -> OpenedConnector:
        """Open this version; requests that come meanwhile share the attempt. Raises Unavailable."""
        key = snapshot.connector_id
        failed = self._failed.get(key)
        if failed is not None and failed[0] is snapshot and self._now() < failed[1]:
            raise failed[2].with_traceback(None)  # else each request would hang its frames, and itself, onto the error
        opening = self._opening.get(key)
        if opening is None or opening[0] is not snapshot:
            future = asyncio.get_running_loop().run_in_executor(self._threads, open_connector, self._vault, snapshot)
            opening = self._opening[key] = (snapshot, future)
            future.add_done_callback(lambda done: self._note(snapshot, done))
        return await asyncio.shield(opening[1])

    def forget(self, connector_id: str, tenant_id: str | None) -> None:
        """The connector is gone; with `tenant_id` also the tenant's keys (it was its last connector)."""
        self._opened.pop(connector_id, None)
        self._opening.pop(connector_id, None)  # what is being opened still serves who waits, and is not kept
        self._failed.pop(connector_id, None)
        if tenant_id is not None:
            self._vault.forget(tenant_id)

    def tenant_of(self, connector_id: str) -> str | None:
        """Tenant of a connector that was opened before."""
        opened = self._opened.get(connector_id)
        return None if opened is None else opened.snapshot.tenant_id

    def close(self) -> None:
        """Start nothing more; a call that hangs in a thread is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _note(self, snapshot: ConnectorSnapshot, done: asyncio.Future[OpenedConnector]) -> None:
        key = snapshot.connector_id
        if key not in self._opening or self._opening[key][0] is not snapshot:
            return  # a newer version is being opened
        del self._opening[key]
        if done.cancelled():
            return
        error = done.exception()
        if error is None:
            self._opened[key] = done.result()
            self._failed.pop(key, None)
        elif isinstance(error, ChannelsError):
            self._failed[key] = (snapshot, self._now() + _RETRY_SECONDS, error)


def open_connector(vault: Vault, snapshot: ConnectorSnapshot) -> OpenedConnector:
    """Open all secrets and the sealing key; blocks. One unreadable `segredo` does not shut out the others. Raises Unavailable."""
    log = structlog.get_logger().bind(connector_id=snapshot.connector_id, version=snapshot.version)
    ring = vault.ring(KeyPurpose.INGEST, snapshot.tenant_id, snapshot.ingest_keys)
    try:
        ring.warm()
    except (SealBroken, ConfigError) as error:
        log.error("data_key_unreadable", error=str(error))
        raise Unavailable(f"no data key of connector {snapshot.connector_id} can be opened") from error
    found: dict[tuple[object, ...], ReceivingSecret] = {}
    for webhook in snapshot.webhooks:
        if webhook.segredo is None:
            continue
        try:
            secrets = open_segredo(ring, snapshot.tenant_id, webhook.webhook_id, webhook.segredo)
        except (SealBroken, CorruptData, ConfigError) as error:
            log.error("segredo_unreadable", webhook_id=webhook.webhook_id, error=str(error))
            continue
        for secret in secrets:  # the rows of one connector usually hold the same secret: it is tried once
            found.setdefault((secret.use, secret.value, secret.not_before_ms, secret.not_after_ms), secret)
    return OpenedConnector(snapshot, ring, tuple(found.values()))
