"""E-mail as one record. See `receiving` (edge), `normalise` (router), `config` and `capabilities` (management)."""

from __future__ import annotations

from shared.domain.enums import ConnectorType
from shared.providers.contract import Provider
from shared.providers.email.capabilities import CAPABILITIES
from shared.providers.email.checks import CHECKING
from shared.providers.email.config import SETTINGS, account_refs, check_account_config, check_config, normalise_identity
from shared.providers.email.normalise import normalise
from shared.providers.email.receiving import RECEIVING
from shared.providers.email.sending import SENDING
from shared.providers.email.tokens import RENEWING

PROVIDER = Provider(
    tipo=ConnectorType.EMAIL,
    receiving=RECEIVING,
    normalise=normalise,
    account_refs=account_refs,
    normalise_identity=normalise_identity,
    check_config=check_config,
    check_account_config=check_account_config,
    settings=SETTINGS,
    required_token=None,  # webhooks alone need none
    capabilities=CAPABILITIES,
    redact=frozenset(
        {
            "access_token",
            "authorization",
            "client_secret",
            "key",
            "password",
            "refresh_token",
            "signature",
            "token",
            "subscribeurl",
            "x-channels-key",
            "x-channels-signature",
            "x-twilio-email-event-webhook-signature",
        }
    ),
    sending=SENDING,
    renewing=RENEWING,
    checking=CHECKING,
)
