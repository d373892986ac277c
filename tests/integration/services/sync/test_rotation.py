"""A receiving secret is replaced at the provider with an overlap: no genuine webhook is refused, and the old one ends."""

from __future__ import annotations

import http.client
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from services.simulator.delivery import LedgerLine
from shared.domain.enums import SecretUse, TokenKind, WebhookEvent
from shared.domain.errors import Conflict
from shared.domain.syncing import OVERTAKEN
from shared.management.provider_rotation import NewRotation, rotate_secret
from shared.management.removal import delete_webhook
from shared.management.secret_rotation import add_secret
from shared.management.webhooks import NewSecret, NewWebhook, create_webhook
from tests.integration.management import ACTOR
from tests.integration.services.sync.site import EDGE, KILLED, NEW, OLD, RELAY, SYNC, Registered, Site
from tests.integration.services.sync.test_bursts_and_kills import tell

OVERLAP_SECONDS = 3


def rotate(
    site: Site, one: Registered, *, overlap: int = OVERLAP_SECONDS, use: SecretUse = SecretUse.SIGN, value: Any = NEW
) -> str:
    new = NewRotation(use=use, overlap_seconds=overlap, value=value)
    management = site.management
    return management.run(lambda session: rotate_secret(session, management.vault, one.connector, new, actor=ACTOR))


