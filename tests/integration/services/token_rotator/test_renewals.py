"""Renewals on the real PostgreSQL: what is stored, who may call, what a failure leaves behind."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import text

from services.token_rotator.app import Rotator
from shared.adapters.database import unit_of_work
from shared.adapters.renewal_rows import moment
from shared.domain.enums import ConnectorStatus, ConnectorType, TokenKind
from shared.domain.errors import Conflict, Unavailable
from shared.management.opened_tokens import open_token
from shared.management.renewed_tokens import renew_now
from shared.management.tokens import describe_token, revoke_token
from shared.providers.calling import PlacedCall, ProviderAnswer
from tests.integration.services.token_rotator.scene import RHYTHM, RotatorScene, until_idle
from tests.token_provider import DAY, reply

pytestmark = pytest.mark.req(61)


def value_of(scene: RotatorScene, connector: str, kind: TokenKind) -> str:
    """The value that a reader would take: that of the newest."""
    ((token,),) = scene.sql(
        "SELECT id::text FROM channel_token WHERE connector_id = :c AND kind::text = :k"
        " ORDER BY created_at DESC, id DESC LIMIT 1",
        c=connector,
        k=kind.value,
    )
    with unit_of_work(scene.credential) as session:
        opened = open_token(session, scene.management.vault, token, actor="test")
        session.commit()
    assert opened is not None
    return opened.value


def test_a_token_of_meta_is_renewed_between_half_and_seven_tenths_of_its_life(scene: RotatorScene) -> None:
    connector, token = scene.meta()
    rotator = scene.rotator()
    until_idle(rotator)
    ((due, ends),) = scene.sql(
        "SELECT extract(epoch FROM due_at)::float, extract(epoch FROM ends_at)::float FROM token_renewal WHERE token_id = :t",
        t=token,
    )
    begun = scene.clock.now_ms() / 1000
    assert 0.5 <= (due - begun) / (ends - begun) <= 0.7
    scene.clock.move(due - begun - 1)
    until_idle(rotator)
    assert scene.provider.renewals["shop"] == 0
    scene.clock.move(2)
    until_idle(rotator)
    assert scene.provider.renewals["shop"] == 1
    assert scene.rows(connector) == [
        ("secret", "none", "planned", None),
        ("access_token", "retire", "planned", None),
        ("access_token", "renew", "planned", None),
    ]
    assert value_of(scene, connector, TokenKind.ACCESS_TOKEN) == list(scene.grant("shop").access)[-1]


@pytest.mark.req(31)
def test_the_old_token_stays_for_its_overlap_and_is_then_revoked_and_gone(scene: RotatorScene) -> None:
    connector, token = scene.meta()
    rotator = scene.rotator()
    until_idle(rotator)
    scene.clock.move(43 * DAY)
    until_idle(rotator)
    assert len(scene.grant("shop").access) == 2
    scene.clock.move(scene.policy.overlap - 1)
    until_idle(rotator)
    assert len(scene.grant("shop").access) == 2
    scene.clock.move(2)
    until_idle(rotator)
    assert len(scene.grant("shop").access) == 1
    assert [row[1] for row in scene.rows(connector)] == ["none", "renew"]
    assert [row[0] for row in scene.management.audit(token)][-2:] == ["token.opened", "token.retired"]


def test_a_rotated_refresh_token_is_stored_before_it_is_used(scene: RotatorScene) -> None:
    connector, _, _ = scene.mailbox("microsoft", one_time=True)
    rotator = scene.rotator()
    until_idle(rotator)
    for renewals in range(1, 6):
        scene.clock.move(2_600)
        until_idle(rotator)
        assert scene.provider.renewals["ana"] == renewals
        assert value_of(scene, connector, TokenKind.REFRESH_TOKEN) == scene.grant("ana").refresh[-1]
    assert set(scene.provider.uses.values()) == {1}
    assert not scene.provider.refused


def test_a_refresh_token_alone_fetches_what_it_opens(scene: RotatorScene) -> None:
    connector, _, _ = scene.mailbox("google", access=False)
    until_idle(scene.rotator())
    assert scene.provider.renewals["ana"] == 1
    assert scene.rows(connector) == [
        ("secret", "none", "planned", None),
        ("refresh_token", "none", "planned", None),
        ("access_token", "renew", "planned", None),
    ]


def test_a_token_of_ten_minutes_is_renewed_with_five_left(scene: RotatorScene) -> None:
    scene.mailbox("google", life_seconds=600)
    rotator = scene.rotator()
    for _ in range(600):  # an hour and a half, as seen every ten seconds
        until_idle(rotator)
        scene.clock.move(10)
    assert scene.provider.least_left["600"] >= 300
    assert 16 <= scene.provider.renewals["ana"] <= 24


def test_two_rotators_make_one_call(scene: RotatorScene) -> None:
    for number in range(20):
        scene.mailbox("microsoft", owner=f"box-{number}", one_time=True)
    rotators = [scene.rotator(calls=4) for _ in range(3)]
    for rotator in rotators:
        until_idle(rotator)
    scene.clock.move(2_600)
    together(rotators)
    assert set(scene.provider.renewals.values()) == {1}
    assert sum(scene.provider.calls.values()) == len(scene.provider.renewals) == 20
    assert (scene.provider.overlaps, scene.provider.refused) == (0, {})


def together(rotators: list[Rotator]) -> None:
    at_once = threading.Barrier(len(rotators))

    def work(rotator: Rotator) -> None:
        at_once.wait()
        until_idle(rotator)

    workers = [threading.Thread(target=work, args=(rotator,)) for rotator in rotators]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)


def test_a_withdrawn_consent_stops_the_token_and_calls_a_person_once(scene: RotatorScene) -> None:
    connector, token, _ = scene.mailbox("google")
    rotator = scene.rotator()
    until_idle(rotator)
    scene.grant("ana").refresh.clear()
    scene.clock.move(2_600)
    until_idle(rotator)
    for _ in range(10):
        scene.clock.move(DAY)
        until_idle(rotator)
    assert scene.provider.refused == {"ana": 1}
    assert scene.rows(connector)[-1] == ("access_token", "renew", "stopped", "invalid_grant")
    changes = [detail for topic, detail in scene.management.notices(connector) if topic == "channel.connector.status_changed"]
    assert [(one["new_status"], one["actor"]) for one in changes] == [("pending", "test"), ("error", "token_rotator")]
    assert changes[-1]["cause"] == "token not renewed (invalid_grant): sign in at the provider again and add the new tokens"
    assert "token.renewal_stopped" in [row[0] for row in scene.management.audit(token)]


def test_a_new_consent_goes_on_where_the_old_one_stopped(scene: RotatorScene) -> None:
    connector, _, _ = scene.mailbox("google")
    rotator = scene.rotator()
    scene.grant("ana").refresh.clear()
    scene.clock.move(2_600)
    until_idle(rotator)
    assert scene.rows(connector)[-1][2] == "stopped"
    again = scene.provider.grant("ana", "google", 3_600)
    scene.token(connector, again.refresh[0], None, kind=TokenKind.REFRESH_TOKEN)
    scene.token(connector, next(iter(again.access)), 3_600)
    scene.clock.move(2_600)
    until_idle(rotator)
    assert scene.provider.renewals["ana"] == 1


def test_the_provider_is_asked_no_sooner_than_it_says(scene: RotatorScene) -> None:
    scene.mailbox("google")
    rotator = scene.rotator()
    until_idle(rotator)
    scene.provider.script = [lambda _: reply(429, {"error": "rate"}, retry_after="120")]
    scene.clock.move(2_600)
    until_idle(rotator)
    scene.clock.move(119)
    until_idle(rotator)
    assert scene.provider.renewals["ana"] == 0
    scene.clock.move(14)
    until_idle(rotator)
    assert scene.provider.renewals["ana"] == 1
    assert scene.count("rate_limited", "google") == 1


def test_a_service_gets_no_more_calls_than_its_budget(scene: RotatorScene) -> None:
    scene.budget = type(scene.budget)(calls=3, window_seconds=60)
    for number in range(10):
        scene.mailbox("google", owner=f"box-{number}")
    scene.mailbox("microsoft", owner="other")
    rotator = scene.rotator()
    until_idle(rotator)
    scene.clock.move(2_600)
    for _ in range(5):
        until_idle(rotator)
        scene.clock.move(60)
    assert max(scene.provider.calls.values()) == 3
    assert sum(scene.provider.renewals.values()) == 11
    assert scene.provider.renewals["other"] == 1  # another service's crowd does not stand in its way


def test_an_end_that_people_correct_changes_the_plan(scene: RotatorScene) -> None:
    _, token = scene.meta()
    rotator = scene.rotator()
    until_idle(rotator)
    sooner = moment(scene.clock.now_ms() + 10 * DAY * 1000)
    scene.management.run(lambda session: describe_token(session, token, expires_at=sooner, metadata=None, actor="test"))
    until_idle(rotator)
    scene.clock.move(8 * DAY)
    until_idle(rotator)
    assert scene.provider.renewals["shop"] == 1


def test_a_token_that_people_take_away_is_renewed_no_more(scene: RotatorScene) -> None:
    _, token = scene.meta()
    rotator = scene.rotator()
    until_idle(rotator)
    scene.management.run(lambda session: revoke_token(session, token, actor="test"))
    scene.clock.move(43 * DAY)
    until_idle(rotator)
    assert not scene.provider.calls


def test_a_token_that_is_taken_away_during_its_call_is_not_brought_back(scene: RotatorScene) -> None:
    connector, token = scene.meta()
    rotator = scene.rotator()
    until_idle(rotator)
    scene.provider.during = lambda _: scene.management.run(lambda session: revoke_token(session, token, actor="test"))
    scene.clock.move(43 * DAY)
    until_idle(rotator)
    assert [row[0] for row in scene.rows(connector)] == ["secret"]
    assert scene.count("dropped", "meta") == 1


def test_a_replaced_token_is_kept_when_a_person_takes_away_its_successor(scene: RotatorScene) -> None:
    connector, token = scene.meta()
    rotator = scene.rotator()
    until_idle(rotator)
    scene.clock.move(43 * DAY)
    until_idle(rotator)
    ((newer,),) = scene.sql(
        "SELECT id::text FROM channel_token WHERE connector_id = :c AND kind = 'access_token' AND id <> :t", c=connector, t=token
    )
    scene.management.run(lambda session: revoke_token(session, newer, actor="test"))
    scene.clock.move(scene.policy.overlap + 1)
    until_idle(rotator)
    scene.clock.move(RHYTHM.replan)
    until_idle(rotator)
    assert [row[1] for row in scene.rows(connector)] == ["none", "retire", "renew"]  # and renewed once more
    assert scene.sql("SELECT task FROM token_renewal WHERE token_id = :t", t=token) == [("retire",)]
    assert scene.provider.renewals["shop"] == 2


def test_an_order_of_a_person_makes_it_due_at_once(scene: RotatorScene) -> None:
    connector, token = scene.meta()
    rotator = scene.rotator()
    with pytest.raises(Conflict, match="not seen it yet"):
        scene.management.run(lambda session: renew_now(session, token, actor="test"))
    until_idle(rotator)
    scene.management.run(lambda session: renew_now(session, token, actor="test"))
    scene.clock.move(60)
    until_idle(rotator)
    assert scene.provider.renewals["shop"] == 1
    secret = scene.sql("SELECT id::text FROM channel_token WHERE connector_id = :c AND kind = 'secret'", c=connector)[0][0]
    with pytest.raises(Conflict, match="cannot renew itself"):
        scene.management.run(lambda session: renew_now(session, secret, actor="test"))


def test_an_archived_connector_is_left_alone(scene: RotatorScene) -> None:
    connector, _ = scene.meta()
    rotator = scene.rotator()
    until_idle(rotator)
    scene.management.status(connector, ConnectorStatus.ARCHIVED)
    scene.clock.move(43 * DAY)
    until_idle(rotator)
    assert not scene.provider.calls


def test_the_answer_survives_an_outage_and_nobody_is_asked_twice(scene: RotatorScene) -> None:
    connector, _, _ = scene.mailbox("microsoft", one_time=True)
    rotator = scene.rotator()
    until_idle(rotator)
    scene.provider.during = lambda _: scene.outage(away=True)
    scene.clock.move(2_600)
    while not scene.provider.renewals:
        rotator.turn()
    for _ in range(3):
        with pytest.raises(Unavailable):
            rotator.turn()
    scene.outage(away=False)
    until_idle(rotator)
    assert scene.provider.renewals == {"ana": 1}
    assert sum(scene.provider.calls.values()) == 1
    assert value_of(scene, connector, TokenKind.REFRESH_TOKEN) == scene.grant("ana").refresh[-1]


@pytest.mark.req(69)
def test_people_are_told_once_for_each_threshold(scene: RotatorScene) -> None:
    connector, token = scene.meta()
    scene.provider.script = [lambda _: reply(503, {})] * 10_000
    rotator = scene.rotator()
    until_idle(rotator)
    scene.clock.move(53 * DAY - 600)
    until_idle(rotator)
    assert scene.notices() == []
    for hours in range(1, 7 * 24 + 2):  # as seen every hour, and at the end every minute
        for _ in range(1 if hours < 7 * 24 else 60):
            scene.clock.move(3_600 if hours < 7 * 24 else 60)
            until_idle(rotator)
    told = scene.notices()
    assert [one["threshold_seconds"] for one in told] == [604_800, 86_400, 3_600, 300]
    assert all(0 <= one["threshold_seconds"] - one["seconds_left"] <= 3_600 for one in told)
    assert {(one["renewal"], one["token_id"], one["kind"]) for one in told} == {("failing", token, "access_token")}
    assert scene.rows(connector)[-1][2:] == ("stopped", "token_expired")


@pytest.mark.req(69)
def test_they_are_told_again_only_after_a_renewal(scene: RotatorScene) -> None:
    scene.mailbox("google")
    rotator = scene.rotator()
    until_idle(rotator)
    for renewals in range(2):
        scene.provider.script = [lambda _: reply(503, {})] * 1_000
        scene.clock.move(3_250)
        for _ in range(10):
            scene.clock.move(30)
            until_idle(rotator)
        assert [one["threshold_seconds"] for one in scene.notices()] == [300] * (renewals + 1)
        scene.provider.script = []
        scene.clock.move(900)
        until_idle(rotator)
        assert scene.provider.renewals["ana"] == renewals + 1


def test_a_key_that_cannot_be_renewed_is_watched(scene: RotatorScene) -> None:
    connector = scene.management.connector(tipo=ConnectorType.TELEGRAM, config={})
    scene.token(connector, "123456:canary-key", 10 * DAY)
    rotator = scene.rotator()
    until_idle(rotator)
    assert [row[1] for row in scene.rows(connector)] == ["watch"]
    scene.clock.move(3 * DAY)
    until_idle(rotator)
    assert [(one["threshold_seconds"], one["renewal"]) for one in scene.notices()] == [(604_800, "none")]
    assert not scene.provider.calls


def test_a_key_without_an_end_is_tried_on_a_schedule(scene: RotatorScene) -> None:
    connector = scene.management.connector(tipo=ConnectorType.TELEGRAM, config={})
    scene.token(connector, "123456:canary-key", None)
    asked: list[str] = []

    def answer(placed: PlacedCall) -> ProviderAnswer:
        asked.append(placed.call.step)
        return reply(401, {"ok": False, "error_code": 401, "description": "Unauthorized"})

    scene.provider.script = [answer] * 10
    rotator = scene.rotator()
    until_idle(rotator)
    assert [row[1] for row in scene.rows(connector)] == ["test"]
    scene.clock.move(scene.policy.test_every * 1.2)
    until_idle(rotator)
    assert asked
    ((_, task, state, cause),) = scene.rows(connector)
    assert (task, state) == ("test", "planned")
    assert cause  # what was found; the grade that pauses anything is the health service's
    tests = {"service": "telegram", "grade": "failed"}
    assert scene.registries[0].get_sample_value("channels_token_rotator_tests_total", tests) == 1


@pytest.mark.req(74)
def test_each_opening_has_one_row_and_no_value_is_anywhere_else(scene: RotatorScene, capsys: pytest.CaptureFixture[str]) -> None:
    scene.mailbox("microsoft")
    rotator = scene.rotator()
    until_idle(rotator)
    scene.clock.move(2_600)
    until_idle(rotator)
    opened = scene.management.read("SELECT actor FROM audit_log WHERE action = 'token.opened'")
    assert opened == [("token_rotator",)] * 2  # the refresh token and the client's secret
    for table in ("audit_log", "outbox", "snapshot_version"):
        assert "canary" not in str(scene.management.read(f"SELECT t::text FROM {table} t"))
    for table in ("token_renewal", "channel_token"):
        assert "canary" not in str(scene.sql(f"SELECT t::text FROM {table} t"))
    shown = capsys.readouterr()
    assert "renewal_done" in shown.out
    assert "canary" not in shown.out + shown.err


@pytest.mark.req(70)
def test_a_renewed_token_wakes_the_sync_that_was_refused_with_the_old_one_meanwhile(scene: RotatorScene) -> None:
    connector, token = scene.meta()
    rotator = scene.rotator()
    until_idle(rotator)
    ((due,),) = scene.sql("SELECT extract(epoch FROM due_at)::float FROM token_renewal WHERE token_id = :t", t=token)
    scene.clock.move(due - scene.clock.now_ms() / 1000 + 1)
    asked_ms = scene.clock.now_ms()

    def refused(_: object) -> None:  # while the provider is asked for the new one: begun and ended with the old one
        stopped = text(
            "INSERT INTO sync_job (subject_id, connector_id, state, asked, asked_since, started_at, finished_at, outcome)"
            " VALUES (:c, :c, 'stopped', 1, now(), :began, :ended, 'refused') ON CONFLICT DO NOTHING"
        )
        times = {"began": moment(asked_ms + 60_000), "ended": moment(asked_ms + 61_000)}
        scene.management.run(lambda session: session.execute(stopped, {"c": connector, **times}))

    scene.provider.during = refused
    until_idle(rotator)
    assert scene.provider.renewals["shop"] == 1
    assert scene.sql("SELECT state FROM sync_job WHERE connector_id = :c AND due_at IS NOT NULL", c=connector) == [("waiting",)]
