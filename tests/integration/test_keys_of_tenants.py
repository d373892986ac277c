"""Data keys on the real database: wrapped anew, replaced with everything they sealed, deleted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from shared.adapters.configuration_rows import read_configuration
from shared.adapters.database import create_engine_for, unit_of_work
from shared.adapters.local_keys import LocalKeyFiles
from shared.adapters.receiving_secrets import open_segredo
from shared.adapters.tables import ChannelToken
from shared.adapters.vault import Aad, Vault
from shared.domain.enums import ConnectorType, KeyPurpose, SecretUse, TokenKind, WebhookEvent
from shared.domain.errors import ChannelsError, NotFound, SealBroken, Unavailable, UnknownKey
from shared.management import resealing
from shared.management.connectors import NewConnector, create_connector
from shared.management.key_erasure import erase_keys
from shared.management.key_rotation import rewrap_tenant, snapshots_pending, tenants_to_rewrap
from shared.management.opened_tokens import open_token
from shared.management.reference import put_tenant
from shared.management.repeated_requests import GuardedRequest, KnownAnswer, begin, finish
from shared.management.resealing import Resealed, reseal_tenant
from shared.management.tokens import NewToken, add_token, holds_value
from shared.management.webhooks import NewSecret, NewWebhook, create_webhook
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import ACTOR, TOKEN_VALUE, Management, management_of
from tests.waiting import eventually

INGEST, CREDENTIAL = KeyPurpose.INGEST, KeyPurpose.CREDENTIAL
SECRET = "canary-app-secret"
BODY = Aad("", "channels.webhook.received", "body", "r1")


class Scene:
    """A tenant with an active connector, a token and a webhook; and what an operator and a reader of tokens can do."""

    def __init__(self, database: DatabaseUnderTest, management: Management, keys: Path) -> None:
        self.management, self.keys = management, keys
        self.owner: Engine = create_engine_for(database.owner_url, pool_size=4)
        self.reader: Engine = create_engine_for(database.credential_url)
        self.tenant = management.tenant
        self.connector = management.active_connector()
        self.token = management.token(self.connector)
        new = NewWebhook(
            evento=WebhookEvent.MESSAGE_IN, url="https://edge.example.org", secrets=[NewSecret(use=SecretUse.SIGN, value=SECRET)]
        )
        self.webhook = management.run(
            lambda session: create_webhook(session, management.vault, self.connector, new, actor=ACTOR)
        ).id

    def vault(self) -> Vault:
        """As in a new process."""
        return Vault(LocalKeyFiles(self.keys, frozenset(KeyPurpose)))

    def operate(self, use_case: Callable[[Session], Any]) -> Any:
        """One committed unit of work of the owner."""
        with unit_of_work(self.owner) as session:
            result = use_case(session)
            session.commit()
        return result

    def told(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """Rows of every tenant."""
        return [tuple(row) for row in self.operate(lambda session: session.execute(text(sql), values).all())]

    def stranger(self) -> tuple[str, str]:
        """Another tenant, and its token."""

        def create(session: Session) -> tuple[str, str]:
            tenant = put_tenant(session, None, "Other", actor=ACTOR).id
            new = NewConnector(
                tenant_id=tenant, tipo=ConnectorType.WHATSAPP_OFFICIAL, nome="Meta", config={"waba_id": "100000000000000"}
            )
            connector = create_connector(session, self.management.vault, new, actor=ACTOR)
            token = NewToken(kind=TokenKind.ACCESS_TOKEN, value=TOKEN_VALUE)
            return tenant, add_token(session, self.management.vault, connector.id, token, actor=ACTOR).id

        created: tuple[str, str] = self.operate(create)
        return created

    def rotate(self, vault: Vault) -> list[str]:
        """As the command does it."""
        with unit_of_work(self.owner) as session:
            pending = tenants_to_rewrap(session, vault)
            for tenant in pending:
                rewrap_tenant(session, vault, tenant, actor=ACTOR)
                session.commit()
        return pending

    def reseal(self, *, actor: str = ACTOR, at_once: int = 1) -> Resealed:
        """To its end, in the smallest steps."""
        *_, done = reseal_tenant(self.owner, self.vault(), self.tenant, actor=actor, connectors_at_once=at_once)
        return done

    def read_token(self, vault: Vault, token: str | None = None) -> str | None:
        with unit_of_work(self.reader) as session:
            opened = open_token(session, vault, token or self.token, actor="reader")
            session.commit()
        return None if opened is None else opened.value

    def snapshot(self) -> Any:
        """The connector as the relay would publish it."""
        with self.owner.connect() as connection:
            return read_configuration(connection, [self.connector], []).connectors[self.connector]

    def read_secret(self, vault: Vault) -> bytes:
        """As the edge does, from the snapshot alone."""
        row = self.snapshot()
        ring = vault.ring(INGEST, self.tenant, row.ingest_keys)
        return open_segredo(ring, self.tenant, self.webhook, row.webhooks[0].segredo)[0].value


@pytest.fixture
def scene(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Scene]:
    with management_of(database.api_url, tmp_path / "keys") as management:
        made = Scene(database, management, tmp_path / "keys")
        yield made
        made.owner.dispose()
        made.reader.dispose()


def sealed_texts(scene: Scene) -> list[str]:
    return [
        row[0]
        for row in scene.operate(
            lambda session: session.execute(
                text(
                    "SELECT valor_encrypted FROM channel_token UNION ALL SELECT metadata->>'fingerprint' FROM channel_token"
                    " UNION ALL SELECT segredo FROM channel_webhook UNION ALL SELECT request_digest FROM idempotency_key"
                )
            ).all()
        )
    ]


def test_rotation_rewraps_every_key_once_and_everything_still_opens(scene: Scene) -> None:
    other, _ = scene.stranger()
    before, version = sealed_texts(scene), scene.management.version(scene.connector)
    assert scene.rotate(scene.vault()) == []
    LocalKeyFiles.add_generation(scene.keys)
    assert scene.rotate(scene.vault()) == sorted([scene.tenant, other])
    assert scene.rotate(scene.vault()) == []
    assert sealed_texts(scene) == before  # only the keys were wrapped anew
    assert scene.management.version(scene.connector) == version + 1
    versions = "SELECT version FROM snapshot_version JOIN channel_connector c ON c.id = subject_id WHERE c.tenant_id = :tenant"
    assert scene.told(versions, tenant=other) == [(3,)]
    assert len(scene.told("SELECT 1 FROM audit_log WHERE action = 'data_key.rewrapped'")) == 4
    assert scene.operate(snapshots_pending)
    LocalKeyFiles.drop_old_generations(scene.keys)
    assert scene.read_token(scene.vault()) == TOKEN_VALUE
    assert scene.read_secret(scene.vault()) == SECRET.encode()


def test_a_rotation_that_breaks_off_is_finished_by_the_next(scene: Scene) -> None:
    others = [scene.stranger()[0] for _ in range(3)]
    LocalKeyFiles.add_generation(scene.keys)
    vault = scene.vault()
    first = sorted([scene.tenant, *others])[0]
    scene.operate(lambda session: rewrap_tenant(session, vault, first, actor=ACTOR))
    with unit_of_work(scene.owner) as session:  # killed before its commit
        rewrap_tenant(session, vault, scene.tenant, actor=ACTOR)
    assert scene.rotate(scene.vault()) == sorted({scene.tenant, *others} - {first})
    assert scene.rotate(scene.vault()) == []


def test_two_rotations_at_once_and_a_new_key_between_leave_nothing_behind(scene: Scene) -> None:
    LocalKeyFiles.add_generation(scene.keys)
    failures: list[BaseException] = []

    def rotate() -> None:
        try:
            scene.rotate(scene.vault())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=rotate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert scene.rotate(scene.vault()) == []
    assert scene.read_token(scene.vault()) == TOKEN_VALUE


def test_a_process_that_began_before_a_rotation_wraps_nothing_under_a_key_that_was_dropped(scene: Scene) -> None:
    LocalKeyFiles.add_generation(scene.keys)
    scene.rotate(scene.vault())
    LocalKeyFiles.drop_old_generations(scene.keys)
    _, token = scene.stranger()  # a new tenant's keys, made by the vault that read its files before all that
    assert scene.read_token(scene.vault(), token) == TOKEN_VALUE


@pytest.mark.req(74)
def test_resealing_renews_every_sealed_column_and_reads_tokens_only_on_the_record(scene: Scene) -> None:
    management = scene.management
    request = GuardedRequest(tenant_id=scene.tenant, key="k1", digest=b"d" * 32)

    def creation(session: Session) -> None:
        assert begin(session, management.vault, request, actor=ACTOR) is None
        finish(session, request, KnownAnswer(status=201, headers={}, answer={"id": "1"}))

    management.run(creation)
    old = {key.key_id for purpose in KeyPurpose for key in management.keys(purpose)}
    body = management.vault.ring(INGEST, scene.tenant, management.keys(INGEST)).seal_bytes(b"raw", BODY)
    done = scene.reseal(actor="operator")
    assert (done.tokens, done.webhooks, done.retired_keys, done.unreadable) == (2, 1, 2, ())
    texts = sealed_texts(scene)
    assert len(texts) == 6
    assert not any(key_id in one for key_id in old for one in texts)
    opened = management.read("SELECT actor, subject_id::text FROM audit_log WHERE action = 'token.opened'")
    assert len(opened) == 2
    assert {actor for actor, _ in opened} == {"operator"}
    assert (scene.read_token(scene.vault()), scene.read_secret(scene.vault())) == (TOKEN_VALUE, SECRET.encode())
    keys = scene.snapshot().ingest_keys
    assert keys[0].key_id not in old
    assert {key.key_id for key in keys[1:]} <= old  # the new one seals, raw records under the old one still open
    assert scene.vault().ring(INGEST, scene.tenant, keys).open_bytes(body, BODY) == b"raw"
    again = management.run(lambda session: begin(session, scene.vault(), request, actor=ACTOR))
    assert again is not None
    assert again.status == 201
    token = management.run(lambda session: session.get_one(ChannelToken, scene.token))
    assert management.run(lambda session: holds_value(session, scene.vault(), scene.tenant, token, TOKEN_VALUE, actor=ACTOR))


def test_retired_keys_are_handed_out_until_their_time(scene: Scene) -> None:
    scene.reseal(actor=ACTOR)
    assert [len(scene.management.keys(purpose)) for purpose in (INGEST, CREDENTIAL)] == [2, 2]
    scene.operate(lambda session: session.execute(text("UPDATE data_key SET retired_at = now() WHERE retired_at IS NOT NULL")))
    assert [len(scene.management.keys(purpose)) for purpose in (INGEST, CREDENTIAL)] == [1, 1]
    assert len(scene.snapshot().ingest_keys) == 1
    assert (scene.read_token(scene.vault()), scene.read_secret(scene.vault())) == (TOKEN_VALUE, SECRET.encode())


def test_resealing_among_busy_administrators_loses_no_token(scene: Scene) -> None:
    added: list[str] = []
    failures: list[BaseException] = []
    stop = threading.Event()
    new = NewToken(kind=TokenKind.ACCESS_TOKEN, value=TOKEN_VALUE)

    def reseal() -> None:
        scene.reseal(actor=ACTOR)

    def administrate() -> None:
        while not stop.is_set():
            try:
                token = scene.management.run(
                    lambda session: add_token(session, scene.management.vault, scene.connector, new, actor=ACTOR)
                )
                added.append(token.id)
                created = scene.management.connector(config={"waba_id": "100000000000000", "access_token": TOKEN_VALUE})
                added.extend(
                    row[0]
                    for row in scene.management.read("SELECT id::text FROM channel_token WHERE connector_id = :c", c=created)
                )
            except ChannelsError as error:
                if not error.retryable:
                    failures.append(error)

    threads = [threading.Thread(target=administrate) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(8):
        with suppress(Unavailable):  # the database ended a deadlock; nothing was changed
            reseal()
    stop.set()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert len(added) > 10
    scene.operate(lambda session: session.execute(text("UPDATE data_key SET retired_at = now() WHERE retired_at IS NOT NULL")))
    vault = scene.vault()
    assert {scene.read_token(vault, token) for token in added} == {TOKEN_VALUE}


class Held:
    """Stops threads of the name `held` before or after `reseal_tenant` has taken the tenant's lock at its end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, locked: bool) -> None:
        self.reached, self.gate = threading.Event(), threading.Event()
        take_lock = resealing._lock_tenant

        def lock_tenant(session: Session, tenant_id: str) -> None:
            if locked:
                take_lock(session, tenant_id)
            if threading.current_thread().name == "held":
                self.reached.set()
                assert self.gate.wait(20)
            if not locked:
                take_lock(session, tenant_id)

        monkeypatch.setattr(resealing, "_lock_tenant", lock_tenant)


