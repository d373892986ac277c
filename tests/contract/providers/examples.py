"""Reads a provider's examples: `<name>.json` is a body as posted, `<name>.expected.json` what must come of it.

`expected` has one of `items`, `unparseable: true`, or `signature` with `verdict` (beside `items` or alone). An item lists its
class and every field that differs from the field's default.
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


@dataclass(frozen=True)
class Example:
    name: str
    body: bytes
    expected: dict[str, Any]


def folder_of(provider: Provider) -> Path:
    return PROVIDERS_FOLDER / provider.tipo.value / "examples"


def examples_in(folder: Path) -> list[Example]:
    """All examples of one folder; a file without its other half, or of another kind, is a fault."""
    bodies = {path.name.removesuffix(".json"): path for path in folder.glob("*.json") if ".expected." not in path.name}
    expected = {path.name.removesuffix(".expected.json"): path for path in folder.glob("*.expected.json")}
    known = {*bodies.values(), *expected.values()}
    orphans = sorted({path.name for path in folder.iterdir() if path not in known} | (bodies.keys() ^ expected.keys()))
    if orphans:
        raise AssertionError(f"orphan files in {folder}: {orphans}")
    return [Example(name, bodies[name].read_bytes(), json.loads(expected[name].read_text())) for name in sorted(bodies)]


def outcome_of(provider: Provider, example: Example) -> dict[str, Any]:
    """What the provider's code makes of the example, in the form of its expected file."""
    outcome: dict[str, Any] = {}
    signature = example.expected.get("signature")
    if signature is not None:
        outcome |= {"signature": signature, "verdict": _verdict(provider, example.body, signature)}
    if "verdict" in outcome and outcome["verdict"] != "verified":
        return outcome  # nothing is parsed before it is verified
    try:
        outcome["items"] = [described(item) for item in provider.normalise(example.body, {})]
    except UnparseableBody:
        outcome["unparseable"] = True
    return outcome


def _verdict(provider: Provider, body: bytes, signature: str) -> str:
    secret = ReceivingSecret(id="webhook/0", use=SecretUse.SIGN, value=EXAMPLE_SECRET)
    header = {"x-hub-signature-256": signature.encode("ascii")}
    verdict = provider.receiving.verify(Request(method="POST", query="", headers=header, body=body), [secret])
    return "verified" if isinstance(verdict, Verified) else verdict.reason


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
        return json.loads(content)
    return msgspec.to_builtins(content)
