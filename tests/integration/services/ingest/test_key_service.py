"""The edge over AWS KMS (moto's server): its key is disabled while webhooks come in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.adapters.aws_kms import AwsKms
from shared.adapters.clock import new_uuid7
from shared.adapters.vault import Vault
from shared.domain.enums import KeyPurpose
from tests.edge import Edge
from tests.kms_server import CREDENTIALS, KmsServer, kms_server
from tests.waiting import eventually

REFUSED_TENANTS = 'channels_vault_refused_tenants{purpose="ingest"}'


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[KmsServer]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)  # also the edge's process has them
    with kms_server() as started:
        yield started


@pytest.mark.req(73)
def test_a_disabled_key_shuts_what_is_not_open_yet_and_what_is_open_goes_on(edge: Edge, server: KmsServer) -> None:
    arn = server.new_key()
    edge.vault = Vault(AwsKms({KeyPurpose.INGEST: [arn]}, endpoint_url=server.url))
    edge.data_key = edge.vault.new_data_key(KeyPurpose.INGEST, edge.tenant_id)
    edge.publish(edge.connector(version=2))
    process = edge.start(key_provider="aws_kms", aws_kms_ingest_keys=arn, aws_kms_endpoint_url=server.url)
    assert edge.post().status == 200
    server.disable(arn)
    assert [edge.post().status for _ in range(5)] == [200] * 5  # opened before: needs no key service
    opened, edge.connector_id, edge.webhook_id = edge.connector_id, new_uuid7(), new_uuid7()
    edge.tenant_id = new_uuid7()
    server.enable(arn)
    edge.data_key = edge.vault.new_data_key(KeyPurpose.INGEST, edge.tenant_id)
    edge.publish(edge.connector())
    server.disable(arn)
    eventually(lambda: edge.post().status == 503 and process.metric(REFUSED_TENANTS) == 1)
    refused = edge.post()
    assert (refused.status, refused.headers["retry-after"]) == (503, "2")
    assert edge.post(path=f"/webhooks/{opened}").status == 200
    (line,) = [line for line in process.lines() if line["event"] == "key_refused"][:1]
    assert (line["level"], line["reason"], line["tenant_id"], arn in line["error"]) == ("error", "disabled", edge.tenant_id, True)
    server.enable(arn)
    eventually(lambda: edge.post().status == 200)
    assert process.metric(REFUSED_TENANTS) == 0
