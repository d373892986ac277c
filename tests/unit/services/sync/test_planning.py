"""What is registered, with which secret, and what answers come to."""

from __future__ import annotations

from typing import Any

import pytest

from services.sync.planning import (
    AccountFacts,
    Facts,
    Policy,
    WebhookFacts,
    backoff_ms,
    callback_url,
    failure_of,
    is_registered,
    next_beginning,
    wanted_secrets,
)
from shared.domain.enums import ConnectorStatus, ConnectorType, ErrorClass, SecretUse, WebhookEvent, WebhookStatus
from shared.domain.syncing import SyncOutcome
from shared.providers.calling import Fault, ProviderResponse, TransportFault
from shared.providers.contract import ReceivingSecret
from shared.providers.setting_up import SetupState

NOW = 1_000_000
POLICY = Policy(first_backoff=5, longest_backoff=3_600, mismatch_attempts=3)
ANSWERED = (ProviderResponse(status=200, body=b"{}"),)


def webhook(evento: WebhookEvent, url: str, status: WebhookStatus = WebhookStatus.ACTIVE) -> WebhookFacts:
    return WebhookFacts(id=evento.value, evento=evento, url=url, status=status, segredo="sealed")


def facts(*webhooks: WebhookFacts, **changes: Any) -> Facts:
    values: dict[str, Any] = {
        "tenant_id": "t",
        "connector_id": "c",
        "tipo": ConnectorType.TELEGRAM,
        "status": ConnectorStatus.PENDING,
        "project": None,
        "config": {},
        "version": 1,
        "accounts": (AccountFacts(id="a", identidade="1", config={}, webhook_url="https://e.example/webhooks/c/a"),),
        "ingest_keys": (),
        "rotations": {},
    }
    return Facts(**{**values, "webhooks": webhooks, **changes})


def secret(number: int, value: str, use: SecretUse = SecretUse.SIGN, **times: int) -> ReceivingSecret:
    return ReceivingSecret(id=f"w/{number}", use=use, value=value.encode(), **times)


class TestAddress:
    def test_the_class_of_messages_goes_before_older_ones(self) -> None:
        rows = (webhook(WebhookEvent.DELIVERY, "https://one"), webhook(WebhookEvent.MESSAGE_IN, "https://two"))
        assert callback_url(facts(*rows), None) == "https://two"
        assert callback_url(facts(rows[0]), None) == "https://one"

    def test_an_account_has_its_own(self) -> None:
        row = webhook(WebhookEvent.MESSAGE_IN, "https://whole")
        assert callback_url(facts(row), "a") == "https://e.example/webhooks/c/a"
        plain = AccountFacts(id="a", identidade="1", config={}, webhook_url=None)
        assert callback_url(facts(row, accounts=(plain,)), "a") == "https://whole"

    def test_nothing_is_registered_for_what_takes_nothing_in(self) -> None:
        off = webhook(WebhookEvent.MESSAGE_IN, "https://off", WebhookStatus.DISABLED)
        row = webhook(WebhookEvent.MESSAGE_IN, "https://on")
        assert callback_url(facts(off), None) is None
        assert callback_url(facts(row, status=ConnectorStatus.ARCHIVED), None) is None
        assert callback_url(facts(row, accounts=()), "a") is None  # turned off


class TestSecret:
    def test_the_longest_lived_then_the_newest_of_those_that_hold(self) -> None:
        ending, later, young = secret(0, "a", not_after_ms=NOW + 9), secret(1, "b"), secret(2, "c", not_before_ms=NOW + 1)
        assert wanted_secrets([ending, later, young], {}, NOW)[SecretUse.SIGN] is later
        newer = secret(3, "d")
        assert wanted_secrets([ending, later, newer], {}, NOW)[SecretUse.SIGN] is newer
        assert wanted_secrets([secret(0, "a", not_after_ms=NOW)], {}, NOW) == {}

    def test_one_value_in_several_rows_has_the_name_of_the_first(self) -> None:
        again = ReceivingSecret(id="x/7", use=SecretUse.SIGN, value=b"a")
        assert wanted_secrets([secret(0, "a"), again], {}, NOW)[SecretUse.SIGN].id == "w/0"

    def test_a_rotation_names_it_while_it_holds(self) -> None:
        known = [secret(0, "a"), secret(1, "b")]
        assert wanted_secrets(known, {"sign": "w/0"}, NOW)[SecretUse.SIGN].id == "w/0"
        assert wanted_secrets(known, {"sign": "w/9"}, NOW)[SecretUse.SIGN].id == "w/1"

    def test_each_use_has_its_own(self) -> None:
        found = wanted_secrets([secret(0, "a"), secret(1, "b", SecretUse.HANDSHAKE)], {}, NOW)
        assert {use: one.id for use, one in found.items()} == {SecretUse.SIGN: "w/0", SecretUse.HANDSHAKE: "w/1"}


