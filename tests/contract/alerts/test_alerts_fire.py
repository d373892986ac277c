"""Each alert, played by Prometheus' own promtool: quiet before, waiting out its `for`, firing, quiet again afterwards."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.alerts.promtool import NoPromtool, find_promtool
from tests.contract.alerts.rules import ROOT, RULES, Rule, alerts, cases

Promtool = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def promtool() -> Promtool:
    """Runs it with arguments."""
    try:
        program = find_promtool()
    except NoPromtool as error:
        pytest.skip(f"NO ALERT WAS PLAYED: {error}")

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.mark.req(71)
def test_promtool_accepts_the_rules_and_the_scrape(promtool) -> None:
    checked = promtool("check", "rules", *sorted(RULES.glob("*.yml")))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    checked = promtool("check", "config", ROOT / "deploy/prometheus/prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.req(71, 82)
@pytest.mark.parametrize("case", cases())
def test_it_fires_and_clears(case: str, promtool, tmp_path) -> None:
    played = play(promtool, tmp_path, alerts()[case.partition("/")[0]], cases()[case])
    assert played.returncode == 0, played.stdout + played.stderr


@pytest.mark.parametrize("expression", ["vector(0) > 1", "vector(1)"], ids=["never fires", "never clears"])
def test_a_rule_that_does_not_is_found(expression: str, promtool, tmp_path) -> None:
    rule = alerts()["ChannelsHeldRecordsOverdue"]
    broken = tmp_path / "broken.yml"
    text = rule.file.read_text()
    assert rule.expression in text
    broken.write_text(text.replace(rule.expression, expression))
    assert play(promtool, tmp_path, rule, cases()[rule.name], rules=broken).returncode != 0


def play(promtool: Promtool, folder: Path, rule: Rule, case: dict[str, Any], rules: Path | None = None):
    """Write the case as a test of promtool's, and run it."""
    labels = case.get("labels", {})
    firing = {
        "exp_labels": rule.labels | labels,
        "exp_annotations": {name: _rendered(text, labels) for name, text in rule.annotations.items()},
    }
    moments = [(case.get("quiet", "10m"), []), (case["fires"], [firing]), (case["clears"], [])]
    if rule.hold:
        moments.append((case.get("early", "11m" if rule.hold == "1m" else "12m"), []))
    test = {
        "rule_files": [str(rules or rule.file)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in case["series"].items()],
                "alert_rule_test": [
                    {"eval_time": moment, "alertname": rule.name, "exp_alerts": expected} for moment, expected in moments
                ],
            }
        ],
    }
    path = folder / "test.yml"
    path.write_text(yaml.safe_dump(test, sort_keys=False))
    return promtool("test", "rules", path)


def _rendered(text: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels[found[1]], text)
