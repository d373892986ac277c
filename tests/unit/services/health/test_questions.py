"""What is asked, what the answers and our own data come to, and what a person is told."""

from __future__ import annotations

import datetime as dt
from dataclasses import fields, replace

import pytest

from services.health.decide import Finding, Policy, Standing, Verdict, judge
from services.health.liveness import Beats
from services.health.policies import Policies
from services.health.questions import TokenRow, calls_of, context_of, findings_of, needed, silence, without_secrets
from services.health.settings import HealthSettings
from services.health.texts import message
from shared.adapters.health_rows import SubjectRow
from shared.domain.enums import ConnectorStatus, ConnectorType, HealthStatus, TokenKind
from shared.domain.errors import InvalidInput
from shared.providers import PROVIDERS, provider_of
from shared.providers.calling import ProviderResponse

NOW_MS = 1_767_225_600_000 + 12 * 3_600_000  # noon
TODAY = dt.date(2026, 1, 1)
META = {"waba_id": "100000000000000", "app_id": "300000000000001"}


def subject(*, account: bool = True, **changes: object) -> SubjectRow:
    row = SubjectRow(
        subject_id="a" if account else "c",
        tenant_id="t",
        connector_id="c",
        account_id="a" if account else None,
        due_ms=0,
        tipo=ConnectorType.WHATSAPP_OFFICIAL,
        status=ConnectorStatus.ACTIVE,
        project=None,
        config=META,
        identidade="551140000001",
        account_config={"phone_number_id": "100000000000001"},
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def steps(row: SubjectRow) -> list[str]:
    calls = calls_of(provider_of(row.tipo), row, context_of(row, NOW_MS))
    assert not isinstance(calls, Finding)
    return [call.step for call in calls]


def test_what_is_about_the_whole_connector_is_asked_once_and_not_for_each_account() -> None:
    assert steps(subject()) == ["number"]
    assert steps(subject(account=False)) == ["subscription", "token"]
    assert steps(subject(tipo=ConnectorType.TELEGRAM, account_config={}, config={})) == []
    assert steps(subject(account=False, tipo=ConnectorType.TELEGRAM, account_config={}, config={})) != []
    assert steps(subject(account=False, account_config={}, identidade=None)) == []  # no account yet


def test_what_cannot_be_asked_for_want_of_a_setting_is_a_failure_that_says_so() -> None:
    row = subject(account_config={})
    found = calls_of(provider_of(row.tipo), row, context_of(row, NOW_MS))
    assert isinstance(found, Finding)
    assert (found.status, found.cause, found.action) == (HealthStatus.FAILED, "setting_missing", "fix_config")


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda one: one.tipo.value)
def test_every_connectors_check_is_one_that_its_provider_grades(provider) -> None:  # type: ignore[no-untyped-def]
    checking = provider.checking
    assert checking is not None
    assert bool(checking.connector_steps) <= bool(checking.connector_checks)


def test_only_the_subjects_own_grades_are_taken() -> None:
    answers = {"number": ProviderResponse(status=401, body=b'{"error":{"code":190}}')}
    row = subject()
    found = findings_of(provider_of(row.tipo), row, context_of(row, NOW_MS), answers)
    assert [(one.check, one.status, one.cause) for one in found] == [("number", HealthStatus.FAILED, "auth")]
    whole = subject(account=False)
    assert findings_of(provider_of(row.tipo), whole, context_of(whole, NOW_MS), answers) == ()


def token(name: str, kind: TokenKind = TokenKind.ACCESS_TOKEN, **more: object) -> TokenRow:
    return replace(TokenRow(token_id=name, kind=kind, account=None, name=None, expires_ms=None), **more)  # type: ignore[arg-type]


def test_credentials_are_the_newest_of_their_kind_the_accounts_own_first() -> None:
    row = subject()
    calls = calls_of(provider_of(row.tipo), row, context_of(row, NOW_MS))
    assert not isinstance(calls, Finding)
    rows = [token("newest"), token("own", account="551140000001"), token("older")]
    assert needed(calls, rows, "551140000001", NOW_MS) == {"access_token": "own"}
    assert needed(calls, rows, "551140000002", NOW_MS) == {"access_token": "newest"}
    missing = needed(calls, [token("s", TokenKind.SECRET)], None, NOW_MS)
    assert isinstance(missing, Finding)
    assert missing.cause == "credential_missing"
    ended = needed(calls, [token("e", expires_ms=NOW_MS)], None, NOW_MS)
    assert isinstance(ended, Finding)
    assert ended.cause == "credential_expired"


def day(*busy: int, items: int = 10) -> list[int]:
    return [items if hour in busy else 0 for hour in range(24)]


def days_before(count: int, hours: list[int]) -> dict[dt.date, list[int]]:
    return {TODAY - dt.timedelta(days=number): hours for number in range(1, count + 1)}