def test_of_two_resealings_at_once_neither_seals_with_the_key_that_it_retires(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch, locked=False)
    first = threading.Thread(target=scene.reseal, name="held")
    first.start()
    assert held.reached.wait(20)
    scene.reseal()  # begins after the first one and is done before it
    held.gate.set()
    first.join(20)
    keys = scene.snapshot().ingest_keys
    scene.operate(lambda session: session.execute(text("UPDATE data_key SET retired_at = now() WHERE retired_at IS NOT NULL")))
    assert scene.snapshot().ingest_keys == keys[:1]
    assert (scene.read_token(scene.vault()), scene.read_secret(scene.vault())) == (TOKEN_VALUE, SECRET.encode())


def test_a_creation_that_came_while_its_tenant_was_resealed_is_known_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(monkeypatch, locked=True)
    request = GuardedRequest(tenant_id=scene.tenant, key="k1", digest=b"d" * 32)

    def create() -> None:
        def creation(session: Session) -> None:
            assert begin(session, scene.management.vault, request, actor=ACTOR) is None
            finish(session, request, KnownAnswer(status=201, headers={}, answer={"id": "1"}))

        scene.management.run(creation)

    threads = [threading.Thread(target=scene.reseal, name="held"), threading.Thread(target=create)]
    threads[0].start()
    assert held.reached.wait(20)
    threads[1].start()
    waiting = "SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE datname = current_database() AND NOT granted"
    eventually(lambda: scene.told(waiting))
    held.gate.set()
    for thread in threads:
        thread.join(20)
    scene.operate(lambda session: session.execute(text("UPDATE data_key SET retired_at = now() WHERE retired_at IS NOT NULL")))
    again = scene.management.run(lambda session: begin(session, scene.vault(), request, actor=ACTOR))
    assert again is not None


