"""A running installation whose keys and secrets change under load: no genuine webhook is refused, none is lost."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.demo.world import World
from shared.domain.topics import Topic
from shared.providers.whatsapp_official import samples
from tests.e2e.installation import ROOT, Installation, channels, installed
from tests.pipeline import UNIT_NUMBER, messages_value, meta_body, text_item
from tests.waiting import eventually

MANIFEST = ROOT / "deploy" / "demo" / "channels.yaml"
TENANT, CONNECTOR_ID = "01900000-0000-7000-8000-000000000001", "01900000-0000-7000-8000-000000000031"
OLD, NEW = "canary-old-secret-77aa", "canary-new-secret-77aa"
SECRETS = {
    "CHANNELS_DEMO_APP_SECRET": OLD,
    "CHANNELS_DEMO_VERIFY_TOKEN": "canary-verify-77aa",
    "CHANNELS_DEMO_ACCESS_TOKEN": "canary-access-77aa",
}
_SECONDS = 60.0


class Provider:
    """Posts without a pause, as a provider that signs with the secret in its hands; each message once."""

    def __init__(self, home: Path, name: str) -> None:
        self._world = World(home)
        self._name = name
        self.secret = OLD
        self.answers: Counter[int] = Counter()
        self.sent: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def post(self, secret: str) -> int:
        item = f"wamid.{self._name}{len(self.sent)}"
        body = meta_body(messages_value(UNIT_NUMBER, [text_item(item, "hello")]))
        status = self._world.post(CONNECTOR_ID, body, samples.sign(body, secret.encode()))
        self.sent += [item] if status == 200 else []
        return status

    def close(self) -> None:
        self._world.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.answers[self.post(self.secret)] += 1

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Under load inside the block, for some time before and after what the block does."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        try:
            yield
            time.sleep(1.0)  # the load itself is what is waited for: snapshots arrive under it
        finally:
            self._stop.set()
            self._thread.join(20)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installed(tmp_path_factory.mktemp("turn"), MANIFEST, SECRETS) as made:
        verify = SECRETS["CHANNELS_DEMO_VERIFY_TOKEN"]
        eventually(
            lambda: made.world.handshake(CONNECTOR_ID, verify, "0")[0] == 200, _SECONDS, "the edge did not learn of the connector"
        )
        yield made


@pytest.fixture(scope="module")
def provider(installation: Installation) -> Iterator[Provider]:
    made = Provider(installation.home, "steady")
    yield made
    made.close()


@pytest.fixture(scope="module")
def probe(installation: Installation) -> Iterator[Provider]:
    """Asks one thing at a time, beside the load."""
    made = Provider(installation.home, "probe")
    yield made
    made.close()


def all_arrived(installation: Installation, *providers: Provider) -> bool:
    events = installation.world.events(Topic.MESSAGE_RECEIVED)
    return len(events) == sum(len(provider.sent) for provider in providers)


def ingest_keys(installation: Installation) -> list[tuple[str, str]]:
    """Ids and wrappings in the newest snapshot."""
    newest = installation.world.events(Topic.CONNECTOR_SNAPSHOT)[-1]
    return [(key.key_id, key.wrapped) for key in newest.ingest_keys]


@pytest.mark.req(77)
def test_new_key_files_and_new_data_keys_under_load_refuse_and_lose_nothing(
    installation: Installation, provider: Provider
) -> None:
    home, before = installation.home, ingest_keys(installation)
    with provider.at_work():
        assert "1 snapshots announced" in channels(home, "keys", "rotate", "--new-key-file")
        eventually(lambda: ingest_keys(installation) != before, _SECONDS, "no snapshot with the rewrapped key")
    rewrapped = ingest_keys(installation)
    assert [key_id for key_id, _ in rewrapped] == [key_id for key_id, _ in before]
    with provider.at_work():
        assert "1 tokens" in channels(home, "keys", "reseal", "--tenant", TENANT)
        eventually(lambda: len(ingest_keys(installation)) == 2, _SECONDS, "no snapshot with the new key")
    assert ingest_keys(installation)[1] == rewrapped[0]
    assert channels(home, "keys", "rotate").startswith("nothing to do")
    assert channels(home, "keys", "drop-old").startswith("only the newest key is left")
    with provider.at_work():
        pass
    assert set(provider.answers) == {200}
    assert sum(provider.answers.values()) > 100
    eventually(lambda: all_arrived(installation, provider), _SECONDS, f"of {len(provider.sent)} messages some did not come out")
    assert installation.world.events(Topic.WEBHOOK_RECEIVED_DLQ) == []


@pytest.mark.req(77)
def test_a_receiving_secret_is_replaced_under_load_and_the_old_one_is_refused_afterwards(
    installation: Installation, provider: Provider, probe: Provider
) -> None:
    home, connector = installation.home, ("--connector", CONNECTOR_ID)

    def secrets() -> list[dict[str, str]]:
        listed: list[dict[str, str]] = json.loads(channels(home, "webhooks", "secrets", "list", *connector, "--json"))
        return listed

    provider.answers.clear()
    old = next(one["id"] for one in secrets() if one["use"] == "sign")
    with provider.at_work():
        new = channels(home, "webhooks", "secrets", "add", *connector, environment={"CHANNELS_NEW_SECRET": NEW}).split()[-1]
        eventually(lambda: probe.post(NEW) == 200, _SECONDS, "the edge did not learn of the new secret")
        provider.secret = NEW  # the provider changes over
        time.sleep(1.0)
        channels(home, "webhooks", "secrets", "expire", *connector, "--secret", old)
    assert set(provider.answers) == {200}
    eventually(lambda: probe.post(OLD) == 401, _SECONDS, "the old secret still proves webhooks")
    assert probe.post(NEW) == 200

    def both_used() -> bool:
        return {one["id"] for one in secrets() if one["last_used_at"] is not None} == {old, new}

    eventually(both_used, _SECONDS, "the last use was not noted")
    told = channels(home, "webhooks", "secrets", "list", *connector)
    assert "expired" in told
    assert OLD not in told
    assert NEW not in told


@pytest.mark.req(78)
def test_after_an_erasure_nothing_of_the_tenant_can_be_received_or_read(
    installation: Installation, provider: Provider, probe: Provider
) -> None:
    eventually(lambda: all_arrived(installation, provider, probe), _SECONDS, "messages are still on their way")
    told = channels(installation.home, "keys", "erase", "--tenant", TENANT, "--yes")
    assert "1 connectors can open nothing any more" in told
    eventually(lambda: probe.post(NEW) == 503, _SECONDS, "the edge still accepts")
    assert ingest_keys(installation) == []
    with pytest.raises(Exception, match="not in the ring"):
        installation.world.count_raw_items()
