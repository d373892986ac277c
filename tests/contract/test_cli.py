"""The command line as it is promised: a reference page that is not stale, help and examples everywhere, the API's own fields."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from services.cli.__main__ import COMMANDS
from services.cli.reference import PAGE, commands, page
from services.cli.views import seen
from services.control.views import (
    AccountView,
    AuditView,
    CapabilityView,
    ConnectorView,
    FallbackView,
    HealthCheckView,
    MappingView,
    TokenView,
    UsageView,
    View,
    WebhookView,
)

ALL = dict(commands())
LEAVES = {path: command for path, command in ALL.items() if not isinstance(command, click.Group)}
VIEWS = (
    ConnectorView, AccountView, CapabilityView, TokenView, WebhookView, FallbackView, HealthCheckView, UsageView,
    MappingView, AuditView,
)  # fmt: skip
_SECRET_OPTION = re.compile(r"--(value|secret|token|password)$")


def test_the_committed_page_is_that_of_the_commands() -> None:
    assert PAGE.read_text() == page(), "run `make cli`"


def test_the_page_names_every_command_and_option() -> None:
    text = PAGE.read_text()
    for path, command in LEAVES.items():
        assert f"# {path}\n" in text
        for option in (name for parameter in command.params for name in parameter.opts if name.startswith("--")):
            assert option in text, (path, option)
    assert "/work" not in text
    assert "/root" not in text


@pytest.mark.parametrize("path", ALL)
def test_every_command_has_help_and_examples(path: str) -> None:
    command = ALL[path]
    with click.Context(command, info_name=path) as context:
        text = command.get_help(context)
    assert command.help
    assert command.help[0].isupper()
    if path != "channels":
        assert "Examples:" in text, path
        assert max(len(line) for line in text.splitlines()) < 160


@pytest.mark.parametrize(
    ("path", "example"), [(path, example) for path, command in ALL.items() for example in getattr(command, "examples", ())]
)
def test_every_example_parses(path: str, example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHANNELS_TENANT", "Acme")
    monkeypatch.setenv("CHANNELS_NEW_SECRET", "x")
    for name in re.findall(r"[\w./-]+\.(?:yaml|json|txt)", example):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    calls = [words[words.index("channels") + 1 :] for words in _piped(example) if "channels" in words]
    assert calls, (path, example)
    for words in calls:
        called, context = ALL["channels"], click.Context(ALL["channels"], info_name="channels")
        rest = words
        while isinstance(called, click.Group):
            name, found, rest = called.resolve_command(context, rest)
            assert found is not None
            called, context = found, click.Context(found, info_name=name, parent=context)
        called.make_context(called.name, list(rest))  # parses; raises UsageError


def _piped(example: str) -> list[list[str]]:
    lexer = shlex.shlex(example, posix=True, punctuation_chars="|><")
    lexer.whitespace_split = True
    parts: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("|><"):
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def test_no_option_takes_a_secret_on_the_command_line() -> None:
    found = {
        path
        for path, command in LEAVES.items()
        for parameter in command.params
        for name in parameter.opts
        if _SECRET_OPTION.search(name)
    }
    # An id of a secret; and a made-up secret of a developer's own, whose help says what that costs.
    assert found == {"channels webhooks secrets expire", "channels sign"}


@pytest.mark.parametrize("view", VIEWS)
def test_json_has_the_fields_of_the_management_api(view: type[View]) -> None:
    assert set(seen(view.TABLE())) == set(view.model_fields)


def test_every_module_names_its_command() -> None:
    modules = {path.stem for path in (PAGE.parents[1] / "services" / "cli").glob("*.py")}
    assert {module.rpartition(".")[2] for module, _, _ in COMMANDS.values()} <= modules