def posted(site: Site, one: Registered, secret: str) -> int:
    """The edge's answer to a webhook under this secret."""
    header = "X-Telegram-Bot-Api-Secret-Token" if one.stand_in == "telegram" else "X-Channel-Secret"
    connection = http.client.HTTPConnection("127.0.0.1", site.edge_port, timeout=10)
    try:
        body = b'{"update_id":1,"event":"presence.update","data":{}}'
        headers = {"Content-Type": "application/json", header: secret}
        connection.request("POST", f"/webhooks/{one.connector}", body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.req(36)
def test_under_a_stream_of_webhooks_none_is_refused_and_the_old_secret_ends(shared_site: Site) -> None:
    site, one = shared_site, shared_site.evolution()
    site.until_at(one.account, "idle", "synced")
    engine = site.played.simulator.engine
    site.until(lambda: posted(site, one, OLD) == 200, "the edge knows")
    secret_id = ""
    said = 0
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        site.say(one, f"message {said}")
        said += 1
        if said == 10:
            secret_id = rotate(site, one)
        if secret_id and site.secrets(one.connector).get("0", ("live", None))[0] == "expired" and said > 40:
            break
        time.sleep(0.02)
    assert site.secrets(one.connector)["0"][0] == "expired"
    assert one.played.secret == NEW

    def posts() -> list[LedgerLine]:
        return [line for line in list(engine.ledger) if (line.stand_in, line.account) == ("evolution", one.played.id)]

    site.until(lambda: len(posts()) == said, "each was posted once")
    lines = posts()
    assert {line.status for line in lines} == {200}
    site.until(lambda: posted(site, one, OLD) in (401, 403), "the old one proves nothing any more")
    assert posted(site, one, NEW) == 200
    job = site.job(one.account)
    assert job is not None
    assert job["registered_secret"] == secret_id
    actions = [action for action, _, _ in site.management.audit(one.connector)]
    assert actions[-2:] == ["webhook.secret_rotation_begun", "webhook.secret_rotated"]


@pytest.mark.req(36)
def test_while_the_registration_is_refused_the_old_secret_stays_for_ever(shared_site: Site) -> None:
    site, one = shared_site, shared_site.telegram()
    site.until_at(one.subject, "idle", "synced")
    good, one.played.about["token"] = one.played.about["token"], f"{one.played.id}:AAsimulated-token-that-was-revoked3"
    rotate(site, one, overlap=0)
    job = site.until_at(one.subject, "stopped", "refused")
    assert job["cause"] == "auth"
    assert site.secrets(one.connector) == {"0": ("live", None), "1": ("live", None)}
    assert (posted(site, one, OLD), one.played.secret) == (200, OLD)
    assert [action for action, _ in site.audit(one.connector)] == ["sync.failed"]
    one.played.about["token"] = good
    site.management.token(one.connector, value=good)
    site.until(lambda: site.secrets(one.connector)["0"][0] == "expired", "ended")
    assert one.played.secret == NEW
    site.until(lambda: posted(site, one, OLD) in (401, 403), "the old one proves nothing any more")


@pytest.mark.req(36)
def test_the_old_secret_stays_until_every_account_has_the_new_one(shared_site: Site) -> None:
    site, one = shared_site, shared_site.evolution()
    second = site.played.on_loop(
        lambda: site.played.simulator["evolution"].create(callback_url="", token=one.played.about["token"])
    )
    account = site.instance(one.connector, second)
    for subject in (one.account, account):
        site.until_at(subject, "idle", "synced")
    second.about["token"] = "another key than ours"
    rotate(site, one, overlap=0)
    site.until(lambda: one.played.secret == NEW, "the first has it")
    site.until_at(account, "stopped", "refused")
    assert site.secrets(one.connector)["0"] == ("live", None)
    second.about["token"] = one.played.about["token"]
    rows = site.management.read("SELECT 1 FROM secret_rotation WHERE connector_id = :id", id=one.connector)
    assert len(rows) == 1

    site.management.token(one.connector, kind=TokenKind.API_KEY, value=str(second.about["token"]))
    site.until(lambda: site.secrets(one.connector)["0"][0] == "expired", "ended")
    assert second.secret == NEW
    assert site.management.read("SELECT 1 FROM secret_rotation WHERE connector_id = :id", id=one.connector) == []


@pytest.mark.req(36)
def test_a_verify_token_is_rotated_and_an_app_secret_is_not_ours_to_rotate(shared_site: Site) -> None:
    site, one = shared_site, shared_site.meta()
    site.until_at(one.subject, "idle", "synced")
    rotate(site, one, use=SecretUse.HANDSHAKE, value=None, overlap=0)
    site.until(lambda: site.secrets(one.connector)["1"][0] == "expired", "ended")
    assert one.played.about["verify_token"] != OLD
    assert len(one.played.about["verify_token"]) == 43
    assert site.secrets(one.connector)["0"] == ("live", None)
    with pytest.raises(Conflict, match="set it there") as refused:
        rotate(site, one, use=SecretUse.SIGN)
    assert refused.value.reason == "not_registered_here"


@pytest.mark.req(36)
@pytest.mark.parametrize("step", ["registered", "written"])
def test_a_rotation_is_taken_up_by_another_process(site: Site, step: str) -> None:
    one = site.telegram()
    site.start(RELAY)
    edge = site.start(EDGE)
    site.until(lambda: edge.ready, "the edge")
    first = site.start(SYNC)
    site.until(lambda: site.is_at(one.subject, "idle", "synced"), "synced")
    site.until(lambda: site.management.read("SELECT 1 FROM outbox") == [], "published")
    first.terminate()
    assert first.wait() == 0
    rotate(site, one, overlap=0)
    dying = site.start(KILLED, step)
    site.until(lambda: dying.process.poll() == -signal.SIGKILL, f"killed when {step}")
    assert site.secrets(one.connector)["0"] == ("live", None)
    assert (one.played.secret, posted(site, one, OLD)) == (NEW, 200)
    site.forget_leases()
    site.start(SYNC)
    site.until(lambda: site.secrets(one.connector)["0"][0] == "expired", "ended")
    site.until(lambda: posted(site, one, OLD) in (401, 403), "the old one proves nothing any more")
    assert posted(site, one, NEW) == 200


@pytest.mark.req(36)
def test_what_came_late_is_put_right_by_registering_once_more(shared_site: Site) -> None:
    site, one = shared_site, shared_site.telegram()
    site.until_at(one.subject, "idle", "synced")
    site.played.on_loop(lambda: setattr(one.played, "secret", "what-a-process-that-was-held-up-brought"))
    tell(site, one, 1, "config_changed")
    site.until(lambda: (site.job(one.subject) or {}).get("taken") == site.job(one.subject)["asked"], "taken")  # type: ignore[index]
    site.until_at(one.subject, "idle", "synced")
    assert one.played.secret != OLD  # nobody can see which secret the provider has
    tell(site, one, 1, OVERTAKEN)
    site.until(lambda: one.played.secret == OLD, "registered once more")


@pytest.mark.req(36)
def test_a_rotation_ends_though_the_class_that_named_its_secret_is_taken_away(site: Site) -> None:
    one, management = site.telegram(), site.management
    new = NewWebhook(
        evento=WebhookEvent.MESSAGE_STATUS,
        url=f"https://edge.example.org/webhooks/{one.connector}",
        secrets=[NewSecret(use=SecretUse.SIGN, value=OLD)],
    )
    management.run(lambda session: create_webhook(session, management.vault, one.connector, new, actor=ACTOR))
    for module in (RELAY, EDGE, SYNC):
        site.start(module)
    site.until_at(one.subject, "idle", "synced")
    good, one.played.about["token"] = one.played.about["token"], f"{one.played.id}:AAsimulated-token-that-was-revoked3"
    rotate(site, one, overlap=0)
    site.until_at(one.subject, "stopped", "refused")
    [(first,)] = management.read("SELECT min(id::text) FROM channel_webhook WHERE connector_id = :id", id=one.connector)
    management.run(lambda session: delete_webhook(session, first, actor=ACTOR))
    one.played.about["token"] = good
    management.token(one.connector, value=good)
    site.until(lambda: one.played.secret == NEW, "registered")
    site.until(lambda: site.secrets(one.connector)["0"][0] == "expired", "the old one ends")


@pytest.mark.req(36)
def test_a_secret_that_begins_later_is_registered_by_itself_when_its_time_comes(shared_site: Site) -> None:
    site, one = shared_site, shared_site.evolution()
    site.until_at(one.account, "idle", "synced")
    management, added = site.management, ""

    def plan(new: NewSecret) -> None:
        nonlocal added
        added = management.run(lambda session: add_secret(session, management.vault, one.connector, new, actor=ACTOR))

    value = planned(site, one, plan)
    asked = site.job(one.account)
    site.until(lambda: one.played.secret == value, "registered")
    site.until(lambda: recheck_ms(site, one) is None, "stored")
    job = site.until_at(one.account, "idle", "synced")
    assert asked is not None
    assert (job["registered_secret"], job["asked"]) == (added, asked["asked"])  # nobody asked
    assert {state for state, _ in site.secrets(one.connector).values()} == {"live"}  # the old one stays until somebody ends it
    assert (posted(site, one, OLD), posted(site, one, value)) == (200, 200)


@pytest.mark.req(36)
def test_who_lacks_a_secret_gets_the_one_that_begins(shared_site: Site) -> None:
    site, one = shared_site, shared_site.telegram()
    site.until_at(one.subject, "idle", "synced")
    value = planned(site, one, lambda new: site.webhook_secrets(one.connector, [new]))
    site.until_at(one.subject, "idle", "synced")
    assert one.played.secret == value
    assert ("sync.failed", "secret_missing:sign") in [(action, after["cause"]) for action, after in site.audit(one.connector)]


def planned(site: Site, one: Registered, plan: Callable[[NewSecret], None]) -> str:
    """Plan secrets, each further ahead than the last, until sync has seen one before its time; returns its value."""
    for lead_ms in (4_000, 12_000, 36_000):  # how soon it sees it is the machine's
        value, begins = f"{NEW}{lead_ms}", now_ms() + lead_ms
        plan(NewSecret(use=SecretUse.SIGN, value=value, not_before_ms=begins))
        site.until(lambda until=begins: recheck_ms(site, one) == until or now_ms() > until, "seen")  # type: ignore[misc]
        if recheck_ms(site, one) == begins:
            assert one.played.secret != value or now_ms() >= begins
            return value
    raise AssertionError("sync never saw a secret before its time")


def recheck_ms(site: Site, one: Registered) -> int | None:
    [(at,)] = site.management.read("SELECT recheck_at FROM sync_job WHERE subject_id = :id", id=one.subject)
    return None if at is None else round(at.timestamp() * 1000)


def now_ms() -> int:
    return time.time_ns() // 1_000_000
