"""Every provider's examples: each gives what is expected of it, none is missing, no file lies about unread."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from shared.domain.enums import DeliveryStatus, Direction, MessageKind
from shared.providers import PROVIDERS
from shared.providers.contract import Provider
from shared.providers.receiving import RECEIVING
from tests.contract.providers.examples import PROVIDERS_FOLDER, Example, examples_in, folder_of, outcome_of

EXAMPLES = [(provider, example) for provider in PROVIDERS for example in examples_in(folder_of(provider))]

# what a provider of ours cannot say by webhook: `accepted` is what its answer to our own call says
_NOT_BY_WEBHOOK = {DeliveryStatus.ACCEPTED}


def _items(provider: Provider) -> list[dict[str, object]]:
    return [item for _, example in _of(provider) for item in example.expected.get("items", [])]


def _of(provider: Provider) -> list[tuple[Provider, Example]]:
    return [pair for pair in EXAMPLES if pair[0] is provider]


@pytest.mark.req(66)
@pytest.mark.parametrize(("provider", "example"), EXAMPLES, ids=[f"{p.tipo}-{e.name}" for p, e in EXAMPLES])
def test_an_example_gives_what_is_expected_of_it(provider: Provider, example: Example) -> None:
    assert outcome_of(provider, example) == example.expected


@pytest.mark.req(66)
@pytest.mark.parametrize("provider", PROVIDERS, ids=[p.tipo for p in PROVIDERS])
class TestCompleteness:
    def test_every_kind_of_message_has_an_example(self, provider: Provider) -> None:
        kinds = {item["kind"] for item in _items(provider) if item["item"] == "MessageItem"}
        assert kinds == {kind.value for kind in MessageKind}

    def test_every_status_has_an_example(self, provider: Provider) -> None:
        statuses = {item["status"] for item in _items(provider) if item["item"] == "ReceiptItem"}
        assert statuses == {status.value for status in set(DeliveryStatus) - _NOT_BY_WEBHOOK}

    def test_both_directions_and_every_class_of_item_have_an_example(self, provider: Provider) -> None:
        assert {item["direction"] for item in _items(provider) if "direction" in item} == {d.value for d in Direction}
        assert {item["item"] for item in _items(provider)} == {
            "MessageItem",
            "ReceiptItem",
            "ConnectorEventItem",
            "PoisonItem",
        }

    def test_there_is_a_bad_signature_an_unknown_event_and_an_unparseable_body(self, provider: Provider) -> None:
        expected = {example.name: example.expected for _, example in _of(provider)}
        assert expected["signature_bad"]["verdict"] == "signature_wrong"
        assert expected["signature_good"]["verdict"] == "verified"
        assert expected["unknown_event_type"]["items"][0]["kind"] == "unsupported"
        assert expected["unparseable"] == {"unparseable": True}

    def test_every_path_points_at_the_source_element(self, provider: Provider) -> None:
        for _, example in _of(provider):
            for item in example.expected.get("items", []):
                element = json.loads(example.body)
                parts = item["path"].split("/")[1:]
                for part in parts[:-1]:
                    element = element[int(part) if isinstance(element, list) else part]
                last = parts[-1]
                missing = item.get("reason") == "list_expected"  # the one place that may be absent
                assert missing or (element[int(last)] if isinstance(element, list) else element[last]) is not None


def test_the_folders_equal_the_providers() -> None:
    folders = {path.name for path in PROVIDERS_FOLDER.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == {provider.tipo.value for provider in PROVIDERS}
    assert [receiving.tipo for receiving in RECEIVING] == [provider.tipo for provider in PROVIDERS]
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
        (folder / "notes.txt").write_text("forgotten")
        with pytest.raises(AssertionError, match=r"notes\.txt"):
            examples_in(folder)
