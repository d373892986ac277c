"""The tree as the owner asked for it: the named folders, and in every service the same files."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ASKED_FOR = (
    "pyproject.toml",
    "schemas",
    "services/ingest",
    "services/router",
    "services/token_rotator",
    "services/health",
    "shared",
    "deploy",
    "tests",
)
COMMANDS = frozenset({"cli"})  # started by people, not by the fleet
SERVICES = sorted(
    path.name for path in (ROOT / "services").iterdir() if (path / "__init__.py").exists() and path.name not in COMMANDS
)


@pytest.mark.req(97)
@pytest.mark.parametrize("path", ASKED_FOR)
def test_the_owners_layout_stands(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.req(97)
@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_laid_out_alike(service: str) -> None:
    folder = ROOT / "services" / service
    missing = [name for name in ("__main__.py", "settings.py", "app.py", "README.md") if not (folder / name).exists()]
    assert missing == []
