from __future__ import annotations

import json

import pytest

from tests.bench import report
from tests.bench.measurement import Comparison, Part, Series, interleave, percentile, shorten
from tests.bench.output import rates


def comparison(value: float, rival: float, **more: object) -> Comparison:
    return Comparison(measure="rate", unit="1/s", candidate="ours", rival="theirs", value=value, rival_value=rival, **more)


@pytest.mark.parametrize(
    ("value", "target", "at_most", "verdict"),
    [(40, 4, False, "met"), (39, 4, False, "missed"), (2, 0.25, True, "met"), (3, 0.25, True, "missed"), (3, None, False, "")],
)
def test_a_ratio_is_judged_by_its_target(value, target, at_most, verdict):
    assert comparison(value, 10, target=target, at_most=at_most).verdict == verdict


def test_every_round_begins_with_another_candidate():
    order: list[str] = []

    def candidate(name: str, value: float):
        def measure() -> dict[str, float]:
            order.append(name)
            return {"rate": value}

        return measure

    found = interleave({"a": candidate("a", 1), "b": candidate("b", 2)}, 3, {"rate": "1/s"}, lambda _: None)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert [(series.candidate, series.values) for series in found] == [("a", [1, 1, 1]), ("b", [2, 2, 2])]


def test_the_rate_leaves_out_the_start():
    samples = [(10.0, 1, 1.0), (20.0, 10, 2.0), (21.0, 60, 2.5), (22.0, 100, 3.0)]
    assert rates(samples) == (45.0, 90.0)


def test_a_rate_needs_more_than_one_moment():
    with pytest.raises(RuntimeError, match="take more"):
        rates([(1.0, 100, 1.0)])


def test_percentiles_by_nearest_rank():
    ordered = [float(number) for number in range(100)]
    assert (percentile(ordered, 0.5), percentile(ordered, 0.99), percentile([7.0], 0.99)) == (50.0, 99.0, 7.0)


def test_figures_are_short():
    assert [shorten(value) for value in (12345.6, 123.45, 1.2345)] == ["12,346", "123.5", "1.23"]


def part(name: str, value: float) -> Part:
    made = Part(name=name, title=name.title(), settings={"rounds": 3})
    made.series = [
        Series(candidate="ours", measure="rate", unit="1/s", values=[value, value + 2, value + 1]),
        Series(candidate="theirs", measure="rate", unit="1/s", values=[1, 2, 3]),
    ]
    made.compare("rate", "ours", "theirs", target=4)
    return made


def test_a_part_renews_its_own_section_only(tmp_path):
    record, page = tmp_path / "record.json", tmp_path / "page.md"
    context = {"date": "today", "command": "make bench", "seconds": 1, "machine": {"system": "any"}}
    for made in (part("ingest", 10), part("router", 20), part("ingest", 30)):
        report.write_page(report.keep(made, context, record), page)
    assert list(json.loads(record.read_text())) == ["router", "ingest"]
    text = page.read_text()
    assert "| rate | ours | 31 1/s | theirs | 2 1/s | 15.5 | ≥ 4 | met |" in text
    assert "| rate | ours | 21 1/s |" in text
    assert "| ours | rate | 31 1/s | 3 (30 to 32) |" in text
    assert "11 1/s" not in text
