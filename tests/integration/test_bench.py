"""The bench works: every part measures, compares and reports. How fast anything is, is never asserted here."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.bench import control, end_to_end, ingest, memory, normalise, redelivery, report, router
from tests.bench.measurement import Part
from tests.bench.site import Site

RUNS: dict[str, Callable[[Site], Part]] = {
    "router": lambda site: router.run(site, router.Sizes.quick(), print),
    "ingest": lambda site: ingest.run(site, ingest.Sizes.quick(), print),
    "e2e": lambda site: end_to_end.run(site, end_to_end.Sizes.quick(), print),
    "memory": lambda site: memory.run(site, memory.Sizes.quick(), print),
    "control": lambda site: control.run(site, control.Sizes.quick(), print),
    "redelivery": lambda site: redelivery.run(site, redelivery.Sizes.quick(), print),
    "normalise": lambda _: normalise.run(normalise.Sizes.quick(), print),
}


@pytest.mark.parametrize("name", RUNS)
def test_every_part_measures_and_reports(stack, tmp_path, name):
    part = RUNS[name](Site(tmp_path, stack))
    assert part.name == name
    assert part.series
    assert all(value > 0 for series in part.series for value in series.values)
    assert all(0 < comparison.ratio < 1e6 for comparison in part.comparisons)
    context = {"date": "2026-01-01", "command": "make bench", "seconds": 1, "machine": {"system": "any"}}
    record = report.keep(part, context, tmp_path / "record.json")
    report.write_page(record, tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    for comparison in part.comparisons:
        assert f"| {comparison.candidate} |" in page
    assert part.title in report.as_text(record[name])
