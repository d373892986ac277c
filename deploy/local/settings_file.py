"""`<home>/stack.json`: how the embedded stack tells the services where it is. Read by `shared.runtime.settings`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_NAME = "stack.json"


def kept_settings(home: Path) -> dict[str, Any]:
    """The settings in the file; none when there is no file, or it is damaged (the next start writes it anew)."""
    try:
        return dict(json.loads((home / _NAME).read_text())["settings"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def keep_settings(home: Path, settings: Mapping[str, str | int]) -> None:
    """Add settings, in one step; those already kept under other names stay."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = home / _NAME
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps({"settings": {**kept_settings(home), **settings}}, indent=2) + "\n")
    draft.chmod(0o600)
    draft.replace(path)
