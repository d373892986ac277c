"""The alert rules, their cases and their pages, as the tests read them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
RULES = ROOT / "deploy/prometheus/rules"
RUNBOOKS = ROOT / "deploy/runbooks"
CASES = Path(__file__).with_name("cases.yaml")

_QUOTED = re.compile(r'"[^"]*"')
# Labels stand in there, not metrics.
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_SELECTOR = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^}]*)\}")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: an alert, or a recording (`severity` and below are empty then)."""

    file: Path
    name: str
    expression: str
    hold: str  # `for`
    labels: dict[str, str]
    annotations: dict[str, str]

    @property
    def metrics(self) -> set[str]:
        """The names of all series that it reads (ours begin with `channels`; `up` is Prometheus' own)."""
        bare = _GROUPING.sub(" ", re.sub(r"\{[^}]*\}", " ", _QUOTED.sub('""', self.expression)))
        return {name for name in _NAME.findall(bare) if name.startswith("channels") or name == "up"}

    @property
    def matchers(self) -> list[tuple[str, str, str, str]]:
        """(metric, label, operator, value) of each condition."""
        return [(metric, *found) for metric, inner in _SELECTOR.findall(self.expression) for found in _MATCHER.findall(inner)]


@cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule of every file."""
    return tuple(
        Rule(
            file=path,
            name=rule.get("alert") or rule["record"],
            expression=rule["expr"].strip(),
            hold=rule.get("for", ""),
            labels=rule.get("labels", {}),
            annotations=rule.get("annotations", {}),
        )
        for path in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    )


def alerts() -> dict[str, Rule]:
    """Those that are alerts, by name."""
    return {rule.name: rule for rule in all_rules() if rule.annotations}


@cache
def cases() -> dict[str, Any]:
    """What fires each alert, and what clears it."""
    loaded: dict[str, Any] = yaml.safe_load(CASES.read_text())
    return loaded
