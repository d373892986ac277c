"""Telegram as one record. See `receiving` (edge), `normalise` (router), `sending`, `checking`, `setting_up`, `config`."""

from __future__ import annotations

from shared.domain.enums import ConnectorType, TokenKind
from shared.providers.contract import Provider
from shared.providers.telegram.capabilities import CAPABILITIES
from shared.providers.telegram.checking import CHECKING
from shared.providers.telegram.config import SETTINGS, account_refs, check_account_config, check_config, normalise_identity
from shared.providers.telegram.describing import DESCRIBING
from shared.providers.telegram.normalise import normalise
from shared.providers.telegram.receiving import RECEIVING
from shared.providers.telegram.sending import SENDING
from shared.providers.telegram.setting_up import SETTING_UP

# Without `renewing`: a bot's token never ends; it is revoked with @BotFather and replaced by hand.
PROVIDER = Provider(
    tipo=ConnectorType.TELEGRAM,
    receiving=RECEIVING,
    normalise=normalise,
    account_refs=account_refs,
    normalise_identity=normalise_identity,
    check_config=check_config,
    check_account_config=check_account_config,
    settings=SETTINGS,
    required_token=TokenKind.ACCESS_TOKEN,
    capabilities=CAPABILITIES,
    redact=frozenset({"access_token", "authorization", "secret_token", "token", "x-telegram-bot-api-secret-token"}),
    sending=SENDING,
    checking=CHECKING,
    setting_up=SETTING_UP,
    describing=DESCRIBING,
)