def test_resealing_goes_on_in_small_steps_between_which_everybody_works(scene: Scene) -> None:
    management = scene.management
    others = [management.connector() for _ in range(4)]
    tokens = [management.token(connector) for connector in others]
    steps = reseal_tenant(scene.owner, scene.vault(), scene.tenant, actor=ACTOR, connectors_at_once=2)
    first = next(steps)
    assert (first.connectors, first.of_connectors, first.retired_keys) == (2, 5, 0)
    with unit_of_work(management.engine, tenant_id=scene.tenant) as session:
        for connector in (scene.connector, *others):  # nothing is locked between two steps
            session.execute(text("SELECT 1 FROM channel_connector WHERE id = :c FOR UPDATE NOWAIT"), {"c": connector})
    before, behind = management.token(scene.connector), management.token(others[-1])
    came = management.connector(config={"waba_id": "100000000000000", "access_token": TOKEN_VALUE})
    steps.close()  # the operator's machine is gone
    keys = {key.key_id for purpose in KeyPurpose for key in management.keys(purpose)}
    assert len(keys) == 4
    versions = [management.version(connector) for connector in (*others, came)]
    done = scene.reseal(at_once=2)
    assert {key.key_id for purpose in KeyPurpose for key in management.keys(purpose)} == keys, "no third generation"
    assert (done.connectors, done.retired_keys, done.unreadable) == (6, 2, ())
    assert [management.version(connector) for connector in (*others, came)] == [version + 1 for version in versions]
    scene.operate(lambda session: session.execute(text("UPDATE data_key SET retired_at = now() WHERE retired_at IS NOT NULL")))
    every = [scene.token, *tokens, before, behind]
    every += [row[0] for row in management.read("SELECT id::text FROM channel_token WHERE connector_id = :c", c=came)]
    vault = scene.vault()
    assert {scene.read_token(vault, token) for token in every} == {TOKEN_VALUE}
    assert scene.read_secret(vault) == SECRET.encode()


