from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.token_rotator.decide import Policy, credential_ids, due_ms, plan_connector
from services.token_rotator.settings import TokenRotatorSettings
from shared.domain.enums import ConnectorStatus, RenewalState, RenewalTask, TokenKind
from shared.domain.renewals import ConnectorTokens, RenewalPlan, Standing, TokenFacts
from shared.providers import provider_of
from tests.unit.services.token_rotator.builders import (
    ACCESS,
    APP,
    CLIENT,
    DAY,
    HOUR,
    LONG,
    NOW,
    REFRESH,
    mailbox,
    meta,
    token,
)

POLICY = Policy()


def plans(connector: ConnectorTokens, *standing: Standing) -> dict[str, RenewalPlan]:
    known = {one.token_id: one for one in standing}
    made = plan_connector(connector, provider_of(connector.tipo), known, NOW, POLICY)
    return {plan.token_id: plan for plan in made}


def tasks(connector: ConnectorTokens) -> dict[str, str]:
    return {token_id: plan.task.value for token_id, plan in plans(connector).items()}


@pytest.mark.req(61)
@given(st.uuids(), st.integers(min_value=60, max_value=400 * 86_400))
def test_due_at_half_to_seven_tenths_of_life_and_never_without_the_margin(token_id: object, life: int) -> None:
    ends = NOW + life * 1000
    due = due_ms(str(token_id), NOW, ends, POLICY)
    left = (ends - due) / 1000
    if life > 2_200:
        assert 0.5 <= (due - NOW) / (ends - NOW) <= 0.7
    if life >= 600:
        assert left >= POLICY.margin
    assert left <= life * 0.6 + 1  # a short life is not spent on renewals
    assert due == due_ms(str(token_id), NOW, ends, POLICY)


def test_tokens_made_together_are_due_apart() -> None:
    dues = {due_ms(f"token-{number}", NOW, NOW + 60 * DAY, POLICY) // HOUR for number in range(1_000)}
    assert len(dues) > 200  # of 288 hours


def test_who_is_renewed_and_who_is_watched() -> None:
    assert tasks(meta(LONG, APP)) == {"long": "renew", "app": "none"}
    assert tasks(meta(LONG, APP, settings={"waba_id": "1"})) == {"long": "watch", "app": "none"}  # the app is not known
    assert tasks(meta(replace(LONG, expires_ms=None), APP)) == {"long": "test", "app": "none"}
    assert tasks(mailbox("google", ACCESS, REFRESH, CLIENT)) == {"access": "renew", "refresh": "none", "client": "none"}
    assert tasks(mailbox("google", ACCESS, CLIENT)) == {"access": "watch", "client": "none"}
    assert tasks(mailbox("google", REFRESH, CLIENT)) == {"refresh": "renew", "client": "none"}
    assert tasks(mailbox("google", ACCESS, REFRESH, status=ConnectorStatus.ARCHIVED)) == {"access": "none", "refresh": "none"}


def test_only_the_newest_of_its_kind_and_account_is_renewed() -> None:
    newer = replace(ACCESS, token_id="newer", created_ms=NOW + 1)
    of_bob = replace(ACCESS, token_id="bob", account="bob@example.org")
    assert tasks(mailbox("google", ACCESS, newer, of_bob, REFRESH)) == {
        "access": "none",
        "newer": "renew",
        "bob": "renew",
        "refresh": "none",
    }


def test_a_plan_stands_until_its_token_changes() -> None:
    def standing(of: TokenFacts, task: RenewalTask = RenewalTask.RENEW, state: RenewalState = RenewalState.PLANNED) -> Standing:
        return Standing(token_id=of.token_id, task=task, service="meta", state=state, planned_for_ms=of.expires_ms)

    secret = Standing(token_id="app", task=RenewalTask.NONE, service="", state=RenewalState.PLANNED, planned_for_ms=None)
    connector = meta(LONG, APP)
    assert plans(connector, standing(LONG), secret) == {}
    assert plans(connector, standing(LONG, state=RenewalState.STOPPED), secret) == {}  # a person's turn
    changed = meta(replace(LONG, expires_ms=NOW + 90 * DAY), APP)
    assert set(plans(changed, standing(LONG), secret)) == {"long"}
    assert set(plans(changed, standing(LONG, state=RenewalState.STOPPED), secret)) == {"long"}
    assert plans(changed, standing(LONG, state=RenewalState.CALLING), secret) == {}
    assert plans(changed, standing(LONG, task=RenewalTask.RETIRE), secret) == {}


def test_credentials_are_found_by_kind_account_and_name() -> None:
    of_bob = token("bobs", TokenKind.REFRESH_TOKEN, account="bob@example.org")
    bob = replace(ACCESS, token_id="bob", account="bob@example.org")
    tokens = (ACCESS, REFRESH, of_bob, CLIENT)
    assert credential_ids(["client_secret", "refresh_token"], ACCESS, tokens) == {
        "client_secret": "client",
        "refresh_token": "refresh",
    }
    assert credential_ids(["refresh_token"], bob, (bob, *tokens)) == {"refresh_token": "bobs"}
    carol = replace(bob, token_id="carol", account="carol@example.org")
    assert credential_ids(["refresh_token"], carol, (carol, *tokens)) == {"refresh_token": "refresh"}
    assert credential_ids(["app_secret"], LONG, (LONG, replace(APP, name=None))) == {"app_secret": "app"}
    assert credential_ids(["app_secret"], LONG, (LONG, CLIENT)) == "app_secret"  # another secret is not tried for it


def test_a_token_is_revoked_by_means_of_the_one_that_replaced_it() -> None:
    newer = replace(LONG, token_id="newer", created_ms=NOW + 1)
    wanted = ["access_token", "app_secret", "old_access_token"]
    assert credential_ids(wanted, LONG, (LONG, newer, APP)) == {
        "access_token": "newer",
        "app_secret": "app",
        "old_access_token": "long",
    }
    assert credential_ids(wanted, LONG, (LONG, APP)) == "access_token"  # never by means of itself


def test_the_figures_come_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANNELS_TOKEN_ROTATOR_THRESHOLDS", "60, 3600,60")
    monkeypatch.setenv("CHANNELS_TOKEN_ROTATOR_MARGIN_SECONDS", "120")
    policy = TokenRotatorSettings().policy()
    assert (policy.thresholds, policy.margin) == ((3_600, 60), 120)
