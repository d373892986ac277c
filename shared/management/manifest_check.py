"""Checks a manifest as far as no database is needed, and fetches the secrets that it refers to."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shared.domain.errors import InvalidInput
from shared.management.connectors import checked_config
from shared.management.lifting import refuse_secrets
from shared.management.manifest import AccountPart, ConnectorPart, Manifest, NamedPart, SecretPart, TenantPart, TokenPart
from shared.management.manifest_text import Fault, ManifestText, Place
from shared.providers import provider_of
from shared.providers.contract import Provider

_MAX_SECRET_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class SecretSources:
    """Where secrets may come from: the caller's environment, and files, relative to the manifest's own directory."""

    environ: Mapping[str, str] = field(repr=False)
    directory: Path

    def read(self, part: TokenPart | SecretPart) -> str:
        """The secret in clear; raises InvalidInput that names the source, never the secret."""
        if part.value is not None:
            return part.value
        if part.env is not None:
            if not self.environ.get(part.env):
                raise InvalidInput(f"environment variable {part.env} is not set", reason="secret_unavailable", pointer="/env")
            return self.environ[part.env]
        return self._read_file(str(part.file))

    def _read_file(self, name: str) -> str:
        try:
            with (self.directory / name).open("rb") as file:
                content = file.read(_MAX_SECRET_BYTES + 1)
            text = content.decode().removesuffix("\n").removesuffix("\r")
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise InvalidInput(f"cannot read {name}: {why}", reason="secret_unavailable", pointer="/file") from None
        if not text or len(content) > _MAX_SECRET_BYTES:
            raise InvalidInput(f"{name} is empty or larger than 16 KB", reason="secret_unavailable", pointer="/file")
        return text


@dataclass(slots=True)
class Checked:
    """What the check found: faults, secrets by their place, and faults that count only where no stored secret stands in."""

    text: ManifestText
    faults: list[Fault] = field(default_factory=list)
    secrets: dict[Place, str] = field(default_factory=dict, repr=False)
    wanting: dict[Place, Fault] = field(default_factory=dict)

    def attempt(self, place: Place, action: Callable[[], object]) -> None:
        """Run one check; what it refuses becomes a fault at the place, or below it where it points to."""
        try:
            action()
        except InvalidInput as error:
            self.faults.append(self.text.fault(pointed(place, error.pointer), str(error)))

    def unique(self, places: Iterable[tuple[Place, Hashable]], message: str) -> None:
        """A fault at each repetition."""
        seen: set[Hashable] = set()
        for place, key in places:
            if key in seen:
                self.faults.append(self.text.fault(place, message))
            seen.add(key)


def pointed(place: Place, pointer: str) -> Place:
    """A place with a JSON pointer's parts behind it; numbers are indexes."""
    return (*place, *(int(part) if part.isdigit() else part for part in pointer.split("/")[1:]))


def check(manifest: Manifest, text: ManifestText, sources: SecretSources) -> Checked:
    """Every fault that can be told without a database."""
    checked = Checked(text)
    tenants = [(("tenants", index), tenant) for index, tenant in enumerate(manifest.tenants)]
    checked.unique(((place, tenant.id or tenant.name) for place, tenant in tenants), "this tenant is given twice")
    for place, tenant in tenants:
        _check_tenant(checked, place, tenant, sources)
    return checked


def _check_tenant(checked: Checked, place: Place, tenant: TenantPart, sources: SecretSources) -> None:
    named: dict[str, tuple[NamedPart, ...]] = {"org_units": tenant.org_units, "flows": tenant.flows}
    for name, parts in named.items():
        keys = _keys([(part.name, part.id) for part in parts])
        checked.unique((((*place, name, index), key) for index, key in enumerate(keys)), "this name is given twice")
    connectors = [((*place, "connectors", index), part) for index, part in enumerate(tenant.connectors)]
    keys = _keys([(part.nome, part.id) for part in tenant.connectors])
    checked.unique(zip((where for where, _ in connectors), keys, strict=True), "this nome is given twice in the tenant")
    for where, part in connectors:
        _check_connector(checked, where, part, sources)


def _keys(parts: Sequence[tuple[str, str | None]]) -> list[str]:
    # What finds each part again: its name; several may share one where all of them have ids.
    without_id = {name for name, part_id in parts if part_id is None}
    return [part_id if part_id is not None and name not in without_id else name for name, part_id in parts]


def _check_connector(checked: Checked, place: Place, part: ConnectorPart, sources: SecretSources) -> None:
    for index, token in enumerate(part.tokens):
        _fetch(checked, (*place, "tokens", index), token, sources)
    for number, webhook in enumerate(part.webhooks):
        for index, secret in enumerate(webhook.secrets):
            _fetch(checked, (*place, "webhooks", number, "secrets", index), secret, sources)
        if webhook.status == "active" and not webhook.secrets:
            checked.faults.append(checked.text.fault((*place, "webhooks", number), "an active webhook needs secrets"))
    events = [((*place, "webhooks", number), event) for number, each in enumerate(part.webhooks) for event in each.events]
    checked.unique(events, "one of its events is in another webhook already")
    try:
        provider = provider_of(part.tipo)
    except InvalidInput as error:
        checked.faults.append(checked.text.fault((*place, "tipo"), str(error)))
        return
    checked.attempt(place, lambda: checked_config(provider, part.config))
    defaults = [
        ((*place, "accounts", index, "fallbacks", number), "default")
        for index, account in enumerate(part.accounts)
        for number, fallback in enumerate(account.fallbacks)
        if fallback.default
    ]
    checked.unique(defaults, "the connector has a default fallback already")
    for index, account in enumerate(part.accounts):
        _check_account(checked, (*place, "accounts", index), provider, account)


def _check_account(checked: Checked, place: Place, provider: Provider, account: AccountPart) -> None:
    if account.org_unit is None and account.intake_flow is None:
        checked.faults.append(checked.text.fault(place, "an account needs org_unit or intake_flow"))
    checked.attempt(place, lambda: provider.normalise_identity(account.identidade))
    checked.attempt((*place, "config"), lambda: provider.check_account_config(account.config or {}))
    checked.attempt(place, lambda: refuse_secrets(account.metadata, "/metadata"))


def _fetch(checked: Checked, place: Place, part: TokenPart | SecretPart, sources: SecretSources) -> None:
    try:
        checked.secrets[place] = sources.read(part)
    except InvalidInput as error:
        fault = checked.text.fault(pointed(place, error.pointer), str(error))
        if part.id is None:
            checked.faults.append(fault)
        else:
            checked.wanting[place] = fault
