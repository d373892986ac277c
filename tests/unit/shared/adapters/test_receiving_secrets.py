from __future__ import annotations

import json
import uuid

import pytest

from shared.adapters.receiving_secrets import open_segredo, seal_segredo
from shared.adapters.sealing import Aad, DataKey, KeyRing
from shared.domain.enums import SecretUse
from shared.domain.errors import CorruptData, SealBroken
from shared.providers.contract import ReceivingSecret

RING = KeyRing((DataKey(str(uuid.UUID(int=1)), lambda: b"k" * 32),))
SECRETS = (
    ReceivingSecret(id="w1/0", use=SecretUse.SIGN, value=b"canary-secret", not_before_ms=5, not_after_ms=None),
    ReceivingSecret(id="w1/1", use=SecretUse.HANDSHAKE, value=b"\x00\xff binary", not_before_ms=None, not_after_ms=9),
)


def test_secrets_come_back_as_they_were_with_ids_by_place() -> None:
    assert open_segredo(RING, "t1", "w1", seal_segredo(RING, "t1", "w1", SECRETS)) == SECRETS
    assert open_segredo(RING, "t1", "w1", seal_segredo(RING, "t1", "w1", ())) == ()


@pytest.mark.req(32)
def test_a_segredo_moved_to_another_webhook_or_tenant_is_refused() -> None:
    sealed = seal_segredo(RING, "t1", "w1", SECRETS)
    for tenant_id, webhook_id in (("t1", "w2"), ("t2", "w1")):
        with pytest.raises(SealBroken):
            open_segredo(RING, tenant_id, webhook_id, sealed)


@pytest.mark.parametrize(
    "content",
    [
        b"canary-secret",
        b"{}x",
        b"[1]",
        b'[{"use": "canary-secret"}]',
        b'[{"use":"sign","value":"=canary","not_before":null}]',
        b"7",
    ],
)
def test_a_list_of_another_shape_is_refused_without_quoting_it(content: bytes) -> None:
    sealed = RING.seal_text(content, Aad("t1", "channel_webhook", "segredo", "w1"))
    with pytest.raises(CorruptData) as caught:
        open_segredo(RING, "t1", "w1", sealed)
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_sealed_text_says_nothing() -> None:
    sealed = seal_segredo(RING, "t1", "w1", SECRETS)
    assert "canary" not in sealed
    assert "canary" not in json.dumps([repr(secret) for secret in SECRETS])