def test_a_connector_registered_while_resealing_is_taken_in_at_the_end(scene: Scene) -> None:
    management, stale = scene.management, scene.vault()
    old = {key.key_id for purpose in KeyPurpose for key in management.keys(purpose)}
    steps = reseal_tenant(scene.owner, scene.vault(), scene.tenant, actor=ACTOR)
    with management.work() as session:  # it has read the keys, and is not done yet
        held = create_connector(
            session,
            stale,
            NewConnector(tenant_id=scene.tenant, tipo=ConnectorType.TELEGRAM, nome="Bot", config={"access_token": TOKEN_VALUE}),
            actor=ACTOR,
        ).id
        step = next(steps)
        finished: list[Resealed] = []
        finishing = threading.Thread(target=lambda: finished.extend(steps))
        finishing.start()
        finishing.join(0.5)
        assert finishing.is_alive(), "the end waits for whoever has read the old keys"
        session.commit()
    finishing.join(10)
    assert (step.of_connectors, finished[-1].of_connectors) == (1, 2)
    [(token, sealed)] = scene.told("SELECT id::text, valor_encrypted FROM channel_token WHERE connector_id = :c", c=held)
    assert sealed.split("|")[1] not in old
    scene.operate(lambda session: session.execute(text("UPDATE data_key SET retired_at = now() WHERE retired_at IS NOT NULL")))
    assert scene.read_token(scene.vault(), token) == TOKEN_VALUE


