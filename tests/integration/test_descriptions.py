"""What a provider says of an account, taken over where no person has set it: names, tiers, and the limits that follow."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from services.simulator.simulator import Simulator
from services.simulator.stand_in import Account
from shared.adapters.migrations import migrations_directory
from shared.domain.enums import AccountStatus, ConnectorStatus, ConnectorType, ErrorClass, Feature
from shared.domain.errors import NotFound
from shared.management.accounts import change_account_status, update_account
from shared.management.capabilities import capability_of, set_capability
from shared.management.connectors import archive_connector
from shared.management.descriptions import Described, apply_description, follow_capability
from shared.management.removal import delete_account, delete_connector
from shared.providers import provider_of
from shared.providers.calling import CallContext, Fault, ProviderResponse, placed
from shared.providers.describing import AccountDescription, FeatureState
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import ACTOR, Management, management_of
from tests.integration.rows import connect

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SYNC = "sync"
PRESET = {preset.feature: preset for preset in provider_of(ConnectorType.WHATSAPP_OFFICIAL).capabilities}


@pytest.fixture
def management(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Management]:
    with management_of(database.api_url, tmp_path / "keys") as management:
        yield management


@pytest.fixture
def number() -> tuple[Simulator, Account]:
    simulator = Simulator()
    return simulator, simulator["meta"].create()


def told(simulator: Simulator, number: Account) -> AccountDescription:
    """What the simulator answers, read as sync would."""
    describing = provider_of(ConnectorType.WHATSAPP_OFFICIAL).describing
    assert describing is not None
    context = CallContext(
        connector_id="01990000-0000-7000-8000-00000000000b",
        account_id=None,
        identidade=None,
        settings={"waba_id": number.about["waba_id"]},
        account_config={"phone_number_id": number.id},
        now_ms=simulator.clock.now_ms,
    )
    answers = {}
    for call in describing.build(context):
        ready = placed(call, {"access_token": number.about["access_token"]})
        answer = simulator.call(call.method, ready.url, dict(ready.headers), b"")
        answers[call.step] = ProviderResponse(status=answer.status, body=answer.body)
    return describing.read(answers, context)


def applied(management: Management, account: str, description: AccountDescription) -> Described:
    return management.run(lambda session: apply_description(session, account, description, now=NOW, actor=SYNC))


def name_of(management: Management, account: str) -> str | None:
    found: str | None = management.read("SELECT nome_exibicao FROM channel_account WHERE id = :id", id=account)[0][0]
    return found


def limits_of(management: Management, connector: str, feature: Feature) -> tuple[bool, dict[str, Any]]:
    row = management.run(lambda session: capability_of(session, connector, feature))
    return row.enabled, row.constraints or {}


def set_limits(management: Management, connector: str, feature: Feature, **constraints: Any) -> None:
    def use_case(session: Any) -> None:
        row = capability_of(session, connector, feature)
        set_capability(
            session, connector, feature, enabled=row.enabled, constraints={**(row.constraints or {}), **constraints}, actor=ACTOR
        )

    management.run(use_case)


def rename(management: Management, account: str, name: str | None) -> None:
    management.run(lambda session: update_account(session, account, {"nome_exibicao": name}, actor=ACTOR))


def left(management: Management) -> list[Any]:
    """All that a change would leave behind."""
    tables = ("audit_log", "outbox", "snapshot_version", "channel_override", "account_description", "channel_capability")
    return [management.read(f"SELECT to_jsonb(t)::text FROM {table} t ORDER BY 1") for table in tables]


class TestNames:
    @pytest.mark.req(20)
    def test_an_empty_name_is_filled_and_follows_the_provider(self, management: Management, number: tuple[Simulator, Account]):
        simulator, meta = number
        account = management.account(management.connector())
        version = management.version(account)
        assert applied(management, account, told(simulator, meta)).name_changed
        assert (name_of(management, account), management.version(account)) == ("Loja", version + 1)
        meta.about["verified_name"] = "Loja Nova"
        assert applied(management, account, told(simulator, meta)).name_changed
        assert (name_of(management, account), management.version(account)) == ("Loja Nova", version + 2)
        actions = [action for action, *_ in management.audit(account)]
        assert actions == ["account.created", *2 * ("account.described", "account.name_followed")]

    @pytest.mark.req(20)
    @pytest.mark.parametrize("how", ["created", "changed", "changed_to_the_same", "unknown_hand"])
    def test_a_manual_name_survives(self, management: Management, number: tuple[Simulator, Account], database: Any, how: str):
        simulator, meta = number
        connector = management.connector()
        account = management.account(connector, nome_exibicao="Balcão" if how == "created" else None)
        wanted = "Loja" if how == "changed_to_the_same" else "Balcão"
        if how != "created":
            applied(management, account, told(simulator, meta))
        if how == "unknown_hand":  # the previous release, which knows of no overrides
            with connect(database.owner_url) as owner:
                owner.execute("UPDATE channel_account SET nome_exibicao = 'Balcão'")
        elif how != "created":
            rename(management, account, wanted)
        meta.about["verified_name"] = "Outra Loja"
        version = management.version(account)
        described = applied(management, account, told(simulator, meta))
        assert (described.name_changed, name_of(management, account)) == (False, wanted)
        assert management.version(account) == version

    @pytest.mark.req(20)
    @pytest.mark.parametrize("nothing", [None, ""])
    def test_taken_away_it_is_the_providers_again(
        self, management: Management, number: tuple[Simulator, Account], nothing: str | None
    ):
        simulator, meta = number
        account = management.account(management.connector(), nome_exibicao="Balcão")
        applied(management, account, told(simulator, meta))
        rename(management, account, nothing)
        assert name_of(management, account) == "Loja"  # at once: what was told last is known
        meta.about["verified_name"] = "Loja Nova"
        applied(management, account, told(simulator, meta))
        assert name_of(management, account) == "Loja Nova"

    def test_before_anything_was_told_it_is_empty(self, management: Management):
        account = management.account(management.connector(), nome_exibicao="Balcão")
        rename(management, account, None)
        assert name_of(management, account) is None

    def test_a_name_as_long_as_a_novel_is_cut_so_that_it_can_be_sent_back(self, management: Management):
        account = management.account(management.connector())
        applied(management, account, AccountDescription(display_name="ã" * 1_000))
        assert name_of(management, account) == "ã" * 200
        assert not applied(management, account, AccountDescription(display_name="ã" * 1_000)).name_changed


class TestCapabilities:
    @pytest.mark.req(60)
    def test_a_changed_tier_changes_the_rows_and_a_second_look_nothing(
        self, management: Management, number: tuple[Simulator, Account]
    ):
        simulator, meta = number
        connector = management.connector()
        account = management.account(connector)
        for feature, preset in PRESET.items():  # a new connector equals the preset
            assert limits_of(management, connector, feature) == (preset.enabled, preset.constraints)
        first = applied(management, account, told(simulator, meta))
        assert (first.tier, first.features) == ((None, "TIER_250"), (Feature.TEMPLATES,))
        assert limits_of(management, connector, Feature.TEMPLATES) == (True, {"peers_per_day": 250})
        simulator["meta"].tier(meta.id, "TIER_10K", "HIGH")  # type: ignore[attr-defined]  # Meta's stand-in has it
        version = management.version(connector)
        second = applied(management, account, told(simulator, meta))
        assert (second.tier, second.features) == (("TIER_250", "TIER_10K"), (Feature.MESSAGES, Feature.TEMPLATES))
        assert limits_of(management, connector, Feature.TEMPLATES) == (True, {"peers_per_day": 10_000})
        followed = limits_of(management, connector, Feature.MESSAGES)
        assert followed == (True, {**PRESET[Feature.MESSAGES].constraints, "rate_per_second": 750})
        assert management.version(connector) == version + 1  # announced once for both
        before = left(management)
        assert applied(management, account, told(simulator, meta)) == Described()
        assert left(management) == before
        simulator["meta"].tier(meta.id, "TIER_UNLIMITED")  # type: ignore[attr-defined]
        applied(management, account, told(simulator, meta))
        assert limits_of(management, connector, Feature.TEMPLATES) == (True, {})  # no limit is none

    @pytest.mark.req(60)
    def test_a_manual_override_survives_and_the_rest_follows(self, management: Management, number: tuple[Simulator, Account]):
        simulator, meta = number
        connector = management.connector()
        account = management.account(connector)
        set_limits(management, connector, Feature.TEMPLATES, peers_per_day=100)
        set_limits(management, connector, Feature.MESSAGES, text_max_characters=1_000)
        management.run(lambda session: set_capability(session, connector, Feature.TYPING, enabled=False, actor=ACTOR))
        simulator["meta"].tier(meta.id, "TIER_10K", "HIGH")  # type: ignore[attr-defined]
        applied(management, account, told(simulator, meta))
        assert limits_of(management, connector, Feature.TEMPLATES)[1]["peers_per_day"] == 100
        messages = limits_of(management, connector, Feature.MESSAGES)[1]
        assert (messages["text_max_characters"], messages["rate_per_second"]) == (1_000, 750)
        assert not limits_of(management, connector, Feature.TYPING)[0]
        manual = {feature: capability(management, connector, feature).manual for feature in Feature}
        assert manual == {
            **dict.fromkeys(Feature),
            Feature.TEMPLATES: ["constraints.peers_per_day"],
            Feature.MESSAGES: ["constraints.text_max_characters"],
            Feature.TYPING: ["enabled"],
        }

    @pytest.mark.req(60)
    def test_a_limit_that_a_person_took_away_does_not_come_back(self, management: Management):
        connector = management.connector()
        account = management.account(connector)
        rate = FeatureState(feature=Feature.MESSAGES, constraints={"rate_per_second": 750})
        management.run(
            lambda session: set_capability(session, connector, Feature.MESSAGES, enabled=True, constraints={}, actor=ACTOR)
        )
        applied(management, account, AccountDescription(features=(rate,)))
        assert limits_of(management, connector, Feature.MESSAGES) == (True, {})

    @pytest.mark.req(60)
    def test_followed_again_it_is_the_preset_with_what_the_provider_says(
        self, management: Management, number: tuple[Simulator, Account]
    ):
        simulator, meta = number
        connector = management.connector()
        account = management.account(connector)
        set_limits(management, connector, Feature.TEMPLATES, peers_per_day=100, of_our_own=1)
        management.run(lambda session: set_capability(session, connector, Feature.TEMPLATES, enabled=False, actor=ACTOR))
        applied(management, account, told(simulator, meta))
        row = management.run(lambda session: follow_capability(session, connector, Feature.TEMPLATES, actor=ACTOR))
        assert (row.enabled, row.constraints, row.manual) == (True, {"peers_per_day": 250}, None)
        version = management.version(connector)
        management.run(lambda session: follow_capability(session, connector, Feature.TEMPLATES, actor=ACTOR))
        assert management.version(connector) == version  # nothing was held: no change
        simulator["meta"].tier(meta.id, "TIER_2K")  # type: ignore[attr-defined]
        applied(management, account, told(simulator, meta))
        assert limits_of(management, connector, Feature.TEMPLATES) == (True, {"peers_per_day": 2_000})

    def test_of_several_accounts_the_lowest_counts_and_those_turned_off_do_not(self, management: Management):
        connector = management.active_connector()
        configs = [{"phone_number_id": f"10000000000000{digit}"} for digit in range(3)]
        accounts = [management.account(connector, f"551190000000{index}", config=config) for index, config in enumerate(configs)]

        def says(account: str, rate: int, *, buttons: bool | None = None) -> None:
            states = (
                FeatureState(feature=Feature.MESSAGES, constraints={"rate_per_second": rate}),
                FeatureState(feature=Feature.BUTTONS, enabled=buttons),
            )
            applied(management, account, AccountDescription(features=states))

        says(accounts[0], 750)
        says(accounts[1], 60, buttons=False)
        says(accounts[2], 750, buttons=True)
        assert limits_of(management, connector, Feature.MESSAGES)[1]["rate_per_second"] == 60
        assert not limits_of(management, connector, Feature.BUTTONS)[0]
        management.run(lambda session: change_account_status(session, accounts[1], AccountStatus.INACTIVE, actor=ACTOR))
        says(accounts[0], 750)
        assert limits_of(management, connector, Feature.MESSAGES)[1]["rate_per_second"] == 750
        assert limits_of(management, connector, Feature.BUTTONS)[0]

    def test_what_was_not_told_stays(self, management: Management, number: tuple[Simulator, Account]):
        simulator, meta = number
        connector = management.connector()
        account = management.account(connector)
        applied(management, account, told(simulator, meta))
        before = left(management)
        fault = Fault(error_class=ErrorClass.AUTH, code="190")
        assert applied(management, account, AccountDescription(fault=fault)) == Described()
        assert applied(management, account, AccountDescription(quality="GREEN")) == Described()
        assert left(management) == before
        applied(management, account, AccountDescription(quality="RED"))
        rows = management.read("SELECT tier, quality, display_name, app_id FROM account_description")
        assert rows == [("TIER_250", "RED", "Loja", "300000000000001")]

    def test_an_archived_connector_is_left_alone(self, management: Management, number: tuple[Simulator, Account]):
        connector = management.connector()
        account = management.account(connector)
        management.run(lambda session: archive_connector(session, connector, actor=ACTOR))
        before = left(management)
        assert applied(management, account, told(*number)) == Described()
        assert left(management) == before

    def test_nobody_describes_another_tenants_account(self, management: Management, number: tuple[Simulator, Account]):
        account = management.account(management.connector())
        with pytest.raises(NotFound):
            management.run(
                lambda session: apply_description(session, account, told(*number), now=NOW, actor=SYNC),
                tenant=management.another_tenant(),
            )


def capability(management: Management, connector: str, feature: Feature) -> Any:
    return management.run(lambda session: capability_of(session, connector, feature))


@pytest.mark.req(20, 60)
def test_what_people_had_set_before_the_table_came_is_theirs(
    management: Management, database: DatabaseUnderTest, number: tuple[Simulator, Account]
) -> None:
    """The end of the migration's script, on rows as the release before left them."""
    connector = management.connector()
    named, unnamed = (
        management.account(connector, f"551190000000{digit}", config={"phone_number_id": f"10000000000000{digit}"})
        for digit in range(2)
    )
    rename(management, named, "Balcão")
    set_limits(management, connector, Feature.TEMPLATES, peers_per_day=100)
    set_limits(management, connector, Feature.MESSAGES, text_max_characters=10, rate_per_second=1)
    management.run(lambda session: set_capability(session, connector, Feature.TYPING, enabled=False, actor=ACTOR))
    script = (migrations_directory() / "sql" / "0016_descriptions.sql").read_text()
    with connect(database.owner_url) as owner:
        held = "SELECT subject_id, field, connector_id, account_id, members FROM channel_override ORDER BY 1, 2"
        before = owner.execute(held).fetchall()
        owner.execute("DELETE FROM channel_override")
        owner.execute(script[script.index("-- Until now only people wrote") :])
        assert owner.execute(held).fetchall() == before
        assert {actor for (actor,) in owner.execute("SELECT actor FROM channel_override")} == {"migration:0016"}
    for account in (named, unnamed):
        applied(management, account, dataclasses.replace(told(*number), throughput="HIGH"))
    assert (name_of(management, named), name_of(management, unnamed)) == ("Balcão", "Loja")
    assert limits_of(management, connector, Feature.TEMPLATES)[1]["peers_per_day"] == 100
    assert limits_of(management, connector, Feature.MESSAGES)[1]["rate_per_second"] == 1


def test_what_is_deleted_takes_its_overrides_along(management: Management, number: tuple[Simulator, Account]) -> None:
    connector = management.connector()
    account = management.account(connector, nome_exibicao="Balcão")
    set_limits(management, connector, Feature.MESSAGES, rate_per_second=1)
    applied(management, account, told(*number))
    management.run(lambda session: delete_account(session, account, actor=ACTOR))
    assert management.read("SELECT field FROM channel_override") == [("capability:messages",)]
    management.run(lambda session: delete_connector(session, connector, actor=ACTOR))
    with management.work() as session:
        for table in ("channel_override", "account_description"):
            assert session.execute(text(f"SELECT count(*) FROM {table}")).scalar() == 0


def test_the_status_of_a_connector_decides_nothing(management: Management, number: tuple[Simulator, Account]) -> None:
    """An active connector's account that has never worked is described all the same."""
    connector = management.active_connector()
    account = management.account(connector)
    management.status(connector, ConnectorStatus.ERROR)
    assert applied(management, account, told(*number)).name_changed