class TestBeginning:
    def test_the_next_of_the_uses_that_are_registered(self) -> None:
        known = [
            secret(0, "a"),
            secret(1, "b", not_before_ms=NOW),
            secret(2, "c", not_before_ms=NOW + 9),
            secret(3, "d", not_before_ms=NOW + 5),
            secret(4, "e", SecretUse.HANDSHAKE, not_before_ms=NOW + 2),
            secret(5, "f", not_before_ms=NOW + 3, not_after_ms=NOW + 3),  # a rotation ended it before it began
        ]
        assert next_beginning(known, {SecretUse.SIGN}, NOW) == NOW + 5
        assert next_beginning(known, set(SecretUse), NOW) == NOW + 2
        assert next_beginning(known, {SecretUse.SIGN}, NOW + 9) is None
        assert next_beginning(known, set(), NOW) is None


def test_what_is_as_it_was_left_is_registered() -> None:
    state = SetupState(registered_url="u", missing=())
    assert is_registered(state, url="u", secret="w/0", known_url="u", known_secret="w/0")
    assert is_registered(state, url="u", secret=None, known_url="u", known_secret="")
    for changed in ({"known_secret": "w/1"}, {"known_secret": ""}, {"known_url": None}):
        given: dict[str, Any] = {"url": "u", "secret": "w/0", "known_url": "u", "known_secret": "w/0", **changed}
        assert not is_registered(state, **given)
    lacking = SetupState(registered_url="u", missing=("event:x",))
    assert not is_registered(lacking, url="u", secret="w/0", known_url="u", known_secret="w/0")


class TestFailure:
    def judged(
        self, *, fault: Fault | None = None, missing: tuple[str, ...] = (), attempt: int = 1, answers: Any = ANSWERED
    ) -> Any:
        state = SetupState(registered_url=None, missing=missing, by_hand=("Do this.",) if missing else (), fault=fault)
        return failure_of(state, answers, attempt, POLICY, NOW, 1.0)

    def test_none_where_all_is_well(self) -> None:
        assert self.judged() is None

    @pytest.mark.parametrize(
        ("error_class", "outcome", "cause", "again"),
        [
            (ErrorClass.AUTH, SyncOutcome.REFUSED, "auth", False),
            (ErrorClass.ACCOUNT_BLOCKED, SyncOutcome.REFUSED, "account_blocked", False),
            (ErrorClass.CONTENT_PERMANENT, SyncOutcome.REFUSED, "content_permanent", False),
            (ErrorClass.RETRYABLE, SyncOutcome.TRANSIENT, "retryable", True),
            (ErrorClass.UNKNOWN_OUTCOME, SyncOutcome.TRANSIENT, "unknown_outcome", True),
            (ErrorClass.RATE_LIMITED, SyncOutcome.RATE_LIMITED, "rate_limited", True),
        ],
    )
    def test_each_class_has_its_consequence(self, error_class: ErrorClass, outcome: SyncOutcome, cause: str, again: bool) -> None:
        found = self.judged(fault=Fault(error_class=error_class))
        assert (found.outcome, found.cause, found.due_ms is not None) == (outcome, cause, again)
        assert again or found.action

    def test_a_wait_that_was_told_is_never_undercut(self) -> None:
        fault = Fault(error_class=ErrorClass.RATE_LIMITED, retry_after_seconds=600)
        assert self.judged(fault=fault).due_ms == NOW + 660_000

    def test_our_own_guard_is_a_persons_business_whatever_the_provider_makes_of_it(self) -> None:
        answers = (TransportFault(kind="refused", may_have_left=False),)
        found = self.judged(fault=Fault(error_class=ErrorClass.RETRYABLE), answers=answers)
        assert (found.outcome, found.cause, found.due_ms) == (SyncOutcome.REFUSED, "egress_refused", None)

    def test_what_stays_missing_is_tried_a_few_times_and_then_told(self) -> None:
        first, last = self.judged(missing=("callback_url",)), self.judged(missing=("callback_url",), attempt=3)
        assert (first.outcome, first.due_ms is None) == (SyncOutcome.MISMATCH, False)
        assert (last.cause, last.action, last.due_ms) == ("subscription_mismatch", "see_by_hand", None)
        assert (last.missing, last.by_hand) == (("callback_url",), ("Do this.",))


def test_pauses_double_up_to_a_bound_and_spread() -> None:
    pauses = [backoff_ms(attempt, POLICY, 0, 1.0) for attempt in (1, 2, 3, 50)]
    assert pauses == [5_000, 10_000, 20_000, 3_600_000]
    assert backoff_ms(1, POLICY, 0, 0.0) == 3_750
