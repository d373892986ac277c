"""`channels keys` and `channels webhooks secrets` as a person runs them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy.orm import Session

from services.cli.keys import keys
from services.cli.webhooks import webhooks
from shared.adapters.clock import new_uuid7
from shared.adapters.database import create_engine_for, unit_of_work
from shared.adapters.vault import LocalKeyFiles, Vault
from shared.domain.enums import KeyPurpose, SecretUse, WebhookEvent
from shared.domain.errors import ConfigError, Conflict, NotFound, Unavailable
from shared.management import key_rotation
from shared.management.data_keys import ring_for
from shared.management.opened_tokens import open_token
from shared.management.reference import put_tenant
from shared.management.webhooks import NewSecret, NewWebhook, create_webhook
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import ACTOR, Management, management_of
from tests.integration.rows import connect
from tests.kms_server import CREDENTIALS, kms_server
from tests.waiting import eventually


@pytest.fixture
def management(database: DatabaseUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Management]:
    for name, value in {
        "CHANNELS_STACK": "external",
        "CHANNELS_DATABASE_API_URL": database.api_url,
        "CHANNELS_DATABASE_OWNER_URL": database.owner_url,
        "CHANNELS_KEYS_DIR": str(tmp_path / "keys"),
    }.items():
        monkeypatch.setenv(name, value)
    with management_of(database.api_url, tmp_path / "keys") as made:
        yield made


def run(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(keys, arguments, input=typed)


def published(database: DatabaseUnderTest) -> None:
    with connect(database.owner_url) as connection:
        connection.execute("DELETE FROM outbox")
        connection.commit()


@pytest.fixture(autouse=True)
def no_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `drop-old` finds in Kafka is the matter of test_dropping_old_keys.py."""
    monkeypatch.setattr("services.cli.keys._told_with_older_keys", lambda _: [])


def data_keys(database: DatabaseUnderTest) -> int:
    with connect(database.owner_url) as connection:
        return len(connection.execute("SELECT 1 FROM data_key").fetchall())


def test_a_rotation_of_key_files_rewraps_every_data_key(management: Management) -> None:
    management.token(management.connector())
    assert run("rotate").output == "nothing to do: every data key is under the newest key\n"
    done = run("rotate", "--new-key-file")
    assert "2 keys rewrapped, 1 snapshots announced" in done.output
    assert done.output.endswith("every data key is under the newest key\n")
    assert isinstance(run("drop-old").exception, Unavailable)  # readers still have the old wrapping


def test_a_rotation_that_was_begun_is_finished_before_another_begins(management: Management, tmp_path: Path) -> None:
    management.connector()
    assert run("rotate", "--new-key-file").exit_code == 0
    management.vault.new_data_key(KeyPurpose.INGEST, management.tenant)
    lines = (tmp_path / "keys" / "ingest.key").read_text().split()
    (tmp_path / "keys" / "ingest.key").write_text("\n".join(lines[::-1]))  # as if the rewrapping had not happened
    assert isinstance(run("drop-old").exception, ConfigError)
    told = run("rotate", "--new-key-file").output
    assert "finishing it" in told
    assert len((tmp_path / "keys" / "ingest.key").read_text().split()) == 2


