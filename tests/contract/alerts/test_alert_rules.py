"""Every alert has a page, every page an alert, and a rule reads only what the services measure."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from functools import cache

import click
import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from deploy.local.fleet_plan import _USUAL_PORTS
from services.cli.__main__ import cli
from services.ingest.answers import Outcome
from services.relay.copies import CopyOutcome
from services.router.answers import MALFORMED
from shared.adapters.intake_rows import Heard
from shared.domain.enums import ItemOutcome, TokenKind
from shared.domain.syncing import SyncOutcome, SyncState
from shared.management.reference_feed import Result
from shared.runtime import metrics as declared
from tests.contract.alerts.rules import ROOT, RUNBOOKS, alerts, all_rules, cases

# Labels whose values are an enum's; of others it is only seen that the word stands somewhere in the source.
CLOSED = {
    ("channels_ingest_requests_total", "outcome"): {*Outcome},
    ("channels_router_items_total", "outcome"): {*ItemOutcome},
    ("channels_router_intake_answers_total", "outcome"): {*Heard, MALFORMED},
    ("channels_relay_held_copies_total", "outcome"): {*CopyOutcome},
    ("channels_sync_records_total", "result"): {*Result, "refused"},
    ("channels_sync_jobs_total", "outcome"): {*SyncOutcome},
    ("channels_sync_pending", "state"): {*SyncState},
    ("channels_token_seconds_left", "kind"): {*TokenKind},
}
SEVERITIES = {"page", "ticket"}
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(channels [^`]+)`")
_SECTIONS = ["For customers", "How to look", "How to mend"]
PAGES = sorted(RUNBOOKS.glob("*.md"))


def declared_metrics() -> dict[str, set[str]]:
    """Series name → labels, of everything in shared/runtime/metrics.py."""
    found: dict[str, set[str]] = {}
    for _, kind in inspect.getmembers(declared, inspect.isclass):
        if kind.__module__ != declared.__name__:
            continue
        registry = CollectorRegistry()
        kept = kind(registry)  # its gauges may ask it
        for collector in tuple(registry._collector_to_names):
            # The library and our own counters keep the names of their labels to themselves.
            found.update(_series(collector, set(getattr(collector, "_labelnames", ()) or getattr(collector, "_labels", ()))))
        del kept
    return found


def _series(collector: Collector, labels: set[str]) -> Iterator[tuple[str, set[str]]]:
    for family in collector.describe() if hasattr(collector, "describe") else collector.collect():
        match family.type:
            case "counter":
                yield f"{family.name}_total", labels
            case "histogram":
                yield f"{family.name}_bucket", labels | {"le"}
                yield f"{family.name}_sum", labels
                yield f"{family.name}_count", labels
            case _:
                yield family.name, labels


DECLARED = declared_metrics()


RECORDED = {rule.name for rule in all_rules() if not rule.annotations}


@pytest.mark.req(71, 95)
@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.name)
def test_a_rule_reads_only_what_is_measured(rule) -> None:
    assert rule.metrics, "reads nothing of ours"
    unknown = rule.metrics - DECLARED.keys() - RECORDED - {"up"}
    assert not unknown


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.name)
def test_a_rule_asks_only_for_labels_that_exist_with_values_that_are_written(rule) -> None:
    written = _source()
    for metric, label, operator, value in rule.matchers:
        if metric in DECLARED:
            assert label in DECLARED[metric], f"{metric} has no label {label}"
            for word in value.split("|") if "~" in operator else [value]:
                assert word in CLOSED.get((metric, label), {word}), f"{metric}{{{label}}} is never {word}"
                assert not re.fullmatch(r"\w+", word) or f'"{word}"' in written, f"nothing writes {metric}{{{label}={word}}}"


@pytest.mark.req(95)
def test_each_alert_has_a_severity_of_the_two_a_summary_and_a_page() -> None:
    assert alerts()
    for name, rule in alerts().items():
        assert rule.labels.get("severity") in SEVERITIES, name
        assert rule.annotations.get("summary"), name
        assert rule.annotations.get("runbook_url") == f"deploy/runbooks/{name}.md", name
        assert (ROOT / rule.annotations["runbook_url"]).is_file(), name


def test_each_page_has_an_alert_and_each_alert_a_case() -> None:
    assert {page.stem for page in PAGES} == set(alerts()) == {name.partition("/")[0] for name in cases()}


def test_no_two_rules_have_one_name() -> None:
    names = [rule.name for rule in all_rules()]
    assert len(names) == len(set(names))


def test_what_is_recorded_is_read() -> None:
    read = set().union(*(rule.metrics for rule in alerts().values()))
    assert read >= RECORDED


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_says_what_it_means_how_to_look_and_how_to_mend(page) -> None:
    text = page.read_text()
    rule = alerts()[page.stem]
    assert text.startswith(f"# {page.stem}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == _SECTIONS
    assert all(body.strip() for body in re.split(r"^## .+$", text, flags=re.MULTILINE))
    assert f"Severity `{rule.labels['severity']}`; rule in `{rule.file.relative_to(ROOT)}`." in text
    for path in re.findall(r"`(docs/\w+\.md)`", text):
        assert (ROOT / path).is_file(), path
    for other in re.findall(r"`(Channels[A-Z]\w+)`", text):
        assert other in alerts(), other


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_exist(page, placeholders) -> None:
    text = page.read_text()
    lines = [line for block in _BLOCK.findall(text) for line in block.splitlines() if line]
    assert any(line.startswith("channels ") for line in lines), "no command to look with"
    for line in [*(line for line in lines if not line.startswith("curl ")), *_INLINE.findall(text)]:
        parse(line, placeholders)


@pytest.mark.parametrize(
    "line", ["channels nothing", "channels dlq redriv 0/1", "channels router status --lag", "channels tokens list", "dlq list"]
)
def test_a_command_that_does_not_exist_is_found(line: str, placeholders) -> None:
    with pytest.raises((AssertionError, click.UsageError)):
        parse(line, placeholders)


@pytest.fixture
def placeholders(tmp_path, monkeypatch) -> dict[str, str]:
    """What the words in capitals of a page may stand for."""
    monkeypatch.delenv("CHANNELS_TENANT", raising=False)
    (tmp_path / "value").touch()
    return {"TIME": "2030-01-31", "ID": "0/1234", "KIND": "secret", "TIPO": "telegram", "FILE": str(tmp_path / "value")} | {
        "TOKEN_ID": "0198c0de-0000-7000-8000-000000000001"
    }


def parse(line: str, placeholders: dict[str, str]) -> None:
    """Let the command read its words, required ones too, and not act. Raises AssertionError, UsageError."""
    program, *words = (placeholders.get(word, word) for word in shlex.split(line))
    assert program == "channels", line
    called: click.Command = cli
    context = click.Context(cli, info_name="channels")
    while isinstance(called, click.Group):
        name, found, words = called.resolve_command(context, words)
        assert found is not None
        called, context = found, click.Context(found, info_name=name, parent=context)
    called.make_context(called.name, words)


def test_the_scrape_names_every_service_of_the_fleet_and_its_port() -> None:
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    assert {job["job_name"]: job["static_configs"][0]["targets"] for job in scraped} == {
        f"channels-{name.removesuffix('_operations_port')}": [f"127.0.0.1:{port}"]
        for name, port in _USUAL_PORTS.items()
        if name.endswith("_operations_port")
    }


@cache
def _source() -> str:
    return "".join(path.read_text() for part in ("services", "shared") for path in sorted((ROOT / part).rglob("*.py")))
