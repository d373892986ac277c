"""WhatsApp unofficial as one record. See `receiving` (edge), `normalise` (router), `config` and `capabilities` (management).

Nothing is renewed: keys of these servers do not end, and a session that is lost needs a person with the phone.
"""

from __future__ import annotations

from shared.domain.enums import ConnectorType, TokenKind
from shared.providers.configuration import phone_identity
from shared.providers.contract import Provider
from shared.providers.whatsapp_unofficial.capabilities import CAPABILITIES
from shared.providers.whatsapp_unofficial.checking import CHECKING
from shared.providers.whatsapp_unofficial.config import (
    SETTINGS,
    account_refs,
    check_account_config,
    check_config,
)
from shared.providers.whatsapp_unofficial.describing import DESCRIBING
from shared.providers.whatsapp_unofficial.normalise import normalise
from shared.providers.whatsapp_unofficial.receiving import RECEIVING
from shared.providers.whatsapp_unofficial.redaction import REDACT
from shared.providers.whatsapp_unofficial.sending import SENDING
from shared.providers.whatsapp_unofficial.setting_up import SETTING_UP

PROVIDER = Provider(
    tipo=ConnectorType.WHATSAPP_UNOFFICIAL,
    receiving=RECEIVING,
    normalise=normalise,
    account_refs=account_refs,
    normalise_identity=phone_identity,
    check_config=check_config,
    check_account_config=check_account_config,
    settings=SETTINGS,
    required_token=TokenKind.API_KEY,
    capabilities=CAPABILITIES,
    redact=REDACT,
    sending=SENDING,
    checking=CHECKING,
    setting_up=SETTING_UP,
    describing=DESCRIBING,
)