def test_a_rotation_that_comes_between_looking_and_dropping_keeps_its_keys(
    management: Management, database: DatabaseUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = management.token(management.connector())
    assert run("rotate", "--new-key-file").exit_code == 0
    published(database)
    looked = key_rotation.snapshots_pending
    other: list[threading.Thread] = []

    def look(session: Session) -> bool:
        pending = looked(session)
        if not other:
            other.append(threading.Thread(target=LocalKeyFiles.add_generation, args=(tmp_path / "keys",)))
            other[0].start()
            other[0].join(0.5)
        return pending

    monkeypatch.setattr("services.cli.keys.snapshots_pending", look)
    assert run("drop-old").exit_code == 0
    other[0].join(20)
    engine = create_engine_for(database.credential_url)
    with unit_of_work(engine) as session:
        opened = open_token(session, Vault(LocalKeyFiles(tmp_path / "keys", frozenset(KeyPurpose))), token, actor=ACTOR)
    engine.dispose()
    assert opened is not None


def test_a_key_that_somebody_is_writing_is_waited_for_before_its_wrapping_is_dropped(
    management: Management, database: DatabaseUnderTest
) -> None:
    tenant = new_uuid7()
    with management.work(tenant) as session:  # a new tenant's first key, not committed yet
        put_tenant(session, tenant, "New", actor=ACTOR)
        ring_for(session, management.vault, tenant, KeyPurpose.CREDENTIAL, actor=ACTOR)
        assert run("rotate", "--new-key-file").exit_code == 0
        with ThreadPoolExecutor(1) as pool:
            dropped = pool.submit(run, "drop-old")
            with connect(database.owner_url) as owner:
                blocked = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'data_key'::regclass"
                eventually(lambda: dropped.done() or owner.execute(blocked).fetchone())
            session.commit()
            assert isinstance(dropped.result(20).exception, ConfigError)


def test_a_rotation_that_was_killed_between_two_key_files_is_ended(
    management: Management, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    management.token(management.connector())
    replace, killed = os.replace, 0

    def kill(source: Path, target: Path) -> None:
        nonlocal killed
        killed += 1
        if killed == 2:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", kill)
        assert run("rotate", "--new-key-file").exit_code != 0
    told = run("rotate", "--new-key-file").output
    assert told.count("new key in") == 2
    assert {len((tmp_path / "keys" / f"{purpose.value}.key").read_text().split()) for purpose in KeyPurpose} == {2}
    assert "2 keys rewrapped" in told
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == ["credential.key", "ingest.key"]


def test_a_tenant_whose_key_is_lost_does_not_stop_the_others(management: Management, tmp_path: Path) -> None:
    management.connector()
    (tmp_path / "keys" / "ingest.key").unlink()
    assert run("create").output.count("created") == 1
    done = run("rotate")
    assert isinstance(done.exception, Unavailable)
    assert "1 of 1 tenants keep their old key" in str(done.exception)


@pytest.mark.req(73)
def test_a_rotation_over_aws_kms(database: DatabaseUnderTest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with kms_server() as server, management_of(database.api_url, tmp_path / "unused") as made:
        old, new = server.new_key(), server.new_key()
        monkeypatch.setenv("CHANNELS_KEY_PROVIDER", "aws_kms")
        monkeypatch.setenv("CHANNELS_AWS_KMS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("CHANNELS_DATABASE_API_URL", database.api_url)
        monkeypatch.setenv("CHANNELS_DATABASE_OWNER_URL", database.owner_url)
        monkeypatch.setenv("CHANNELS_STACK", "external")
        for purpose in ("INGEST", "CREDENTIAL"):
            monkeypatch.setenv(f"CHANNELS_AWS_KMS_{purpose}_KEYS", old)
        from services.cli.keys import _vault

        made.vault = _vault()
        made.token(made.connector())
        assert isinstance(run("rotate", "--new-key-file").exception, ConfigError)
        for purpose in ("INGEST", "CREDENTIAL"):
            monkeypatch.setenv(f"CHANNELS_AWS_KMS_{purpose}_KEYS", f"{new},{old}")
        assert "2 keys rewrapped" in run("rotate").output
        server.disable(old)  # nothing needs it any more
        assert f"|{new}|" in "".join(row[0] for row in made.read("SELECT wrapped FROM data_key"))
        assert "1 tokens" in run("reseal", "--tenant", made.tenant).output
        server.disable(new)
        assert isinstance(run("reseal", "--tenant", made.tenant).exception, Unavailable)


def test_an_erasure_asks_for_the_tenants_name(management: Management, database: DatabaseUnderTest) -> None:
    management.token(management.connector())
    for typed in ("acme\n", "\n\n", ""):
        assert run("erase", "--tenant", management.tenant, typed=typed).exit_code == 1
        assert data_keys(database) == 2
    done = run("erase", "--tenant", management.tenant, typed="Acme\n")
    assert "2 keys deleted; 1 connectors can open nothing any more" in done.output
    assert data_keys(database) == 0
    assert isinstance(run("erase", "--tenant", management.unit, "--yes").exception, NotFound)


def test_secrets_are_asked_for_and_never_shown(management: Management, monkeypatch: pytest.MonkeyPatch) -> None:
    connector = management.connector()
    new = NewWebhook(
        evento=WebhookEvent.MESSAGE_IN,
        url="https://edge.example.org",
        secrets=[NewSecret(use=SecretUse.SIGN, value="canary-old"), NewSecret(use=SecretUse.HANDSHAKE, value="canary-verify")],
    )
    row = management.run(lambda session: create_webhook(session, management.vault, connector, new, actor=ACTOR)).id

    def secrets(*arguments: str, typed: str | None = None) -> Result:
        return CliRunner().invoke(webhooks, ["secrets", arguments[0], "--connector", connector, *arguments[1:]], input=typed)

    added = secrets("add", "--not-before", "2026-01-01", typed="canary-new\n")
    assert added.output.endswith(f"added {row}/2\n")
    assert isinstance(secrets("add", typed="canary-new\n").exception, Conflict)
    expired = secrets("expire", "--secret", f"{row}/0", "--at", "2026-01-02T03:04:05")
    assert expired.output == f"{row}/0 holds until 2026-01-02 03:04:05\n"
    listed = secrets("list").output
    assert [line.split()[:3] for line in listed.splitlines()[1:]] == [
        [f"{row}/0", "sign", "expired"],
        [f"{row}/1", "handshake", "live"],
        [f"{row}/2", "sign", "live"],
    ]
    assert listed.splitlines()[3].split()[-5:] == ["2026-01-01", "00:00:00", "always", "never", "message_in"]
    everything = added.output + listed + secrets("list", "--json").output
    assert "canary" not in everything
