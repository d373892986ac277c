from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.settings_file import keep_settings, kept_settings


def test_settings_are_added_to_those_that_are_there(tmp_path: Path) -> None:
    keep_settings(tmp_path, {"kafka_bootstrap": "127.0.0.1:1", "ingest_port": 8080})
    keep_settings(tmp_path, {"kafka_bootstrap": "127.0.0.1:2"})
    assert kept_settings(tmp_path) == {"kafka_bootstrap": "127.0.0.1:2", "ingest_port": 8080}
    assert (tmp_path / "stack.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", '{"other": 1}'])
def test_a_damaged_file_is_written_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "stack.json").write_text(text)
    assert kept_settings(tmp_path) == {}
    keep_settings(tmp_path, {"kafka_bootstrap": "127.0.0.1:1"})
    assert kept_settings(tmp_path) == {"kafka_bootstrap": "127.0.0.1:1"}
