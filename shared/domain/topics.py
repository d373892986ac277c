"""The topics, by the owner's names. `schemas/topics/` holds one declaration for each."""

from __future__ import annotations

from enum import StrEnum


class Topic(StrEnum):
    """Topic name without the deployment's prefix; topic name = event type."""

    WEBHOOK_RECEIVED = "channels.webhook.received"
    WEBHOOK_RECEIVED_DLQ = "channels.webhook.received.dlq"
    MESSAGE_RECEIVED = "message.received"
    DELIVERY_UPDATED = "delivery.updated"
    CONTACT_UPDATED = "contact.updated"
    INTAKE_REQUESTED = "automation.intake.requested"
    INTAKE_COMPLETED = "automation.intake.completed"
    INTAKE_COMPLETED_DLQ = "automation.intake.completed.dlq"
    AUDIT = "channels.audit"
    SYNC_REQUIRED = "channel.account.sync_required"
    CONNECTOR_STATUS_CHANGED = "channel.connector.status_changed"
    TOKEN_EXPIRING = "channel.token.expiring"
    HEALTH_CHECKED = "channel.health.checked"
    ROUTE_STATUS_CHANGED = "channel.route.status_changed"
    CONNECTOR_SNAPSHOT = "channel.connector.snapshot"
    ACCOUNT_SNAPSHOT = "channel.account.snapshot"
    ORG_UNIT_SNAPSHOT = "organization.org_unit.snapshot"
    FLOW_SNAPSHOT = "automation.flow.snapshot"


# What the outbox carries as it was written down, one event for each row; its other topics tell the present state of a subject.
OUTBOX_EVENTS = frozenset(
    {
        *(Topic.CONNECTOR_STATUS_CHANGED, Topic.TOKEN_EXPIRING, Topic.HEALTH_CHECKED, Topic.ROUTE_STATUS_CHANGED),
        Topic.SYNC_REQUIRED,
    }
)