def test_keys_erased_while_resealing_are_not_used_again(scene: Scene) -> None:
    steps = reseal_tenant(scene.owner, scene.vault(), scene.tenant, actor=ACTOR, connectors_at_once=1)
    scene.management.connector()
    next(steps)
    scene.operate(lambda session: erase_keys(session, scene.tenant, actor=ACTOR))
    list(steps)
    assert scene.told("SELECT 1 FROM data_key WHERE tenant_id = :t", t=scene.tenant) == []
    with pytest.raises(SealBroken):
        scene.read_token(scene.vault())


def test_a_resealing_does_not_retire_the_key_that_a_later_one_has_only_begun_to_replace(scene: Scene) -> None:
    token = scene.management.token(scene.management.connector())

    def run() -> Iterator[Resealed]:
        return reseal_tenant(scene.owner, scene.vault(), scene.tenant, actor=ACTOR, connectors_at_once=1)

    slow = run()
    assert [next(slow).connectors, next(slow).connectors] == [1, 2]
    list(run())  # goes on with the key of the slow one, and is done
    next(run())  # makes a key of its own, and is killed before it comes to the second connector
    list(slow)
    scene.operate(lambda session: session.execute(text("UPDATE data_key SET retired_at = now() WHERE retired_at IS NOT NULL")))
    assert scene.read_token(scene.vault(), token) == TOKEN_VALUE


@pytest.mark.req(78)
def test_after_an_erasure_nothing_of_the_tenant_opens_and_others_are_untouched(scene: Scene) -> None:
    management = scene.management
    _, foreign = scene.stranger()
    running = scene.vault()
    ring = running.ring(INGEST, scene.tenant, management.keys(INGEST))
    body = ring.seal_bytes(b"raw", BODY)
    assert scene.read_secret(running) == SECRET.encode()
    scene.reseal(actor=ACTOR)
    version = management.version(scene.connector)
    erased = scene.operate(lambda session: erase_keys(session, scene.tenant, actor="operator"))
    assert (erased.keys, erased.connectors) == (4, 1)  # the retired ones too
    for vault in (scene.vault(), running):
        with pytest.raises(UnknownKey):
            vault.ring(INGEST, scene.tenant, scene.snapshot().ingest_keys).open_bytes(body, BODY)
        with pytest.raises(UnknownKey):
            scene.read_secret(vault)
        with pytest.raises(SealBroken):
            scene.read_token(vault)
    assert scene.read_token(scene.vault(), foreign) == TOKEN_VALUE
    assert management.version(scene.connector) == version + 1
    assert len(management.read("SELECT 1 FROM audit_log WHERE action = 'data_key.erased' AND actor = 'operator'")) == 4
    assert scene.operate(lambda session: erase_keys(session, scene.tenant, actor="operator")).keys == 0
    new = management.token(scene.connector)  # a tenant that comes back begins anew
    assert scene.read_token(scene.vault(), new) == TOKEN_VALUE


def test_an_unknown_tenant_is_told(scene: Scene) -> None:
    nobody = "01900000-0000-7000-8000-0000000000ff"
    with pytest.raises(NotFound):
        list(reseal_tenant(scene.owner, scene.vault(), nobody, actor=ACTOR))
    with pytest.raises(NotFound), unit_of_work(scene.owner) as session:
        erase_keys(session, nobody, actor=ACTOR)


def test_what_no_key_opens_is_named_and_left(scene: Scene) -> None:
    def spoil(session: Session) -> None:
        session.execute(
            text("UPDATE channel_token SET valor_encrypted = valor_encrypted || 'A' WHERE id = :id"), {"id": scene.token}
        )
        session.execute(text("UPDATE channel_webhook SET segredo = segredo || 'A' WHERE id = :id"), {"id": scene.webhook})

    scene.operate(spoil)
    done = scene.reseal(actor=ACTOR)
    assert done.unreadable == (scene.token, scene.webhook)
    assert done.tokens == 1
