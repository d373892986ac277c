"""Sending in the connector's dialect: one call per order, and what its answer means.

None of these servers takes an idempotency key, so a `send` whose answer was lost is of unknown outcome. Marks, edits and
deletions can simply be done again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.domain.enums import ErrorClass
from shared.providers.calling import (
    CallContext,
    Fault,
    ProviderAnswer,
    ProviderCall,
    ProviderResponse,
    TransportFault,
    json_object,
)
from shared.providers.sending import Accepted, OutboundKind, Rejected, Sending, SendOrder, SendOutcome, UnknownOutcome
from shared.providers.whatsapp_unofficial.evolution import sending as evolution
from shared.providers.whatsapp_unofficial.servers import dialect_of, fault_of
from shared.providers.whatsapp_unofficial.waha import sending as waha
from shared.providers.whatsapp_unofficial.zapi import sending as zapi


@dataclass(frozen=True, slots=True)
class _Dialect:
    build: Callable[[SendOrder, CallContext], ProviderCall]
    accepted: Callable[[dict[str, Any]], Accepted | None]
    finer: Callable[[Fault, ProviderResponse], Fault]


_DIALECTS = {
    "evolution": _Dialect(evolution.build, evolution.accepted, evolution.finer),
    "waha": _Dialect(waha.build, waha.accepted, waha.finer),
    "zapi": _Dialect(zapi.build, zapi.accepted, zapi.finer),
}


def build_send(order: SendOrder, context: CallContext) -> tuple[ProviderCall, ...]:
    """The call of one order; raises InvalidInput (`cannot_send`, `setting_missing`)."""
    return (_DIALECTS[dialect_of(context)].build(order, context),)


def read_send(call: ProviderCall, answer: ProviderAnswer) -> SendOutcome:
    """What became of the call; the dialect stands at the beginning of its step."""
    dialect, _, step = call.step.partition("_")
    fault = fault_of(answer)
    if isinstance(answer, TransportFault) or fault is not None:
        fault = fault or Fault(error_class=ErrorClass.UNKNOWN_OUTCOME)
        if not isinstance(answer, TransportFault):
            fault = _DIALECTS[dialect].finer(fault, answer)
        return _not_accepted(call, fault)
    if step != "send":
        return Accepted()
    found = _DIALECTS[dialect].accepted(json_object(answer.body))
    if found is None:  # it said yes and not to what: the webhook will tell
        return UnknownOutcome(fault=Fault(error_class=ErrorClass.UNKNOWN_OUTCOME, code="no_message_id"))
    return found


def _not_accepted(call: ProviderCall, fault: Fault) -> SendOutcome:
    if fault.error_class is not ErrorClass.UNKNOWN_OUTCOME:
        return Rejected(fault=fault)
    if call.idempotent:
        return Rejected(fault=Fault(error_class=ErrorClass.RETRYABLE, code=fault.code, detail=fault.detail, scope="account"))
    return UnknownOutcome(fault=fault)


SENDING = Sending(
    kinds=frozenset(OutboundKind) - {OutboundKind.EMAIL, OutboundKind.TEMPLATE},
    build=build_send,
    read=read_send,
)
