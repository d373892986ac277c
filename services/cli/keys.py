"""`channels keys`: the key-encryption keys, and the data keys of tenants. The database is opened as the owner of its tables."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from services.cli.groups import Group
from shared.adapters.avro import Codec
from shared.adapters.database import create_engine_for, unit_of_work
from shared.adapters.kafka import full_name
from shared.adapters.local_keys import LocalKeyFiles, file_name
from shared.adapters.tables import Tenant
from shared.adapters.topic_reader import TopicReader
from shared.adapters.vault import Vault
from shared.domain.enums import KeyPurpose
from shared.domain.errors import ChannelsError, ConfigError, Unavailable
from shared.domain.snapshots import ConnectorSnapshot
from shared.domain.topics import Topic
from shared.management.changes import find
from shared.management.key_erasure import erase_keys
from shared.management.key_rotation import lock_data_keys, rewrap_tenant, snapshots_pending, tenants_to_rewrap
from shared.management.naming import tenant_id_of
from shared.management.resealing import Resealed, reseal_tenant
from shared.management.rules import rules_enforced
from shared.runtime.keys import key_provider
from shared.runtime.settings import DatabaseSettings, KafkaSettings, VaultSettings, load, require

_TENANT = click.option("--tenant", required=True, help="Name or id of the tenant.")


@click.group(cls=Group, examples=("channels keys create", "channels keys rotate --new-key-file"))
def keys() -> None:
    """Create, rotate and erase keys (docs/KEYS.md tells the whole story)."""


@keys.command(examples=("channels keys create --dir /etc/channels/keys",))
@click.option("--dir", "directory", type=click.Path(path_type=Path, file_okay=False), help="Default: CHANNELS_KEYS_DIR.")
def create(directory: Path | None) -> None:
    """Create ingest.key and credential.key (mode 0600) where they do not exist. Existing files are never touched.

    Whoever loses them loses every secret and body sealed with them: keep a copy in a safe place.
    """
    directory = directory or load(VaultSettings).keys_dir
    created = LocalKeyFiles.create(directory)
    for purpose in KeyPurpose:
        path = directory / file_name(purpose)
        click.echo(f"{'created' if path in created else 'kept   '} {path}")


@keys.command(
    examples=(
        "channels keys rotate --new-key-file",
        "channels keys rotate          # AWS KMS, or to go on with one that was broken off",
    )
)
@click.option("--new-key-file", is_flag=True, help="Key files: put a new key in front first.")
def rotate(new_key_file: bool) -> None:
    """Wrap every data key anew, under the newest key-encryption key.

    May be broken off and run again: what is done is skipped, and a rotation that was begun is finished before another one begins.
    Both keys hold meanwhile, no service needs a restart for key files. With AWS KMS, put the new key in front of
    CHANNELS_AWS_KMS_…_KEYS of every service first.
    """
    if new_key_file:
        for path in LocalKeyFiles.add_generation(_key_files(), wanted=_nothing_begun):
            click.echo(f"new key in {path}")
    vault, failed = _vault(), 0
    with _session() as session:
        pending = tenants_to_rewrap(session, vault)
        for tenant_id in pending:
            try:
                with rules_enforced():
                    done = rewrap_tenant(session, vault, tenant_id, actor=_actor())
                    session.commit()
                click.echo(f"tenant {tenant_id}: {done.keys} keys rewrapped, {done.connectors} snapshots announced")
            except ChannelsError as error:
                session.rollback()
                failed += 1
                click.echo(f"tenant {tenant_id}: {error}", err=True)
    if failed:
        raise Unavailable(f"{failed} of {len(pending)} tenants keep their old key for now; run this command again")
    click.echo("every data key is under the newest key" if pending else "nothing to do: every data key is under the newest key")


@keys.command("drop-old", examples=("channels keys drop-old",))
def drop_old() -> None:
    """Key files: forget all keys but the newest, once nothing needs them any more.

    Neither the database may, nor the snapshots in Kafka: services that start later read their keys from those.
    """
    directory = _key_files()
    with _session() as session, rules_enforced():
        # The lock stays until the files are changed: nobody comes with a key that was wrapped by what is dropped.
        changed = LocalKeyFiles.drop_old_generations(directory, check=lambda: _refuse_needed(session))
    click.echo("\n".join(f"only the newest key is left in {path}" for path in changed) or "there is no older key")


@keys.command(examples=("channels keys reseal --tenant 0198c0de-0000-7000-8000-000000000001",))
@_TENANT
def reseal(tenant: str) -> None:
    """Make new data keys for one tenant and seal its tokens and receiving secrets with them.

    Goes on a few connectors at a time: nobody waits for it but for a moment, and webhooks are accepted throughout. Broken off,
    it is finished by running it again. The old keys open what they sealed in topics for 31 days more.
    """
    with _session() as session, rules_enforced():
        tenant_id = _known(session, tenant).id
    done = Resealed()
    with _owner() as engine:
        for done in reseal_tenant(engine, _vault(), tenant_id, actor=_actor()):
            click.echo(f"{done.connectors} of {done.of_connectors} connectors", err=True)
    click.echo(f"sealed anew: {done.tokens} tokens, the secrets of {done.webhooks} webhooks; {done.retired_keys} keys retired")
    for row_id in done.unreadable:
        click.echo(f"no key opens {row_id}: left as it is; register its value anew", err=True)


@keys.command(examples=("channels keys erase --tenant 0198c0de-0000-7000-8000-000000000001",))
@_TENANT
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(tenant: str, yes: bool) -> None:
    """Delete the data keys of one tenant: its credentials, receiving secrets and raw messages are unreadable for ever.

    Its connectors receive nothing until secrets are registered anew. Backups of the database hold the wrapped keys until they
    are thrown away.
    """
    with _session() as session, rules_enforced():
        known = _known(session, tenant)
        if not yes:
            click.echo(f"This cannot be undone: nothing that {known.name} ({known.id}) has sealed will open again.")
            if click.prompt("Type the tenant's name to go on") != known.name:
                click.echo("that is not its name: nothing was done", err=True)
                raise click.Abort
        session.rollback()  # nobody waits for somebody who types
        done = erase_keys(session, known.id, actor=_actor())
        session.commit()
    click.echo(f"{done.keys} keys deleted; {done.connectors} connectors can open nothing any more")


def _nothing_begun() -> bool:
    with _session() as session:
        pending = tenants_to_rewrap(session, _vault())
    if pending:
        click.echo(f"a rotation was begun and not finished ({len(pending)} tenants): finishing it, no further key is made")
    return not pending


def _refuse_needed(session: Session) -> None:
    lock_data_keys(session)
    if tenants_to_rewrap(session, _vault()):
        raise ConfigError("some data keys are under an older key: `channels keys rotate` first")
    if snapshots_pending(session):
        raise Unavailable("snapshots with the rewrapped keys are not published yet: wait until the relay has done so")
    behind = _told_with_older_keys(_vault())
    if behind:
        raise Unavailable(
            f"{len(behind)} snapshots in Kafka still carry keys under an older key, such as that of connector {behind[0]}: "
            "`channels snapshots rebuild` publishes them anew"
        )


@contextmanager
def _owner() -> Iterator[Engine]:
    url = require(load(DatabaseSettings).database_owner_url, "CHANNELS_DATABASE_OWNER_URL")
    engine = create_engine_for(url, application_name="channels-keys")
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _session() -> Iterator[Session]:
    with _owner() as engine, unit_of_work(engine) as session:
        yield session


def _told_with_older_keys(vault: Vault) -> list[str]:
    """Connectors whose newest snapshot carries a data key under another than the newest key-encryption key."""
    kafka = load(KafkaSettings)
    codec, newest = Codec(kafka.schema_registry_url), dict[str | None, bytes | None]()
    with TopicReader(kafka.kafka_bootstrap, full_name(kafka.topic_prefix, Topic.CONNECTOR_SNAPSHOT)) as reader:
        for record in sorted(reader.read_all(), key=lambda record: record.offset):  # of one connector all lie in one partition
            newest[record.key] = record.value
    connectors: list[ConnectorSnapshot] = [codec.decode(Topic.CONNECTOR_SNAPSHOT, value) for value in newest.values() if value]
    return sorted(
        connector.connector_id
        for connector in connectors
        if not all(vault.is_newest(KeyPurpose.INGEST, key) for key in connector.ingest_keys)
    )


def _known(session: Session, given: str) -> Tenant:
    return find(session, Tenant, tenant_id_of(session, given))


def _vault() -> Vault:
    return Vault(key_provider(load(VaultSettings), tuple(KeyPurpose)))


def _key_files() -> Path:
    settings = load(VaultSettings)
    if settings.key_provider != "local":
        raise ConfigError("CHANNELS_KEY_PROVIDER is not `local`: the keys are made and deleted at the key service")
    return settings.keys_dir


def _actor() -> str:
    return f"cli:{getpass.getuser()}"
