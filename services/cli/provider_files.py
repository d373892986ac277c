"""The files with which a new provider begins: all that the contract asks for, and tests that fail until it is filled in.

A line of `$tipo`, `$CONST` and `$title` is replaced; nothing here is imported by a provider.
"""

from __future__ import annotations

from string import Template

_INIT = '"""$title. The edge imports `receiving` only."""\n'

_RECEIVING = '''"""What the edge does for $title: prove that a webhook is genuine, choose status codes.

Source: the provider's documentation (URL).
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from shared.domain.enums import ConnectorType
from shared.providers.contract import Answers, Receiving, ReceivingSecret, Refused, Request, Verified


def verify(request: Request, secrets: Sequence[ReceivingSecret]) -> Verified | Refused:  # noqa: ARG001 - until it is written
    """Refuses everything until it is written: over the raw bytes, in constant time, all secrets tried."""
    return Refused(reason="not_written")


ANSWERS = Answers(
    statuses=MappingProxyType(
        {
            "accepted": 200,
            "refused": 401,
            "unknown_connector": 404,
            "too_large": 413,
            "rate_limited": 429,
            "busy": 503,
            "unavailable": 503,
        }
    ),
    consequences=MappingProxyType({}),  # status -> what the provider then does, with all of 200, 401, 403, 404, 413, 429, 503
    source="",
)

RECEIVING = Receiving(
    tipo=ConnectorType.$CONST,
    verify=verify,
    handshake=None,
    answers=ANSWERS,
    kept_headers=frozenset({"content-type"}),
    max_body_bytes=1024 * 1024,
)
'''

_NORMALISE = '''"""Splits one verified body of $title into items. Every source element yields exactly one item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.domain.items import AnyItem
from shared.providers.contract import NOTHING, UnparseableBody
from shared.providers.documents import decode_object


def normalise(
    body: bytes,
    headers: Mapping[str, str],  # noqa: ARG001 - the contract's signature
    settings: Mapping[str, Any] = NOTHING,  # noqa: ARG001 - the contract's signature
) -> Sequence[AnyItem]:
    """The items of one body, in its own order; raises UnparseableBody."""
    decode_object(body)
    raise UnparseableBody("no kind of event is mapped yet")
'''

_CONFIG = '''"""What an administrator may set for a connector of $title and for an account of it. No credential belongs here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.domain.errors import InvalidInput
from shared.providers.configuration import Settings, SettingsModel, checked


class ConnectorConfig(SettingsModel):
    """A connector."""


class AccountConfig(SettingsModel):
    """An account."""


SETTINGS = Settings(connector=ConnectorConfig, account=AccountConfig)


def check_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Cleaned copy of a connector's config; raises InvalidInput."""
    return checked(ConnectorConfig, config)


def check_account_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Cleaned copy of an account's config; raises InvalidInput."""
    return checked(AccountConfig, config)


def normalise_identity(identity: str) -> str:
    """The one spelling of an identity; raises InvalidInput."""
    if not identity.strip():
        raise InvalidInput("identidade is empty", reason="identity_invalid", pointer="/identidade")
    return identity.strip()


def account_refs(identidade: str, config: Mapping[str, Any]) -> tuple[str, ...]:  # noqa: ARG001 - the contract's signature
    """What payloads call the account."""
    return (f"identity:{identidade}",)
'''

_CAPABILITIES = '''"""What $title can do, as the first value of its capability rows.

Source: the provider's documentation (URL).
"""

from __future__ import annotations

from shared.domain.enums import Feature
from shared.providers.limits import CapabilityPreset

CAPABILITIES: tuple[CapabilityPreset, ...] = tuple(CapabilityPreset(feature=feature, enabled=False) for feature in Feature)
'''

