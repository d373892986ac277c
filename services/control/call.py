"""One call: who makes it, in whose name the database is asked, and how its answer is made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from uuid import UUID

import msgspec
from fastapi import Depends, Header, Query, Request, Response, Security
from fastapi.security import HTTPBearer, SecurityScopes
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from services.control.cursors import read_slice, write_cursor
from services.control.etags import require_match, tag_of
from services.control.identity import identity_of
from services.control.openapi import query_names
from services.control.problems import Refusal
from services.control.views import Shown, View
from shared.adapters.database import unit_of_work
from shared.adapters.event_loop import LoopPool, is_on_loop
from shared.adapters.loop_engine import LoopEngine
from shared.adapters.pipelined_work import pipelined_work
from shared.adapters.raw_backlog import RawBacklog
from shared.adapters.reading import TenantReader, reading, reading_on_loop
from shared.adapters.tables import Base
from shared.adapters.vault import Vault
from shared.domain.identity import Identity, Permission, require
from shared.management.ownership import owned_for_change
from shared.management.paging import Order, Page, Slice
from shared.management.repeated_requests import GuardedRequest, KnownAnswer, begin, finish
from shared.management.rules import rules_enforced

Row = TypeVar("Row", bound=Base)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the API works with. `edge_url`: where providers reach the edge; `backlog` None: without Kafka; `readers` or `writers`
    None: what only reads, or changes, takes a thread and a connection of `engine`, like everything else."""

    engine: Engine
    vault: Vault
    edge_url: str
    backlog: RawBacklog | None = None
    readers: LoopPool | None = None
    writers: LoopEngine | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One verified call."""

    parts: Parts
    identity: Identity
    request: Request

    @property
    def tenant(self) -> str:
        """Whose rows there are."""
        return self.identity.tenant_id

    @property
    def actor(self) -> str:
        """Who the audit log names."""
        return f"api:{self.identity.subject}"

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that leaves nothing."""
        with rules_enforced(), unit_of_work(self.parts.engine, tenant_id=self.tenant) as session:
            yield session

    @contextmanager
    def looking(self) -> Iterator[TenantReader]:
        """For statements that only read: each is one round trip, and sees the rows as they are then."""
        pool = self.parts.readers if is_on_loop() else None
        looking = reading(self.parts.engine, self.tenant) if pool is None else reading_on_loop(pool, self.tenant)
        with rules_enforced(), looking as reader:
            yield reader

    @contextmanager
    def changing(self) -> Iterator[Session]:
        """A transaction that is committed at the end of the block, where the database may still refuse what waited for that."""
        writers = self.parts.writers if is_on_loop() else None
        work = pipelined_work(self.parts.engine, tenant_id=self.tenant) if writers is None else writers.work(self.tenant)
        with rules_enforced(), work as session:
            yield session
            session.commit()

    def current(self, session: Session, view: type[View], row_id: UUID, if_match: str | None) -> Any:
        """The row, locked, in the state that the caller has seen. Raises NotFound, Refusal (412, 428)."""
        row = owned_for_change(session, view.TABLE, str(row_id), self.tenant)
        require_match(if_match, view.of(row))
        return row

    def parent(self, session: Session, table: type[Row], row_id: UUID) -> str:
        """The id of a row of this tenant, under which something is to be made; raises NotFound."""
        owned_for_change(session, table, str(row_id), self.tenant)
        return str(row_id)

    def create(self, key: str | None, body: Any, path: str, make: Callable[[Session], Shown]) -> Response:
        """201 with the new object, its address and tag; with a key, once. `path`: of its collection, such as `/v1/tokens`."""
        with self.changing() as session:
            if key is None:
                return _told(_created(make(session), path))
            guarded = GuardedRequest(tenant_id=self.tenant, key=key, digest=self._digest(body))
            known = begin(session, self.parts.vault, guarded, actor=self.actor)
            if known is not None:
                return _told(known, {"Idempotent-Replayed": "true"})
            answer = _created(make(session), path)
            finish(session, guarded, answer)
            return _told(answer)

    def _digest(self, body: Any) -> bytes:
        asked = [self.request.method, self.request.url.path, body.model_dump(mode="json", exclude_unset=True)]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """How much of a list, and from where."""

    limit: int
    cursor: str | None

    def slice(self, listed: object, order: Order) -> Slice:
        """The rows that this page is to hold. Raises Refusal (`cursor_invalid`)."""
        return read_slice(self.limit, self.cursor, listed, order)


