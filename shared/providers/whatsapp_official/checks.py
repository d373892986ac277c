"""Health of a number of Meta's: four questions, and how the answers are graded (providers.md 1.5).

Source: https://developers.facebook.com/documentation/business-messaging/whatsapp/support/health-status. SIP-only errors
(138024, 138025) make Meta's overall value BLOCKED although messages go through: each entity is graded by its own value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.domain.enums import ErrorClass, HealthStatus
from shared.providers.calling import CallContext, Placement, ProviderAnswer, ProviderCall, TransportFault, json_object
from shared.providers.checking import Checking, Graded
from shared.providers.cleaning import MAX_CODE_CHARACTERS, clean_text
from shared.providers.whatsapp_official.graph import ACCESS_TOKEN, app_call, app_token, fault_of, graph_call, number_id, setting

_FAILED, _WARNING, _PASSED = HealthStatus.FAILED, HealthStatus.WARNING, HealthStatus.PASSED
_FIELDS = (
    *("id", "display_phone_number", "verified_name", "quality_rating", "status", "name_status", "code_verification_status"),
    *("platform_type", "throughput", "health_status"),
)
_UNREACHABLE = frozenset({ErrorClass.RETRYABLE, ErrorClass.UNKNOWN_OUTCOME, ErrorClass.RATE_LIMITED})
_STATES = {
    "CONNECTED": _PASSED,
    "FLAGGED": _WARNING,
    "PENDING": _WARNING,
    "RATE_LIMITED": _WARNING,
    "UNVERIFIED": _WARNING,
    "BANNED": _FAILED,
    "DELETED": _FAILED,
    "DISCONNECTED": _FAILED,
    "MIGRATED": _FAILED,
    "RESTRICTED": _FAILED,
}
_QUALITIES = {"YELLOW": _WARNING, "RED": _WARNING}
_ABILITIES = {"LIMITED": _WARNING, "BLOCKED": _FAILED}
_SIP_ERRORS = frozenset({138024, 138025})
_ENTITY_ACTIONS = {141006: "fix_payment", 141010: "verify_business", 141002: "check_template"}
_NEEDED_SCOPES = frozenset({"whatsapp_business_messaging", "whatsapp_business_management"})
_SOON_SECONDS = 7 * 86_400


def build_checks(context: CallContext) -> tuple[ProviderCall, ...]:
    """Number and subscription; the token's own data where the app's id is set. About every ten minutes at most.

    Without that id, and where `projeto_referencia` names an app, the token's app alone is asked for.
    """
    calls = [
        graph_call("number", "GET", context, number_id(context), query={"fields": ",".join(_FIELDS)}, idempotent=True),
        graph_call("subscription", "GET", context, f"{setting(context, 'waba_id')}/subscribed_apps", idempotent=True),
    ]
    app_id = context.settings.get("app_id")
    if app_id:
        placements = (Placement(credential=ACCESS_TOKEN, place="query", name="input_token"), app_token(app_id))
        calls.append(graph_call("token", "GET", context, "debug_token", placements=placements, idempotent=True))
    elif context.project is not None:
        calls.append(app_call(context))
    return tuple(calls)


def grade(answers: Mapping[str, ProviderAnswer], context: CallContext) -> tuple[Graded, ...]:
    """One result for each question that was asked."""
    found: list[Graded] = []
    for step, read in (("number", _number), ("subscription", _subscription), ("token", _token), ("app", _app)):
        answer = answers.get(step)
        if answer is None:
            continue
        faulty = _faulty(step, answer)
        found.append(faulty if faulty is not None else read(_document(answer), context))
    return tuple(found)


def _document(answer: ProviderAnswer) -> dict[str, Any]:
    return {} if isinstance(answer, TransportFault) else json_object(answer.body)


def _faulty(check: str, answer: ProviderAnswer) -> Graded | None:
    fault = fault_of(answer)
    if fault is None:
        return None
    if fault.error_class in _UNREACHABLE:
        return Graded(check=check, status=None, cause="unreachable", detail=fault.code)
    return Graded(check=check, status=_FAILED, cause=fault.error_class.value, action=fault.action, detail=fault.code)


def _number(document: dict[str, Any], context: CallContext) -> Graded:  # noqa: ARG001 - one signature for all questions
    """The worst of what Meta says of the number; the first cause of that grade is named."""
    state, quality = _word(document, "status"), _word(document, "quality_rating")
    platform, name = _word(document, "platform_type"), _word(document, "name_status")
    grades = [Graded(check="number", status=_STATES.get(state, _WARNING), cause=f"status_{state.lower()}", action="see_account")]
    if platform and platform != "CLOUD_API":
        grades.append(Graded(check="number", status=_FAILED, cause="not_on_cloud_api", action="register_number", detail=platform))
    grades += _entities(document)
    if quality in _QUALITIES:
        grades.append(Graded(check="number", status=_QUALITIES[quality], cause=f"quality_{quality.lower()}", action="slow_down"))
    if name in ("DECLINED", "EXPIRED", "NON_EXISTS"):
        grades.append(Graded(check="number", status=_WARNING, cause=f"name_{name.lower()}", action="approve_display_name"))
    for status in (_FAILED, _WARNING):
        for graded in grades:
            if graded.status is status:
                return graded
    return Graded(check="number", status=_PASSED, cause="connected")


def _word(document: dict[str, Any], name: str) -> str:
    value = document.get(name)
    return (clean_text(value, MAX_CODE_CHARACTERS) or "") if isinstance(value, str) else ""


def _entities(document: dict[str, Any]) -> list[Graded]:
    health = document.get("health_status")
    entities = health.get("entities") if isinstance(health, dict) else None
    return [
        graded
        for entity in (entities if isinstance(entities, list) else ())
        if isinstance(entity, dict) and (graded := _entity(entity)) is not None
    ]


def _entity(entity: dict[str, Any]) -> Graded | None:
    status = _ABILITIES.get(_word(entity, "can_send_message"))
    listed = entity.get("errors")
    codes = [error.get("error_code") for error in listed if isinstance(error, dict)] if isinstance(listed, list) else []
    telling = [code for code in codes if isinstance(code, int) and code not in _SIP_ERRORS]
    if status is None or (codes and not telling):
        return None
    kind = _word(entity, "entity_type").lower() or "entity"
    action = next((_ENTITY_ACTIONS[code] for code in telling if code in _ENTITY_ACTIONS), "see_account")
    detail = ",".join(str(code) for code in telling) or None
    return Graded(
        check="number", status=status, cause=f"{kind}_{_word(entity, 'can_send_message').lower()}", action=action, detail=detail
    )


def _subscription(document: dict[str, Any], context: CallContext) -> Graded:
    """Without a subscription nothing is received, however healthy the number is."""
    listed = document.get("data")
    apps = [app.get("whatsapp_business_api_data") for app in listed if isinstance(app, dict)] if isinstance(listed, list) else []
    ids = [app.get("id") for app in apps if isinstance(app, dict)]
    app_id = context.settings.get("app_id")
    if (app_id in ids) if app_id else bool(apps):
        if _goes_elsewhere(listed, app_id, context.connector_id):
            return Graded(check="subscription", status=_FAILED, cause="subscription_mismatch", action="set_up_webhook")
        return Graded(check="subscription", status=_PASSED, cause="subscribed")
    return Graded(check="subscription", status=_FAILED, cause="not_subscribed", action="set_up_webhook")


def _goes_elsewhere(listed: object, app_id: str | None, connector_id: str) -> bool:
    """Whether our app's events are sent to an address of their own that is not this connector's."""
    for app in listed if isinstance(listed, list) else ():
        about = app.get("whatsapp_business_api_data") if isinstance(app, dict) else None
        if isinstance(about, dict) and (app_id is None or about.get("id") == app_id):
            address = app.get("override_callback_uri")
            if isinstance(address, str) and address and f"/webhooks/{connector_id}" not in address:
                return True
    return False


def _token(document: dict[str, Any], context: CallContext) -> Graded:
    data = document.get("data")
    token = data if isinstance(data, dict) else {}
    if token.get("is_valid") is not True:
        return Graded(check="token", status=_FAILED, cause="token_invalid", action="renew_token")
    scopes = token.get("scopes")
    missing = sorted(scope for scope in _NEEDED_SCOPES if scope not in (scopes if isinstance(scopes, list) else ()))
    if missing:
        return Graded(
            check="token", status=_WARNING, cause="permission_missing", action="grant_permission", detail=",".join(missing)
        )
    if not _is_target(token, setting(context, "waba_id")):
        return Graded(check="token", status=_FAILED, cause="business_account_not_granted", action="grant_permission")
    app_id = token.get("app_id")
    if context.project is not None and isinstance(app_id, str) and app_id != context.project:
        return Graded(check="token", status=_WARNING, cause="app_mismatch", action="check_app")
    ends = token.get("expires_at")
    left = ends - context.now_ms / 1000 if isinstance(ends, int) and ends > 0 else None
    if left is not None and left < _SOON_SECONDS:
        return Graded(check="token", status=_WARNING, cause="token_expires_soon", action="renew_token")
    return Graded(check="token", status=_PASSED, cause="token_valid")


def _app(document: dict[str, Any], context: CallContext) -> Graded:
    if document.get("id") == context.project:
        return Graded(check="app", status=_PASSED, cause="app_same")
    return Graded(check="app", status=_WARNING, cause="app_mismatch", action="check_app")


def _is_target(token: dict[str, Any], waba_id: str) -> bool:
    """Whether the token may speak for this business account; an absent list of targets means all."""
    granular = token.get("granular_scopes")
    for scope in granular if isinstance(granular, list) else ():
        if isinstance(scope, dict) and scope.get("scope") in _NEEDED_SCOPES:
            targets = scope.get("target_ids")
            if isinstance(targets, list) and waba_id not in targets:
                return False
    return True


_WHOLE = frozenset({"subscription", "token", "app"})
CHECKING = Checking(build=build_checks, grade=grade, connector_steps=_WHOLE, connector_checks=_WHOLE)
