"""Webchat as one record. See `receiving` (edge), `normalise` (router), `sending`, `checking`, `config` and `capabilities`."""

from __future__ import annotations

from shared.domain.enums import ConnectorType
from shared.providers.contract import Provider
from shared.providers.webchat.capabilities import CAPABILITIES
from shared.providers.webchat.checking import CHECKING
from shared.providers.webchat.config import SETTINGS, account_refs, check_account_config, check_config, normalise_identity
from shared.providers.webchat.normalise import normalise
from shared.providers.webchat.receiving import RECEIVING
from shared.providers.webchat.sending import SENDING

# Without `renewing`: the delivery secret does not end. Without `setting_up`: nobody else holds our address; the site's
# owner puts the widget into the page.
PROVIDER = Provider(
    tipo=ConnectorType.WEBCHAT,
    receiving=RECEIVING,
    normalise=normalise,
    account_refs=account_refs,
    normalise_identity=normalise_identity,
    check_config=check_config,
    check_account_config=check_account_config,
    settings=SETTINGS,
    required_token=None,  # it takes visitors in without; only what we post to `delivery_url` is signed with one
    capabilities=CAPABILITIES,
    redact=frozenset({"authorization", "cookie", "secret", "token", "user_hash", "webhook-signature"}),
    sending=SENDING,
    checking=CHECKING,
)
