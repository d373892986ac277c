"""WhatsApp official as one record. See `receiving` (edge), `normalise` (router), `config` and `capabilities` (management)."""

from __future__ import annotations

from shared.domain.enums import ConnectorType, TokenKind
from shared.providers.configuration import phone_identity
from shared.providers.contract import Provider
from shared.providers.whatsapp_official.capabilities import CAPABILITIES
from shared.providers.whatsapp_official.checks import CHECKING
from shared.providers.whatsapp_official.config import (
    SETTINGS,
    account_refs,
    check_account_config,
    check_config,
)
from shared.providers.whatsapp_official.describing import DESCRIBING
from shared.providers.whatsapp_official.normalise import normalise
from shared.providers.whatsapp_official.receiving import RECEIVING
from shared.providers.whatsapp_official.sending import SENDING
from shared.providers.whatsapp_official.setup import SETTING_UP
from shared.providers.whatsapp_official.tokens import RENEWING

PROVIDER = Provider(
    tipo=ConnectorType.WHATSAPP_OFFICIAL,
    receiving=RECEIVING,
    normalise=normalise,
    account_refs=account_refs,
    normalise_identity=phone_identity,
    check_config=check_config,
    check_account_config=check_account_config,
    settings=SETTINGS,
    required_token=TokenKind.ACCESS_TOKEN,
    capabilities=CAPABILITIES,
    sending=SENDING,
    renewing=RENEWING,
    checking=CHECKING,
    setting_up=SETTING_UP,
    describing=DESCRIBING,
    redact=frozenset(
        {
            "access_token",
            "app_secret",
            "appsecret_proof",
            "authorization",
            "client_secret",
            "fb_exchange_token",
            "hub.verify_token",
            "input_token",
            "pin",
            "revoke_token",
            "verify_token",
            "x-hub-signature",
            "x-hub-signature-256",
        }
    ),
)
