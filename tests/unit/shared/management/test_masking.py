"""What the audit log shows of a row."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shared.adapters.tables import ChannelConnector, ChannelToken, ChannelWebhook, DataKey
from shared.domain.enums import ConnectorStatus, ConnectorType, TokenKind, WebhookEvent, WebhookStatus
from shared.management.masking import columns_of, masked


@pytest.mark.req(2, 76)
def test_secrets_are_masked_and_the_rest_is_json() -> None:
    when = datetime(2026, 1, 2, tzinfo=UTC)
    token = ChannelToken(id="t", kind=TokenKind.API_KEY, valor_encrypted="canary", expires_at=when, extra={"scopes": ["a"]})
    shown = masked(columns_of(token))
    assert "valor_encrypted" not in shown
    assert (shown["kind"], shown["expires_at"], shown["metadata"]) == ("api_key", "2026-01-02T00:00:00+00:00", {"scopes": ["a"]})

    webhook = ChannelWebhook(evento=WebhookEvent.MESSAGE_IN, segredo="canary", status=WebhookStatus.ACTIVE, url="https://x")
    assert masked(columns_of(webhook))["segredo"] == "***"
    assert masked(columns_of(ChannelWebhook(segredo=None)))["segredo"] is None
    assert masked(columns_of(DataKey(wrapped="canary")))["wrapped"] == "***"

    config = {
        "imap": {"password": "canary", "port": 993},
        "list": [{"api_key": "canary"}],
        "n": None,
        "passwords": ["canary", {"of": "canary"}],
    }
    connector = ChannelConnector(tipo=ConnectorType.EMAIL, status=ConnectorStatus.PENDING, config=config)
    shown = masked(columns_of(connector))["config"]
    assert shown == {
        "imap": {"password": "***", "port": 993},
        "list": [{"api_key": "***"}],
        "n": None,
        "passwords": ["***", {"of": "***"}],
    }