@pytest.mark.req(82)
@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (days_before(7, day(6, 7, 8, 9, 10, 11)), "silent"),
        (days_before(7, day(6, 7, 8, 9, 10, 11)) | {TODAY: day(12, items=1)}, "traffic_usual"),
        (days_before(7, day(6, 7, 8, 9, 10, 11)) | {TODAY: day(5)}, "silent"),  # before the window
        (days_before(7, day(20, 21, 22)), "traffic_usual"),  # mornings are always quiet here
        (days_before(7, day(6, 7, 8, items=1)), "traffic_usual"),  # three items in a morning may well not come
        (days_before(2, day(6, 7, 8, 9)), None),
        ({}, None),
    ],
)
def test_silence_is_measured_against_what_is_usual_for_the_account_at_this_hour(
    days: dict[dt.date, list[int]], expected: str | None
) -> None:
    found = silence(days, Policy(silence_hours=6, silence_expected=20), NOW_MS)
    assert (found.cause if found else None) == expected
    assert silence(days, Policy(silence_hours=0), NOW_MS) is None


def told(finding: Finding, standing: Standing | None = None) -> str:
    before = standing or Standing()
    return message(finding, judge(before, finding, Policy(), NOW_MS), before, 3)


@pytest.mark.req(41)
def test_a_message_names_cause_and_action_and_no_secret() -> None:
    failed = Finding(check="token", status=HealthStatus.FAILED, cause="token_invalid", action="renew_token", detail="190/463")
    assert told(failed) == (
        "token: the credential is not valid any more [190/463]. Make a new token at the provider and add it to the connector."
    )
    wordy = replace(failed, detail="Invalid OAuth token EAAGsecret\nfor you")
    assert "EAAG" not in told(wordy)
    echoed = without_secrets(replace(failed, detail="no_EAAGsecret"), {"access_token": "EAAGsecret"})
    assert "EAAG" not in told(echoed)
    assert without_secrets(failed, {"access_token": "EAAGsecret"}) is failed
    unknown = Finding(check="number", status=None, cause="unreachable", detail="http_503")
    assert told(unknown, Standing(grade=HealthStatus.PASSED)) == (
        "number: the provider cannot be reached or does not answer [http_503]. The grade stays passed (1 of 3)."
    )
    assert "Check the way" in told(unknown, Standing(unknowns=2))
    assert told(Finding(check="x", status=HealthStatus.FAILED, cause="new_cause")).startswith("x: new cause. See")


def test_thresholds_are_the_accounts_else_the_connectors_else_the_tenants_else_the_installations() -> None:
    policies = Policies(Policy(threshold=3, recover=2), {"t": {"threshold": 4}})
    assert policies.of(subject(tenant_id="other")).threshold == 3
    assert policies.of(subject()).threshold == 4
    config = META | {"health": {"threshold": 5, "recover": 9}}
    assert policies.of(subject(config=config)).threshold == 5
    row = subject(config=config, account_config={"health": {"threshold": 6, "nonsense": 1, "recover": "x"}})
    assert (policies.of(row).threshold, policies.of(row).recover) == (6, 9)
    assert policies.of(replace(row, account_id=None)).threshold == 5


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda one: one.tipo.value)
def test_every_provider_takes_thresholds_and_refuses_wrong_ones(provider) -> None:  # type: ignore[no-untyped-def]
    for model in (provider.settings.connector, provider.settings.account):
        given = model.model_fields["health"].annotation
        assert "HealthThresholds" in str(given)
    names = {field.name for field in fields(Policy)}
    from shared.providers.configuration import HealthThresholds

    assert set(HealthThresholds.model_fields) <= names
    with pytest.raises(InvalidInput):
        provider_of(ConnectorType.WHATSAPP_OFFICIAL).check_config(META | {"health": {"threshold": 0}})


def test_a_heartbeat_is_written_at_most_twice_a_minute_and_never_more_than_30_seconds_behind() -> None:
    beats, written = Beats(), []
    for second in range(181):
        beats.note("c", second * 1000)
        if second % 2 == 0:
            written += [(second, at) for at in beats.due(second * 1000).values()]
    assert [second for second, _ in written] == [30, 60, 90, 120, 150, 180]
    assert all(at == second * 1000 for second, at in written)


def test_settings_make_the_policy_and_refuse_what_is_no_json() -> None:
    settings = HealthSettings(kafka_bootstrap="x", health_threshold=7, health_tenants='{"t": {"threshold": 2}}')
    assert (settings.policy().threshold, settings.tenants()) == (7, {"t": {"threshold": 2}})
    for wrong in ("{", "[]", '{"t": 3}'):
        with pytest.raises(ValueError, match="health_tenants"):
            HealthSettings(kafka_bootstrap="x", health_tenants=wrong)
    assert isinstance(judge(Standing(), Finding(check="x", status=None, cause="y"), Policy(), 0), Verdict)
