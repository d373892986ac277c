"""An exported manifest as YAML text: what must be supplied stands at its head."""

from __future__ import annotations

from typing import Any

import yaml

from shared.management.manifest import Manifest
from shared.management.manifest_export import Export

_HEAD = """\
# Written by `channels export`. `channels apply -f` takes it back; where everything is so already, that changes nothing.
"""
_SOURCES = """\
#
# No secret is in this file. Where its `id` is stored, the stored one stays and nothing needs to be given. Elsewhere, or to
# replace it, set these environment variables (or write `file: path` in the place of `env: NAME`):
"""


class _Dumper(yaml.SafeDumper):
    """Without anchors: each value stands where it belongs."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)


def as_data(manifest: Manifest) -> dict[str, Any]:
    """Plain values, without what is so by default."""
    return {"version": manifest.version, "tenants": [_plain(tenant) for tenant in manifest.tenants]}


def as_yaml(export: Export) -> str:
    """The whole file."""
    told = {source.env: source.told for source in export.sources.sources}
    head = _HEAD
    if told:
        widest = max(map(len, told))
        head += _SOURCES + "".join(f"#   {env:<{widest}}  {_comment(text)}\n" for env, text in told.items())
    if export.notes:
        head += "#\n" + "".join(f"# note: {_comment(note)}\n" for note in export.notes)
    body = yaml.dump(as_data(export.manifest), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return head + body


def _plain(part: Any) -> dict[str, Any]:
    # In the order of the form; `version` is a default and the only one that must stand.
    values: dict[str, Any] = part.model_dump(mode="json", exclude_defaults=True)
    return values


def _comment(text: str) -> str:
    # On one line, whatever a name holds: what follows a line end would be taken for the file.
    return "".join(letter if letter.isprintable() else " " for letter in text)
