"""Reads a provider's examples: `<name>.<type>` is a body as posted, `<name>.expected.json` what must come of it.

The type is `json`, or `eml`, `form`, `txt` for bodies that are no JSON. A provider with dialects has a sub-folder for each,
named as the value of the setting `dialect`. `kinds.json` beside the examples lists what this provider can say.

`expected` has one of `items` and `unparseable: true`, and/or `verdict` (`verified`, or the reason of a refusal). `request` adds
what the body does not tell: `headers`, `query`, `method`, `account_id`, `received_at_ms`, `settings`, `secrets` (texts; else
`example-app-secret`), `certificates`, and in `signature_good` the `proof`: what may not be changed at all without a refusal
(`body`, `query`, names of headers, `body:<a text that stands in it once>`); `test_verification.py` changes it in every way.
`record_headers` are those that a service of ours writes into the raw record (mailbox). An item lists its class and every field
that differs from the field's default.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from shared.domain.enums import SecretUse
from shared.domain.items import AnyItem
from shared.providers.contract import Provider, ReceivingSecret, Request, UnparseableBody, Verified

PROVIDERS_FOLDER = Path(__file__).parents[3] / "shared" / "providers"
EXAMPLE_SECRET = b"example-app-secret"
BODY_TYPES = (".json", ".eml", ".form", ".txt")
KINDS_FILE = "kinds.json"


@dataclass(frozen=True)
class Example:
    name: str
    body: bytes
    expected: dict[str, Any]
    dialect: str | None = None

    @property
    def request(self) -> dict[str, Any]:
        return dict(self.expected.get("request", {}))

    @property
    def settings(self) -> dict[str, Any]:
        return {**({"dialect": self.dialect} if self.dialect else {}), **self.request.get("settings", {})}


def folder_of(provider: Provider) -> Path:
    return PROVIDERS_FOLDER / provider.tipo.value / "examples"


def dialect_folders(folder: Path) -> list[tuple[str | None, Path]]:
    """The folder itself, or one folder for each dialect."""
    inner = sorted(path for path in folder.iterdir() if path.is_dir())
    return [(path.name, path) for path in inner] or [(None, folder)]


def examples_of(provider: Provider) -> list[Example]:
    """All examples of one provider, of every dialect."""
    return [example for dialect, folder in dialect_folders(folder_of(provider)) for example in examples_in(folder, dialect)]


def kinds_in(folder: Path) -> dict[str, list[str]]:
    """What the provider can say: `kinds`, `statuses`, `directions`, `items`, `events`."""
    return dict(json.loads((folder / KINDS_FILE).read_text()))


def examples_in(folder: Path, dialect: str | None = None) -> list[Example]:
    """All examples of one folder; a file without its other half, or of another kind, is a fault."""
    paths = [path for path in folder.iterdir() if path.name != KINDS_FILE]
    expected = {path.name.removesuffix(".expected.json"): path for path in paths if path.name.endswith(".expected.json")}
    bodies = {path.stem: path for path in paths if path.suffix in BODY_TYPES and path not in expected.values()}
    known = {*bodies.values(), *expected.values()}
    orphans = sorted({path.name for path in paths if path not in known} | (bodies.keys() ^ expected.keys()))
    if orphans:
        raise AssertionError(f"orphan files in {folder}: {orphans}")
    return [Example(name, bodies[name].read_bytes(), json.loads(expected[name].read_text()), dialect) for name in sorted(bodies)]


def outcome_of(provider: Provider, example: Example) -> dict[str, Any]:
    """What the provider's code makes of the example, in the form of its expected file."""
    outcome: dict[str, Any] = {"request": example.request} if "request" in example.expected else {}
    if "verdict" in example.expected:
        outcome["verdict"] = verdict_of(provider, example)
        if outcome["verdict"] != "verified":
            return outcome  # nothing is parsed before it is verified
    try:
        outcome["items"] = [described(item) for item in items_of(provider, example)]
    except UnparseableBody:
        outcome["unparseable"] = True
    return outcome


def items_of(provider: Provider, example: Example) -> list[AnyItem]:
    """The items of the example's body, with the headers that the edge would keep; raises UnparseableBody."""
    kept = provider.receiving.kept_headers
    headers = {name: value for name, value in example.request.get("headers", {}).items() if name in kept}
    headers |= example.request.get("record_headers", {})
    return list(provider.normalise(example.body, headers, example.settings))


def verdict_of(provider: Provider, example: Example) -> str:
    """`verified`, or the reason of the refusal, of the request as the example describes it."""
    verdict = provider.receiving.verify(request_of(example), secrets_of(example))
    return "verified" if isinstance(verdict, Verified) else verdict.reason


def secrets_of(example: Example) -> list[ReceivingSecret]:
    """The live secrets that the example was signed under."""
    values = [text.encode() for text in example.request.get("secrets", [])] or [EXAMPLE_SECRET]
    return [ReceivingSecret(id=f"webhook/{index}", use=SecretUse.SIGN, value=value) for index, value in enumerate(values)]


def request_of(example: Example) -> Request:
    """The request as the example describes it."""
    given = example.request
    return Request(
        method=given.get("method", "POST"),
        query=given.get("query", ""),
        headers={name: value.encode("latin-1") for name, value in given.get("headers", {}).items()},
        body=example.body,
        account_id=given.get("account_id"),
        received_at_ms=given.get("received_at_ms", 0),
        settings=example.settings,
        certificates={url: pem.encode() for url, pem in given.get("certificates", {}).items()},
    )


def described(item: AnyItem) -> dict[str, Any]:
    """One item as JSON: its class, and the fields that say something."""
    return {"item": type(item).__name__, **_fields(item)}


def _fields(value: Any) -> dict[str, Any]:
    said = {}
    for field in dataclasses.fields(value):
        content = getattr(value, field.name)
        if content == field.default or (content in ((), {}) and field.default_factory is not dataclasses.MISSING):
            continue
        said[field.name] = _plain(content)
    return said


def _plain(content: Any) -> Any:
    if dataclasses.is_dataclass(content):
        return _fields(content)
    if isinstance(content, tuple):
        return [_plain(element) for element in content]
    if isinstance(content, bytes):
        try:
            return json.loads(content)
        except ValueError:
            return content.decode("latin-1")
    return msgspec.to_builtins(content)
