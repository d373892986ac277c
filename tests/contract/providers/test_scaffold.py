"""A scaffolded provider imports, passes no kit, and its tests name everything that remains."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.provider import scaffold
from services.cli.provider_files import files_of
from shared.domain.errors import Conflict, InvalidInput

ROOT = Path(__file__).parents[3]
TIPO = "example_type"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what a provider needs, with one more connector type and whatsapp_official alone."""
    hidden = shutil.ignore_patterns("__pycache__", "email", "telegram", "webchat", "whatsapp_unofficial")
    shutil.copytree(ROOT / "shared", tmp_path / "shared", ignore=hidden)
    shutil.copytree(ROOT / "schemas", tmp_path / "schemas", ignore=hidden)
    shutil.copytree(ROOT / "tests" / "contract", tmp_path / "tests" / "contract", ignore=hidden)
    shutil.copytree(ROOT / "services" / "cli", tmp_path / "services" / "cli", ignore=hidden)
    for package in ("tests", "services", "tests/unit", "tests/unit/shared", "tests/unit/shared/providers"):
        (tmp_path / package).mkdir(exist_ok=True, parents=True)
        (tmp_path / package / "__init__.py").touch()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n")
    enums = tmp_path / "shared" / "domain" / "enums.py"
    enums.write_text(
        enums.read_text().replace('    FUTURE = "future"\n', f'    {TIPO.upper()} = "{TIPO}"\n    FUTURE = "future"\n')
    )
    names = tmp_path / "shared" / "providers" / "names.py"
    names.write_text(re.sub(r"= \(.*?\)\n", '= ("whatsapp_official",)\n', names.read_text(), count=1, flags=re.DOTALL))
    return tmp_path


def test_its_tests_list_what_remains_and_nothing_else_breaks(checkout: Path) -> None:
    paths = scaffold(TIPO, checkout)
    assert all((checkout / path).is_file() for path in paths)
    assert f'    "{TIPO}",\n)' in (checkout / "shared/providers/names.py").read_text()
    tests = [f"tests/unit/shared/providers/{TIPO}", "tests/contract/providers/test_examples.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rf", *tests]
    environment = {"PYTHONPATH": str(checkout), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 1, run.stdout + run.stderr
    failed = re.findall(r"^FAILED (.*)", run.stdout, re.MULTILINE)
    assert failed
    assert all(TIPO in line for line in failed), failed  # the other providers' tests still pass
    for piece in ("signature_good", "signature_bad", "unknown_event_type", "unparseable", "verify", "kinds", "ANSWERS"):
        assert piece in run.stdout
    for piece in ("sending.py", "renewing.py", "checking.py", "setting_up.py", "describing.py", "CHANGELOG.md", "CAPABILITIES"):
        assert piece in run.stdout


def test_the_files_are_clean(checkout: Path) -> None:
    scaffold(TIPO, checkout)
    written = [str(checkout / path) for path in files_of(TIPO) if path.endswith(".py")]
    written.append(str(checkout / "shared/providers/names.py"))
    for command in (["check"], ["format", "--check"]):
        run = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", *written],
            cwd=checkout,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("tipo", ["future", "Sms", "../x", "", "a__b", "not_in_the_enum"])
def test_another_name_is_refused(checkout: Path, tipo: str) -> None:
    with pytest.raises(InvalidInput):
        scaffold(tipo, checkout)


def test_a_provider_that_exists_is_left_alone(checkout: Path) -> None:
    before = (checkout / "shared/providers/names.py").read_text()
    with pytest.raises(Conflict):
        scaffold("whatsapp_official", checkout)
    assert (checkout / "shared/providers/names.py").read_text() == before
