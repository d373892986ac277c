from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.local.last_error import last_error

ERROR = json.dumps({"event": "own_faults", "level": "error", "cause": "roll the release back"})
INFO = json.dumps({"event": "partitions_assigned", "level": "info"})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{INFO}\n{ERROR}\n", "own_faults: roll the release back"),
        ("x" * 20_000 + f"\n{ERROR}\n", "own_faults: roll the release back"),
        (f"{ERROR}\n{INFO}\n", None),  # started again since, then killed
        (f"{ERROR}\nTraceback (most recent call last):\n", None),
        (json.dumps({"event": "record_rejected", "level": "error"}) + "\n", None),
        ('["a list"]\n', None),
        ("", None),
    ],
    ids=["last", "long", "earlier", "no_json", "no_cause", "other_json", "empty"],
)
def test_the_last_line_tells_why(tmp_path: Path, text: str, told: str | None) -> None:
    log = tmp_path / "router-0.log"
    log.write_text(text)
    assert last_error(log) == told


def test_no_log_tells_nothing(tmp_path: Path) -> None:
    assert last_error(tmp_path / "none.log") is None
