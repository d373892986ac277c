"""What a check says to a person: cause and action, out of closed sets of texts. Of what a provider wrote only codes get in."""

from __future__ import annotations

import re

from services.health.decide import Finding, Standing, Verdict
from shared.domain.enums import HealthStatus

_CODE = re.compile(r"[A-Za-z0-9_,:./-]{1,60}")
_CAUSES = {
    "ok": "all is well",
    "connected": "connected",
    "number_same": "the linked number is the account's",
    "subscribed": "subscribed",
    "token_valid": "the credential is valid",
    "nothing_to_ask": "there is nothing to ask the provider",
    "traffic_usual": "messages come in as usual",
    "unreachable": "the provider cannot be reached or does not answer",
    "rate_limited": "the provider limits our calls",
    "retryable": "the provider has a fault that passes",
    "unknown_outcome": "the provider's answer was lost",
    "not_asked": "the provider was not asked",
    "auth": "the provider refuses our credential",
    "credential_refused": "the provider refuses our credential",
    "credential_missing": "a credential is missing",
    "credential_expired": "the credential has expired",
    "credential_closed": "the credential cannot be opened now",
    "setting_missing": "a setting is missing",
    "token_invalid": "the credential is not valid any more",
    "token_expires_soon": "the credential ends within a week",
    "token_expiring": "the credential ends soon and nothing renews it",
    "permission_missing": "the credential lacks a permission",
    "business_account_not_granted": "the credential may not speak for this business account",
    "app_mismatch": "the credential belongs to another app than projeto_referencia",
    "account_blocked": "the provider has blocked the account",
    "not_subscribed": "nobody is subscribed to the account's events, so nothing comes in",
    "webhook_missing": "no webhook is set at the provider, so nothing comes in",
    "subscription_mismatch": "the webhook at the provider points elsewhere",
    "updates_waiting": "many updates wait at the provider",
    "delivery_errors": "the provider has trouble delivering to us",
    "events_missing": "not all events are subscribed",
    "wrong_bot": "the credential is another bot's",
    "not_on_cloud_api": "the number is not on the Cloud API",
    "quality_red": "the number's quality is rated low (red)",
    "quality_yellow": "the number's quality is rated medium (yellow)",
    "status_flagged": "the number is flagged for its quality",
    "status_restricted": "the provider has restricted the number",
    "status_banned": "the provider has banned the number",
    "status_disconnected": "the number is disconnected",
    "disconnected": "the session is disconnected",
    "connecting": "the session is connecting",
    "pairing_needed": "the session has to be paired",
    "pairing_refused": "pairing was refused",
    "session_failed": "the session has failed",
    "session_stopped": "the session is stopped",
    "phone_offline": "the linked phone is offline",
    "number_other": "the session is linked to another number",
    "instance_unknown": "the server does not know the instance",
    "state_unknown": "the session's state is not known to us",
    "refused": "the provider refuses the question",
    "tls": "the server's certificate cannot be trusted",
    "starttls_missing": "the mail server does not offer STARTTLS",
    "mechanism_missing": "the mail server offers no way to log in that fits the configuration",
    "address_refused": "we do not call the server's address",
    "no_idle": "the mail server has no IDLE, so mail comes in later",
    "widget_missing": "no widget is configured",
    "origins_missing": "no page may show the widget",
    "delivery_url_missing": "replies have nowhere to go",
    "delivery_refused": "the receiver of replies refuses them",
    "delivery_unreachable": "the receiver of replies does not answer",
    "accounts_down": "all accounts of the connector are paused",
    "silent": "nothing has come in for hours in which messages are usual",
}
_ACTIONS = {
    "renew_token": "Make a new token at the provider and add it to the connector.",
    "replace_token": "Add the token of the configured bot.",
    "grant_permission": "Grant the permission at the provider.",
    "add_credential": "Add the credential to the connector.",
    "fix_config": "Correct the configuration.",
    "see_account": "Look at the account in the provider's console.",
    "see_restriction": "Look at the restriction in the provider's console.",
    "slow_down": "Send less, and only what is wanted, until the rating recovers.",
    "set_up_webhook": "Set up the webhook again (`channels connectors sync`).",
    "register_number": "Register the number on the Cloud API.",
    "approve_display_name": "Have the display name approved.",
    "fix_payment": "Repair the payment method at the provider.",
    "verify_business": "Have the business verified.",
    "check_template": "Look at the message template.",
    "check_number": "Compare the number's id in the account's config with the provider's.",
    "allow_address": "Correct the host, or have the installation allow its address (CHANNELS_HTTP_ALLOW).",
    "check_app": "Compare projeto_referencia with the app that the credential belongs to.",
    "check_instance": "Compare the instance's name with the server's.",
    "check_phone": "Bring the linked phone online.",
    "check_certificate": "Repair the server's certificate.",
    "pair_device": "Pair the device again.",
    "restart_session": "Restart the session.",
    "start_session": "Start the session.",
    "see_accounts": "Look at the checks of its accounts.",
    "check_traffic": "Send a message to the account and see whether it arrives.",
}


def message(finding: Finding, verdict: Verdict, before: Standing, unreachable_after: int) -> str:
    """One or two sentences: what was asked, how it went, what to do."""
    text = f"{finding.check}: {_CAUSES.get(finding.cause) or finding.cause.replace('_', ' ')}"
    if finding.detail is not None and _CODE.fullmatch(finding.detail):
        text += f" [{finding.detail}]"
    if finding.status is None and verdict.standing.unknowns < unreachable_after:
        kept = before.grade.value if before.grade else "unknown"
        return f"{text}. The grade stays {kept} ({verdict.standing.unknowns} of {unreachable_after})."
    action = _ACTIONS.get(finding.action or "")
    if verdict.grade is HealthStatus.FAILED and action is None:
        action = "See the connector's page in the provider's console." if finding.status else "Check the way to the provider."
    return f"{text}. {action}" if action else f"{text}."