def paged(view: type[View], page: Page[Any], listed: object) -> Response:
    """A page as callers see it."""
    return listing(map(view.told, page.rows), write_cursor(page.next, listed))


def listing(told: Iterable[Mapping[str, Any]], following: str | None = None) -> Response:
    """A page of what is told already, and the cursor of the one after it."""
    return written({"items": list(told), "next": following})


def shown(one: Shown) -> Response:
    """One object with its tag."""
    return written(one.told, headers={"ETag": tag_of(one)})


def written(told: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON, as it is described by a view."""
    return Response(msgspec.json.encode(told), status, headers, "application/json")


def _created(one: Shown, path: str) -> KnownAnswer:
    headers = {"ETag": tag_of(one), "Location": f"{path}/{one.place}"}
    return KnownAnswer(status=201, headers=headers, answer=msgspec.to_builtins(one.told))


def _told(answer: KnownAnswer, more: dict[str, str] | None = None) -> Response:
    return written(answer.answer, answer.status, {**answer.headers, **(more or {})})


_bearer = HTTPBearer(auto_error=False, bearerFormat="JWT", description="Scopes are the permissions that the token must grant.")


async def _call(request: Request, scopes: SecurityScopes, _: Annotated[object, Depends(_bearer)]) -> Call:
    identity = await identity_of(request)
    for scope in scopes.scopes:
        require(identity, scope)
    _refuse_odd_query(request)
    return Call(parts=request.app.state.parts, identity=identity, request=request)


def _refuse_odd_query(request: Request) -> None:
    # `?statos=active` would list everything, and of two values one would be dropped: both are told instead.
    if not request.scope["query_string"]:
        return
    known = query_names(request.app, request.scope["route"].path, request.method)
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if name not in known:
            raise Refusal(422, "parameter_unknown", "there is no such query parameter here", parameter=name[:64])
        if names.count(name) > 1:
            raise Refusal(422, "parameter_repeated", "a query parameter is given once", parameter=name)


async def _paging(
    limit: Annotated[int, Query(ge=1, le=200)] = 50, cursor: Annotated[str | None, Query(max_length=512)] = None
) -> Paging:
    return Paging(limit=limit, cursor=cursor)


def _needs(*permissions: Permission) -> Any:
    return Security(_call, scopes=[permission.value for permission in permissions])


Reader = Annotated[Call, _needs(Permission.READ)]
Manager = Annotated[Call, _needs(Permission.MANAGE)]
SecretReader = Annotated[Call, _needs(Permission.READ, Permission.SECRETS)]
SecretKeeper = Annotated[Call, _needs(Permission.MANAGE, Permission.SECRETS)]
Auditor = Annotated[Call, _needs(Permission.AUDIT)]
Pages = Annotated[Paging, Depends(_paging)]
IfMatch = Annotated[str | None, Header(max_length=1024, description="The ETag that was read; without it 428.")]
IfNoneMatch = Annotated[str | None, Header(max_length=16, description="`*`: set it only if there is none yet.")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[!-~]+$",
        description="A repeat under the same key within a day gets the first answer.",
    ),
]


def secrets_allowed(call: Call, names: Sequence[str]) -> None:
    """Raise Forbidden when credentials came in a config and the caller may not hand in any."""
    if names:
        require(call.identity, Permission.SECRETS)