_PROVIDER = '''"""$title as one record.

See `receiving` (edge), `normalise` (router), `config` and `capabilities` (management).
"""

from __future__ import annotations

from shared.domain.enums import ConnectorType
${before}from shared.providers.$tipo.capabilities import CAPABILITIES
from shared.providers.$tipo.config import (
    SETTINGS,
    account_refs,
    check_account_config,
    check_config,
    normalise_identity,
)
from shared.providers.$tipo.normalise import normalise
from shared.providers.$tipo.receiving import RECEIVING
${after}
PROVIDER = Provider(
    tipo=ConnectorType.$CONST,
    receiving=RECEIVING,
    normalise=normalise,
    account_refs=account_refs,
    normalise_identity=normalise_identity,
    check_config=check_config,
    check_account_config=check_account_config,
    settings=SETTINGS,
    required_token=None,
    capabilities=CAPABILITIES,
    redact=frozenset({"authorization"}),
)
'''

_KINDS = '{\n  "kinds": [],\n  "statuses": [],\n  "directions": [],\n  "events": [],\n  "items": []\n}\n'

_TEST = '''"""What remains to be done for $title: one failing test for each piece.

The kit in tests/contract/providers asks for more.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.providers import provider_of
from tests.contract.providers.examples import examples_in, folder_of, kinds_in, verdict_of

PROVIDER = provider_of("$tipo")
FOLDER = folder_of(PROVIDER)
# Write here what the provider cannot offer at all, after you have looked: sending, renewing, checking, setting_up, describing.
NOT_OFFERED: frozenset[str] = frozenset()


@pytest.mark.parametrize("name", ["signature_good", "signature_bad", "unknown_event_type", "unparseable", "text"])
def test_the_example_is_written(name: str) -> None:
    assert name in {example.name for example in examples_in(FOLDER)}, f"write examples/{name}.json and {name}.expected.json"


def test_a_genuine_request_is_verified() -> None:
    good = [example for example in examples_in(FOLDER) if example.name == "signature_good"]
    assert [verdict_of(PROVIDER, example) for example in good] == ["verified"], "write receiving.verify"


@pytest.mark.parametrize("name", ["kinds", "items", "directions"])
def test_what_it_can_say_is_listed(name: str) -> None:
    assert kinds_in(FOLDER)[name], f"list in examples/kinds.json the {name} that the documentation knows"


def test_the_answers_have_consequences_and_a_source() -> None:
    assert PROVIDER.receiving.answers.consequences, "say in ANSWERS what each status makes the provider do"
    assert PROVIDER.receiving.answers.source, "say in ANSWERS where that is documented"


def test_the_capabilities_are_set() -> None:
    assert any(preset.enabled for preset in PROVIDER.capabilities), "set capabilities.CAPABILITIES"


@pytest.mark.parametrize("name", ["sending", "renewing", "checking", "setting_up", "describing"])
def test_every_function_is_written_or_known_to_be_impossible(name: str) -> None:
    offered = getattr(PROVIDER, name) is not None
    assert offered != (name in NOT_OFFERED), f"write {name}.py and name it in provider.py, or add {name} to NOT_OFFERED"


def test_the_changelog_names_it() -> None:
    changelog = Path(__file__).parents[5] / "CHANGELOG.md"
    assert "`$tipo`" in changelog.read_text(), "add a line to CHANGELOG.md"
'''

_FILES = {
    "shared/providers/$tipo/__init__.py": _INIT,
    "shared/providers/$tipo/receiving.py": _RECEIVING,
    "shared/providers/$tipo/normalise.py": _NORMALISE,
    "shared/providers/$tipo/config.py": _CONFIG,
    "shared/providers/$tipo/capabilities.py": _CAPABILITIES,
    "shared/providers/$tipo/provider.py": _PROVIDER,
    "shared/providers/$tipo/examples/kinds.json": _KINDS,
    "tests/unit/shared/providers/$tipo/__init__.py": "",
    "tests/unit/shared/providers/$tipo/test_$tipo.py": _TEST,
}


def files_of(tipo: str) -> dict[str, str]:
    """Path in the checkout → text, for a new provider of this connector type."""
    words = {"tipo": tipo, "CONST": tipo.upper(), "title": tipo.replace("_", " ").capitalize(), "before": "", "after": ""}
    words["before" if tipo > "contract" else "after"] = "from shared.providers.contract import Provider\n"  # imports are sorted
    return {Template(path).substitute(words): Template(text).substitute(words) for path, text in _FILES.items()}
