"""What a bench yields: values of several interleaved rounds, and ratios of their medians against targets."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

Values = Mapping[str, float]  # measure -> value of one round


@dataclass(slots=True, kw_only=True)
class Series:
    """One measure of one candidate over all rounds."""

    candidate: str
    measure: str
    unit: str
    values: list[float]

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`candidate` measured against `rival`, both values shown. `target`: the ratio wanted, None where there is none."""

    measure: str
    unit: str
    candidate: str
    rival: str
    value: float
    rival_value: float
    target: float | None = None
    at_most: bool = False  # the ratio shall not exceed the target (else: not fall below it)

    @property
    def ratio(self) -> float:
        """Candidate over rival."""
        return self.value / self.rival_value if self.rival_value else float("inf")

    @property
    def verdict(self) -> str:
        """`met`, `missed`, or nothing where no target is set."""
        if self.target is None:
            return ""
        return "met" if (self.ratio <= self.target if self.at_most else self.ratio >= self.target) else "missed"


@dataclass(slots=True, kw_only=True)
class Part:
    """The outcome of one part of the bench. `tables`: title -> preformatted lines; `notes`: what the reader must know."""

    name: str
    title: str
    settings: dict[str, Any]
    series: list[Series] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    tables: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def median(self, candidate: str, measure: str) -> float:
        """The median of one series; raises KeyError."""
        for series in self.series:
            if (series.candidate, series.measure) == (candidate, measure):
                return series.median
        raise KeyError(f"{candidate}: {measure}")

    def compare(
        self, measure: str, candidate: str, rival: str, *, target: float | None = None, at_most: bool = False
    ) -> Comparison:
        """Add a comparison of two medians."""
        unit = next(series.unit for series in self.series if series.measure == measure)
        comparison = Comparison(
            measure=measure,
            unit=unit,
            candidate=candidate,
            rival=rival,
            value=self.median(candidate, measure),
            rival_value=self.median(rival, measure),
            target=target,
            at_most=at_most,
        )
        self.comparisons.append(comparison)
        return comparison

    def as_dict(self) -> dict[str, Any]:
        """For JSON, ratios and verdicts included."""
        data = asdict(self)
        for entry, comparison in zip(data["comparisons"], self.comparisons, strict=True):
            entry |= {"ratio": comparison.ratio, "verdict": comparison.verdict}
        return data


def interleave(
    candidates: Mapping[str, Callable[[], Values]], rounds: int, units: Mapping[str, str], say: Callable[[str], None]
) -> list[Series]:
    """Measure every candidate once per round, beginning with another one each time, so that drift hits all alike."""
    names = list(candidates)
    found: dict[tuple[str, str], Series] = {}
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            values = candidates[name]()
            shown = ", ".join(f"{measure} {shorten(value)} {units[measure]}" for measure, value in values.items())
            say(f"  round {number + 1}/{rounds}  {name:<28} {shown}")
            for measure, value in values.items():
                series = found.setdefault(
                    (name, measure), Series(candidate=name, measure=measure, unit=units[measure], values=[])
                )
                series.values.append(value)
    return [found[key] for key in sorted(found, key=lambda key: names.index(key[0]))]


def percentile(ordered: list[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the sorted values lie (nearest rank)."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def shorten(value: float) -> str:
    """Three or four digits are enough for a figure that moves by a few per cent."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.3g}"
