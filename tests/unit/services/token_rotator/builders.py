"""Facts for the rules of renewals."""

from __future__ import annotations

from typing import Any

from services.token_rotator.orders import Impossible, Order, build_order
from shared.domain.enums import ConnectorStatus, ConnectorType, RenewalTask, TokenKind
from shared.domain.renewals import ConnectorTokens, Job, TokenFacts
from shared.providers import provider_of

NOW = 1_790_000_000_000
HOUR, DAY = 3_600_000, 86_400_000
META = {"waba_id": "1", "app_id": "300000000000001"}


def oauth(service: str) -> dict[str, Any]:
    return {"dialect": "imap", "oauth_provider": service, "oauth_client_id": "client"}


def token(token_id: str, kind: TokenKind, *, created: int = NOW, ends: int | None = None, **more: Any) -> TokenFacts:
    return TokenFacts(token_id=token_id, kind=kind, created_ms=created, expires_ms=ends, **more)


def mailbox(service: str, *tokens: TokenFacts, **more: Any) -> ConnectorTokens:
    return ConnectorTokens(
        **{
            "connector_id": "c",
            "tenant_id": "t",
            "tipo": ConnectorType.EMAIL,
            "status": ConnectorStatus.ACTIVE,
            "settings": oauth(service),
            "tokens": tokens,
            **more,
        }
    )


def meta(*tokens: TokenFacts, **more: Any) -> ConnectorTokens:
    return mailbox("", *tokens, **{"tipo": ConnectorType.WHATSAPP_OFFICIAL, "settings": META, **more})


ACCESS = token("access", TokenKind.ACCESS_TOKEN, ends=NOW + HOUR)
REFRESH = token("refresh", TokenKind.REFRESH_TOKEN)
CLIENT = token("client", TokenKind.SECRET, name="client_secret")
LONG = token("long", TokenKind.ACCESS_TOKEN, ends=NOW + 60 * DAY)
APP = token("app", TokenKind.SECRET, name="app_secret")


def job(of: TokenFacts, task: RenewalTask = RenewalTask.RENEW, **more: Any) -> Job:
    return Job(
        **{
            "token_id": of.token_id,
            "connector_id": "c",
            "task": task,
            "service": "google",
            "intent": "i",
            "attempt": 1,
            "unknown_calls": 0,
            "due_ms": NOW,
            "ends_ms": of.expires_ms,
            **more,
        }
    )


def order(connector: ConnectorTokens, of: TokenFacts, *, now: int = NOW, **more: Any) -> Order | Impossible:
    return build_order(job(of, **more), connector, of, provider_of(connector.tipo), now)


def ready(connector: ConnectorTokens, of: TokenFacts, **more: Any) -> Order:
    built = order(connector, of, **more)
    assert isinstance(built, Order)
    return built
