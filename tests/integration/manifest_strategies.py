"""Manifests as an administrator could write them: every kind of connector, odd names, secrets shared and not, all states."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from shared.adapters.clock import new_uuid7
from shared.domain.enums import Feature, WebhookEvent

_AWKWARD = (
    "yes", "null", "1e3", "2030-01-31", "# no comment", "- item", "a: b", "env: A_B", "ação", "日本 支店", "🎉", "tab\there", "'",
)  # fmt: skip
_LETTERS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
_NAMES = st.sampled_from(_AWKWARD) | _LETTERS.filter(str.strip)
_VALUES = st.none() | st.booleans() | st.integers(-5, 10**9) | _NAMES | st.lists(_NAMES, max_size=2)
_NOTES = st.dictionaries(st.sampled_from(["a", "b", "note"]), _VALUES, min_size=1, max_size=3)
_TIMES = st.datetimes(allow_imaginary=False).map(lambda time: time.replace(year=2031, microsecond=0).isoformat() + "Z")
_PAST = "2020-01-31T12:00:00Z"
_CONFIGS: dict[str, dict[str, Any]] = {
    "whatsapp_official": {"waba_id": "100000000000000"},
    "whatsapp_unofficial": {"dialect": "evolution", "base_url": "https://evolution.example.com", "webhook_auth": "header"},
    "telegram": {},
    "email": {"dialect": "imap", "imap_host": "imap.example.com", "username": "box@example.com"},
    "webchat": {"widget_ids": ["main-widget", "second-widget"], "origins": ["https://shop.example.com"]},
}


class _Draw:
    """Carries hypothesis' draw, and a number that makes every secret and identity another one."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.number = 0

    def fresh(self) -> int:
        self.number += 1
        return self.number

    def secret(self) -> str:
        return f"canary-{self.fresh()}-secret"

    def maybe(self, part: dict[str, Any], **options: st.SearchStrategy[Any]) -> dict[str, Any]:
        """The part with some of the optional fields."""
        return {**part, **{name: self.draw(values) for name, values in options.items() if self.draw(st.booleans())}}


@st.composite
def manifests(draw: Any) -> dict[str, Any]:
    """One tenant, with ids of its own."""
    one = _Draw(draw)
    units = draw(st.lists(_NAMES, min_size=1, max_size=3, unique=True))
    flows = draw(st.lists(_NAMES, max_size=2, unique=True))
    names = draw(st.lists(_NAMES.map(str.strip), min_size=1, max_size=3, unique=True))
    tenant = {
        "name": draw(_NAMES),
        "id": new_uuid7(),
        "timezone": draw(st.sampled_from(["UTC", "America/Sao_Paulo"])),
        "org_units": [{"name": name} for name in units],
        "flows": [{"name": name} for name in flows],
        "connectors": [_connector(one, name, units, flows) for name in names],
    }
    return {"version": 1, "tenants": [tenant]}


def _connector(one: _Draw, nome: str, units: list[str], flows: list[str]) -> dict[str, Any]:
    tipo = one.draw(st.sampled_from(sorted(_CONFIGS)))
    part: dict[str, Any] = {"nome": nome, "tipo": tipo, "config": _CONFIGS[tipo]}
    part = one.maybe(part, projeto_referencia=_NAMES, status=st.sampled_from(["active", "pending", "archived"]))
    part["tokens"] = [
        _token(one, kind) for kind in one.draw(st.lists(st.sampled_from(["api_key", "access_token", "secret"]), max_size=2))
    ]
    if part.get("status", "active") != "pending":
        part["tokens"] += [{"kind": kind, "value": one.secret()} for kind in ("access_token", "api_key")]
    part["webhooks"] = _webhooks(one)
    features = one.draw(st.lists(st.sampled_from([feature.value for feature in Feature]), max_size=3, unique=True))
    part["capabilities"] = [
        one.maybe({"feature": feature, "enabled": one.draw(st.booleans())}, constraints=_NOTES | st.just({}))
        for feature in features
    ]
    most = 1 if tipo == "telegram" else 3  # a bot is its connector
    part["accounts"] = [_account(one, tipo, units, flows) for _ in range(one.draw(st.integers(0, most)))]
    fallbacks = [fallback for account in part["accounts"] for fallback in account["fallbacks"]]
    if fallbacks and one.draw(st.booleans()):
        one.draw(st.sampled_from(fallbacks))["default"] = True
    return part


def _token(one: _Draw, kind: str) -> dict[str, Any]:
    return one.maybe({"kind": kind, "value": one.secret()}, expires_at=_TIMES | st.just(_PAST), metadata=_NOTES)


def _webhooks(one: _Draw) -> list[dict[str, Any]]:
    events = one.draw(st.lists(st.sampled_from([event.value for event in WebhookEvent]), unique=True))
    shared = [one.secret() for _ in range(2)]
    cut = one.draw(st.integers(0, len(events)))
    parts = []
    for group in (events[:cut], events[cut:]):
        secrets = [_secret(one, value) for value in one.draw(st.lists(st.sampled_from(shared), unique=True))]
        part = one.maybe({"events": group, "secrets": secrets}, url=st.just("https://proxy.example.com/path?x=1#y"))
        parts.append({**part, "status": "active" if secrets and one.draw(st.booleans()) else "disabled"})
    return [part for part in parts if part["events"]]


def _secret(one: _Draw, value: str) -> dict[str, Any]:
    part = {"use": one.draw(st.sampled_from(["sign", "handshake"])), "value": value}
    return one.maybe(part, not_before=st.just(_PAST), not_after=_TIMES | st.just("2021-01-31T12:00:00.5Z"))


def _account(one: _Draw, tipo: str, units: list[str], flows: list[str]) -> dict[str, Any]:
    number = one.fresh()
    identidade = {"email": f"Box.{number}@example.com", "webchat": f"widget-{number}", "telegram": f"invented_bot{number}_bot"}
    part: dict[str, Any] = {"identidade": identidade.get(tipo, f"+55 11 9{number:04}-0001")}
    if tipo.startswith("whatsapp"):
        part["config"] = {"phone_number_id" if tipo == "whatsapp_official" else "instance": f"10000000000{number:04}"}
    part["org_unit"] = one.draw(st.sampled_from(units))
    if flows:
        part = one.maybe(part, intake_flow=st.sampled_from(flows))
    part = one.maybe(
        part,
        nome_exibicao=_NAMES,
        metadata=_NOTES,
        webhook_url=st.just("https://proxy.example.com/own"),
        status=st.sampled_from(["active", "inactive", "pending"]),
    )
    tipos = one.draw(st.lists(st.sampled_from(["email_forward", "voicemail"]), max_size=3))
    part["fallbacks"] = [
        one.maybe({"tipo": each, "destino": f"ops{one.draw(st.integers(0, 1))}@example.com"}, ativo=st.booleans())
        for each in tipos
    ]
    return part
