from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from deploy.local.identity import ProcessIdentity, read_identity, started_of, write_identity


def test_this_process_is_alive_under_its_identity(tmp_path: Path) -> None:
    path = tmp_path / "me.json"
    write_identity(path, os.getpid())
    identity = read_identity(path)
    assert identity is not None
    assert identity.pid == os.getpid()
    assert identity.alive()
    assert [entry.name for entry in tmp_path.iterdir()] == ["me.json"]


def test_a_recycled_id_is_somebody_else() -> None:
    assert not ProcessIdentity(pid=os.getpid(), started="another boot:1").alive()


def test_a_process_that_does_not_exist_has_no_start() -> None:
    assert started_of(2**22 + 1) is None


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"pid": 1}), json.dumps({"pid": 1, "started": "x", "more": 1})])
def test_a_damaged_file_names_nobody(tmp_path: Path, text: str) -> None:
    path = tmp_path / "damaged.json"
    path.write_text(text)
    assert read_identity(path) is None
    assert read_identity(tmp_path / "absent.json") is None
