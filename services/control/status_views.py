"""What callers see of the present state of an account."""

from __future__ import annotations

import datetime as dt

from pydantic import BaseModel

from services.control.sync_views import SyncView
from services.control.views import CapabilityView, HealthCheckView, WebhookView
from shared.domain.enums import AccountStatus, ConnectorStatus, UsageType


class ConnectivityView(BaseModel):
    """Whether the account can work. `cause`: why it is pending, where its connector took it down."""

    connector: ConnectorStatus
    account: AccountStatus
    cause: str | None
    since: dt.datetime | None
    ultimo_heartbeat: dt.datetime | None
    last_check: HealthCheckView | None


class RouteView(BaseModel):
    """Where inbound goes; `state` is `open` or `paused`, the latter for `pause_cause`."""

    org_unit_id: str | None
    intake_flow_id: str | None
    state: str
    pause_cause: str | None
    paused_since: dt.datetime | None
    fallback: str | None


class LimitsView(BaseModel):
    """What the account may do, and what was counted on this day of the tenant."""

    capabilities: list[CapabilityView]
    today: dt.date
    used_today: dict[UsageType, int]


class DescriptionView(BaseModel):
    """What the provider said last of the account, in its own codes; null where it said nothing. `changed_at`: when it was new.
    `nome_exibicao_manual`: a person set the name, so that it does not follow `display_name`."""

    nome_exibicao_manual: bool
    display_name: str | None
    verified_name: str | None
    tier: str | None
    throughput: str | None
    quality: str | None
    app_id: str | None
    changed_at: dt.datetime | None


class QueueView(BaseModel):
    """Webhooks and mails that were accepted and are not settled yet, counted one by one. `depth`: of the connector, because
    whose they are is known only once they are opened; `to_own_address`: of these, posted to the account's own `webhook_url`.
    `complete` false: at least so many."""

    depth: int
    to_own_address: int
    complete: bool
    oldest_at: dt.datetime | None
    counted_at: dt.datetime


class AccountStatusView(BaseModel):
    """What is known of an account right now. `syncs`: what is registered at the provider for it. `queue` null: Kafka does not
    answer, or the API runs without it."""

    account_id: str
    connector_id: str
    connectivity: ConnectivityView
    route: RouteView
    described: DescriptionView
    limits: LimitsView
    webhooks: list[WebhookView]
    syncs: list[SyncView]
    queue: QueueView | None
