"""Health of a webchat: may any page show the widget, and does the other end take what we post?"""

from __future__ import annotations

from collections.abc import Mapping

from shared.domain.enums import ErrorClass, HealthStatus
from shared.providers.calling import CallContext, ProviderAnswer, ProviderCall, ProviderResponse
from shared.providers.checking import Checking, Graded
from shared.providers.webchat.sending import fault_of, signed_call

_PING = "ping"


def build(context: CallContext) -> tuple[ProviderCall, ...]:
    """A signed `ping`, which the other end answers and forgets; nothing without a `delivery_url`."""
    if not context.settings.get("delivery_url"):
        return ()
    return (signed_call(context, _PING, f"ping_{context.connector_id}_{context.now_ms}", {}, step=_PING),)


def grade(answers: Mapping[str, ProviderAnswer], context: CallContext) -> tuple[Graded, ...]:
    """One grade for the settings, one for the delivery. Never raises."""
    return _grade_widget(context), _grade_delivery(answers.get(_PING), context)


def _grade_widget(context: CallContext) -> Graded:
    settings = context.settings
    if not settings.get("widget_ids"):
        return Graded(check="widget", status=HealthStatus.FAILED, cause="widget_missing", action="fix_config")
    if settings.get("dialect", "browser") == "browser" and not settings.get("origins"):
        return Graded(check="widget", status=HealthStatus.FAILED, cause="origins_missing", action="fix_config")
    return Graded(check="widget", status=HealthStatus.PASSED, cause="ok")


def _grade_delivery(answer: ProviderAnswer | None, context: CallContext) -> Graded:
    if answer is None:
        configured = bool(context.settings.get("delivery_url"))
        status = None if configured else HealthStatus.WARNING
        cause = "not_asked" if configured else "delivery_url_missing"
        return Graded(check="delivery", status=status, cause=cause, action=None if configured else "fix_config")
    if isinstance(answer, ProviderResponse) and 200 <= answer.status < 300:
        return Graded(check="delivery", status=HealthStatus.PASSED, cause="ok")
    fault = fault_of(answer)
    final = fault.error_class in (ErrorClass.AUTH, ErrorClass.ACCOUNT_BLOCKED)
    status = HealthStatus.FAILED if final else HealthStatus.WARNING
    cause = "delivery_refused" if final else "delivery_unreachable"
    return Graded(check="delivery", status=status, cause=cause, action=fault.action, detail=fault.code)


CHECKING = Checking(
    build=build, grade=grade, connector_steps=frozenset({_PING}), connector_checks=frozenset({"widget", "delivery"})
)
