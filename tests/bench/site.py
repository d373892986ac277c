"""The installation that is measured: a real Kafka and PostgreSQL, and one simulated Meta connector with topics of its own."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from confluent_kafka.admin import AdminClient, NewTopic

from deploy.local.stack import LocalStack, StackAddresses
from shared.adapters.clock import new_uuid7
from shared.adapters.kafka import client_config
from shared.adapters.receiving_secrets import seal_segredo
from shared.domain.enums import SecretUse, WebhookEvent, WebhookStatus
from shared.domain.snapshots import WebhookSnapshot
from shared.management.installation import prepare_database, role_urls
from shared.providers.contract import ReceivingSecret
from tests.bench.processes import ROOT, Measured, free_port
from tests.database_fixtures import DatabaseUnderTest
from tests.pipeline import Pipeline

APP_SECRET = "an invented secret of the bench"


@dataclass(slots=True)
class Site:
    """The stack of one run. `logs` takes what the measured processes say."""

    home: Path
    addresses: StackAddresses
    mark: str = field(default_factory=lambda: f"bench-{uuid4().hex[:6]}")  # begins the names of plain topics

    @classmethod
    def open(cls, home: Path) -> Site:
        """Start the stack in `home`, unless it runs there."""
        return cls(home, LocalStack(home).start(60))

    @property
    def logs(self) -> Path:
        """Where processes log."""
        return self.home / "bench-logs"

    def installation(self, *, partitions: int = 1) -> Pipeline:
        """A new database, new topics, and a connector that verifies with APP_SECRET."""
        mark = uuid4().hex[:8]
        name = f"bench_{mark}"
        prepare_database(self.addresses.superuser_url, name)
        urls = {key.removeprefix("database_"): url for key, url in role_urls(self.addresses.superuser_url, name).items()}
        database = DatabaseUnderTest(name=name, superuser_url=self.addresses.superuser_url, **urls)
        folder = self.home / "installations" / mark
        folder.mkdir(parents=True)
        pipeline = Pipeline.create(self.addresses.kafka_bootstrap, f"bench{mark}.", database, folder, partitions=partitions)
        webhook_id = new_uuid7()
        secret = ReceivingSecret(id="", use=SecretUse.SIGN, value=APP_SECRET.encode())
        webhook = WebhookSnapshot(
            webhook_id=webhook_id,
            evento=WebhookEvent.MESSAGE_IN,
            status=WebhookStatus.ACTIVE,
            segredo=seal_segredo(pipeline.ring, pipeline.tenant_id, webhook_id, [secret]),
        )
        pipeline.publish_connector(pipeline.connector(version=2, webhooks=(webhook,)))
        return pipeline

    def environment(self, pipeline: Pipeline, **settings: object) -> dict[str, str]:
        """Variables under which a service works in this installation."""
        values = {
            "stack": "external",
            "home": pipeline.keys_dir.parent,
            "kafka_bootstrap": pipeline.bootstrap,
            "topic_prefix": pipeline.prefix,
            "keys_dir": pipeline.keys_dir,
            "object_store_url": pipeline.objects_dir.as_uri(),
            "database_worker_url": pipeline.database.worker_url,
            "log_level": "WARNING",
        } | settings
        return {f"CHANNELS_{name.upper()}": str(value) for name, value in values.items()}

    def router(
        self, pipeline: Pipeline, *, profile: Path | None = None, folder: Path = ROOT, slot: int = 0
    ) -> tuple[Measured, int]:
        """A router process (not started) and its operations port; `profile`: where cProfile writes; `folder`: whose code."""
        port = free_port()
        module = "tests.bench.variants.profiled_router" if profile else "services.router"
        environment = self.environment(pipeline, router_operations_port=port, router_slot=slot)
        environment |= {"BENCH_PROFILE": str(profile), "PYTHONPATH": str(folder)}
        return Measured([sys.executable, "-m", module], environment, self.logs / "router.log", folder), port

    def create_topics(self, *names: str) -> None:
        """Plain topics with one partition, for rivals."""
        admin = AdminClient(dict(client_config(self.addresses.kafka_bootstrap, "bench")))
        for done in admin.create_topics([NewTopic(name, 1, 1) for name in names]).values():
            done.result(20)
