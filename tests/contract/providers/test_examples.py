"""Every provider's examples: each gives what is expected of it, none is missing, no file lies about unread."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from shared.domain.enums import ConnectorEventName, DeliveryStatus, Direction, Feature, MessageKind
from shared.providers import PROVIDERS
from shared.providers.contract import CONSEQUENCE_STATUSES, SITUATIONS, Provider
from shared.providers.limits import LIMITS_OF
from shared.providers.names import FOLDERS
from shared.providers.receiving import RECEIVING
from tests.contract.providers.examples import (
    PROVIDERS_FOLDER,
    Example,
    dialect_folders,
    examples_in,
    examples_of,
    folder_of,
    kinds_in,
    outcome_of,
)

EXAMPLES = [(provider, example) for provider in PROVIDERS for example in examples_of(provider)]
# provider and dialect, with the folder of its examples
VOICES = [(provider, dialect, folder) for provider in PROVIDERS for dialect, folder in dialect_folders(folder_of(provider))]
VOICE_IDS = [f"{provider.tipo}-{dialect}" if dialect else str(provider.tipo) for provider, dialect, _ in VOICES]

_ITEMS = {"MessageItem", "ReceiptItem", "ConnectorEventItem", "PoisonItem"}
_CLOSED_SETS: dict[str, set[str]] = {
    "kinds": {kind.value for kind in MessageKind},
    "statuses": {status.value for status in DeliveryStatus},
    "directions": {direction.value for direction in Direction},
    "events": {name.value for name in ConnectorEventName},
    "items": _ITEMS,
}


def _items(dialect: str | None, folder: Path) -> list[dict[str, Any]]:
    return [item for example in examples_in(folder, dialect) for item in example.expected.get("items", [])]


def _said(items: list[dict[str, Any]]) -> dict[str, set[str]]:
    messages = [item for item in items if item["item"] == "MessageItem"]
    return {
        "kinds": {item["kind"] for item in messages},
        "statuses": {item["status"] for item in items if item["item"] == "ReceiptItem"},
        "directions": {item["direction"] for item in messages},
        "events": {item["name"] for item in items if item["item"] == "ConnectorEventItem"},
        "items": {item["item"] for item in items},
    }


@pytest.mark.req(66)
@pytest.mark.parametrize(
    ("provider", "example"), EXAMPLES, ids=[f"{p.tipo}-{e.dialect + '-' if e.dialect else ''}{e.name}" for p, e in EXAMPLES]
)
def test_an_example_gives_what_is_expected_of_it(provider: Provider, example: Example) -> None:
    assert outcome_of(provider, example) == example.expected


@pytest.mark.req(66)
@pytest.mark.parametrize(("provider", "dialect", "folder"), VOICES, ids=VOICE_IDS)
class TestCompleteness:
    def test_what_it_can_say_is_declared_in_known_words(self, provider: Provider, dialect: str | None, folder: Path) -> None:
        declared = kinds_in(folder)
        assert declared.keys() == _CLOSED_SETS.keys()
        assert all(set(words) <= _CLOSED_SETS[name] for name, words in declared.items())
        assert {"unsupported"} <= set(declared["kinds"])

    def test_everything_it_can_say_has_an_example(self, provider: Provider, dialect: str | None, folder: Path) -> None:
        declared = {name: set(words) for name, words in kinds_in(folder).items()}
        assert _said(_items(dialect, folder)) == declared

    def test_there_is_a_bad_signature_an_unknown_event_and_an_unparseable_body(
        self, provider: Provider, dialect: str | None, folder: Path
    ) -> None:
        expected = {example.name: example.expected for example in examples_in(folder, dialect)}
        assert expected["signature_bad"]["verdict"] not in ("verified", None)
        assert "items" not in expected["signature_bad"]
        assert expected["signature_good"]["verdict"] == "verified"
        unknown = expected["unknown_event_type"]["items"][0]
        assert unknown.get("kind") == "unsupported" or unknown.get("name") == "unknown"
        assert expected["unparseable"]["unparseable"] is True

    def test_every_path_points_at_the_source_element(self, provider: Provider, dialect: str | None, folder: Path) -> None:
        for example in examples_in(folder, dialect):
            try:
                document = json.loads(example.body)
            except ValueError:
                continue  # a body that is no JSON: its paths name parts of a mail or a form
            for item in example.expected.get("items", []):
                missing = item.get("reason") == "list_expected"  # the one place that may be absent
                assert missing or _at(document, item["path"]) is not None


def _at(document: Any, path: str) -> Any:
    for part in path.split("/")[1:]:
        if isinstance(document, str):
            document = json.loads(document)  # JSON text inside of JSON, as SNS has it
        document = document[int(part) if isinstance(document, list) else part.replace("~1", "/").replace("~0", "~")]
    return document


@pytest.mark.parametrize("provider", PROVIDERS, ids=[p.tipo for p in PROVIDERS])
class TestTheRecord:
    def test_every_outcome_has_an_answer_and_every_status_a_consequence(self, provider: Provider) -> None:
        for answers in (provider.receiving.answers, *provider.receiving.dialects.values()):
            assert set(answers.statuses) == set(SITUATIONS)
            assert set(answers.consequences) >= {*CONSEQUENCE_STATUSES, *answers.statuses.values()}
            assert all(line and "\n" not in line for line in answers.consequences.values())
            assert answers.source.startswith(("https://", "docs/"))

    def test_every_feature_has_a_row_with_limits_of_its_type(self, provider: Provider) -> None:
        assert [preset.feature for preset in provider.capabilities] == list(Feature)
        for preset in provider.capabilities:
            assert preset.limits is None or type(preset.limits) is LIMITS_OF[preset.feature]
            json.dumps(preset.constraints)

    def test_its_settings_have_a_schema(self, provider: Provider) -> None:
        schema = provider.settings.schema()
        assert {part["type"] for part in schema.values()} == {"object"}
        assert all(part.get("additionalProperties") is False for part in schema.values())

    def test_no_credential_is_kept(self, provider: Provider) -> None:
        assert not provider.receiving.kept_headers & {"authorization", "cookie", "proxy-authorization"}
        assert not provider.receiving.kept_headers & provider.redact


def test_the_folders_equal_the_providers() -> None:
    folders = {path.name for path in PROVIDERS_FOLDER.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(FOLDERS)
    assert [provider.tipo.value for provider in PROVIDERS] == list(FOLDERS)
    assert all(provider.receiving is receiving for provider, receiving in zip(PROVIDERS, RECEIVING, strict=True))


class TestTheChecksBite:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return Path(shutil.copytree(folder_of(PROVIDERS[0]), tmp_path / "examples"))

    def test_a_wrong_expectation_is_seen(self) -> None:
        provider, example = next(pair for pair in EXAMPLES if pair[1].name == "image")
        altered = dataclasses.replace(example, body=example.body.replace(b"a nota", b"another"))
        assert outcome_of(provider, altered) != altered.expected

    def test_a_body_without_expectation_is_seen(self, folder: Path) -> None:
        (folder / "lonely.json").write_text("{}")
        with pytest.raises(AssertionError, match="lonely"):
            examples_in(folder)

    def test_an_expectation_without_body_is_seen(self, folder: Path) -> None:
        (folder / "image.json").unlink()
        with pytest.raises(AssertionError, match="image"):
            examples_in(folder)

    def test_another_file_is_seen(self, folder: Path) -> None:
        (folder / "notes.md").write_text("forgotten")
        with pytest.raises(AssertionError, match=r"notes\.md"):
            examples_in(folder)
