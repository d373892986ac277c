"""The walk of one tenant over every operation with another one's ids.

Every call is made twice: naming what is the other's, and naming what nobody has. A finding is any difference between the two
(status, headers, body, statements sent to the database), any answer that holds something of the other's, and any answer to a
foreign path but 404.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx
from sqlalchemy import Engine, event

from shared.adapters.clock import new_uuid7
from tests.integration.services.control.neighbours import ID, Tenant

METHODS = ("get", "post", "put", "patch", "delete")
# Path parameters that name a tenant's object, and those that name a value of a closed set.
OBJECTS = frozenset({"connector_id", "account_id", "token_id", "webhook_id", "fallback_id"})
VALUES = {"feature": "messages", "tipo": "telegram", "number": "0"}
# Fields of bodies and queries that name an object of a tenant, or that find one; with what else must be sent for them to count.
NAMING: dict[str, dict[str, Any]] = {
    "connector_id": {},
    "account_id": {},
    "org_unit_id": {},
    "intake_flow_id": {},
    "fallback_id": {},
    "entidade_id": {},
    "subject_id": {},
    "destino": {"tipo": "fallback_number"},
    "chave_externa": {},
    "identidade": {},
    "nome": {},
    "actor": {},
}
_FAULTY: tuple[dict[str, Any], ...] = ({}, {"unknown": 1})  # bodies that lack something, or hold what there is not
# Fields that name nothing of another tenant's, whatever they hold.
PLAIN = frozenset({"action", "ativo", "cause", "config", "constraints", "cursor", "enabled", "entidade_type", "evento",
    "expires_at", "from", "kind", "limit", "metadata", "nome_exibicao", "not_after_ms", "not_before_ms", "overlap_seconds",
    "projeto_referencia", "secrets", "since", "status", "tipo", "to", "until", "url", "use", "value", "webhook_url"})  # fmt: skip


@dataclass
class Operation:
    """One method of one path, as the description has it."""

    method: str
    path: str
    parameters: tuple[str, ...]  # in the path
    queries: tuple[str, ...]
    fields: tuple[str, ...]  # of the body, top level

    @property
    def objects(self) -> tuple[str, ...]:
        """Its path parameters that name an object."""
        return tuple(name for name in self.parameters if name in OBJECTS)


def operations(document: Mapping[str, Any]) -> list[Operation]:
    """Every operation of an OpenAPI document."""
    found = []
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                told = item[method].get("parameters", [])
                queries = tuple(one["name"] for one in told if one["in"] == "query")
                parameters = tuple(one["name"] for one in told if one["in"] == "path")
                found.append(Operation(method.upper(), path, parameters, queries, _fields(document, item[method])))
    return found


def _fields(document: Mapping[str, Any], operation: Mapping[str, Any]) -> tuple[str, ...]:
    body = operation.get("requestBody")
    if body is None:
        return ()
    name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    return tuple(document["components"]["schemas"][name]["properties"])


@dataclass
class Walk:
    """`client` serves the API; `stranger` tries what `owner` has. `tried` counts pairs of calls by operation."""

    client: httpx.Client
    engine: Engine
    document: Mapping[str, Any]
    owner: Tenant
    stranger: Tenant
    traces: frozenset[str]
    findings: list[str] = field(default_factory=list)
    tried: dict[tuple[str, str], int] = field(default_factory=dict)
    called: int = 0
    writes: bool = True
    compare_statements: bool = True

    def all(self) -> list[str]:
        """Every operation, with foreign paths, foreign fields and foreign cursors; the findings."""
        for one in operations(self.document):
            if one.method != "GET" and not self.writes:
                continue
            self.tried[one.method, one.path] = 0
            self._foreign_paths(one)
            self._foreign_fields(one)
            self._own_answers(one)
        return self.findings

    def _foreign_paths(self, one: Operation) -> None:
        for count in range(1, len(one.objects) + 1):
            for foreign in itertools.combinations(one.objects, count):
                theirs = {name: self.owner.known[name] for name in foreign}
                nobodys = {name: new_uuid7() for name in foreign}
                for more in self._ways(one):
                    told = self._pair(one, theirs, nobodys, more)
                    # A faulty request may be refused before anything is looked up, alike for every id: `_pair` has seen that.
                    faulty = more.get("json") in _FAULTY or "statos" in more.get("params", {})
                    if told.status_code != 404 and not (faulty and told.status_code == 422):
                        self.findings.append(f"{one.method} {one.path} {more}: {told.status_code} for a foreign {foreign}")

    def _ways(self, one: Operation) -> Iterator[dict[str, Any]]:
        if one.method == "GET":
            yield {}
            yield {"params": {"limit": "1"}} if "limit" in one.queries else {"params": {"statos": "x"}}
            return
        bodies = [self.stranger.bodies[one.method, one.path], *_FAULTY] if one.fields else [None]
        for body in bodies:
            for tag in (None, "*", self._tag(one, self.owner), self._tag(one, self.stranger)):
                headers = {"If-Match": tag} if tag else {}
                for key in ({}, {"Idempotency-Key": self.owner.key_for(one.path)}) if one.method == "POST" else ({},):
                    yield {"headers": headers | key, **({} if body is None else {"json": body})}

    def _foreign_fields(self, one: Operation) -> None:
        for name in one.queries:
            if name in NAMING:
                self._query(one, name)
        for name in one.fields:
            if name in NAMING and (one.path, name) not in _OF_ONES_OWN:
                theirs, nobodys = self.owner.known[name], _like(self.owner.known[name])
                body = {**self.stranger.bodies[one.method, one.path], **NAMING[name]}
                more = {"headers": {"If-Match": "*"} if one.method != "POST" else {}}
                told = self._pair(one, {name: theirs}, {name: nobodys}, more, body=body)
                if told.status_code < 400:
                    self.findings.append(f"{one.method} {one.path}: a foreign {name} was taken")

    def _query(self, one: Operation, name: str) -> None:
        theirs, nobodys = self.owner.known[name], _like(self.owner.known[name])
        self._pair(one, {name: theirs}, {name: nobodys}, {}, query=True)

    def _own_answers(self, one: Operation) -> None:
        """What the stranger reads of his own, also from where a cursor of the owner's stands."""
        if one.method != "GET":
            return
        ways: list[dict[str, Any]] = [{}]
        if "cursor" in one.queries:
            page = self._call(one, self.owner, {}, {"params": self._needed(one, self.owner) | {"limit": "1"}})
            cursor = page.json().get("next")
            ways += [{"cursor": cursor}] if cursor else []
        for params in ways:
            told = self._call(one, self.stranger, {}, {"params": self._needed(one, self.stranger) | params})
            if told.status_code != 200 and not params:
                self.findings.append(f"{one.method} {one.path}: {told.status_code} for one's own: {told.text}")
            self._search(one, told, frozenset())

    def _needed(self, one: Operation, whose: Tenant) -> dict[str, str]:
        return {"chave_externa": whose.known["chave_externa"]} if one.path == "/v1/mappings" else {}

    def _pair(
        self,
        one: Operation,
        theirs: dict[str, str],
        nobodys: dict[str, str],
        more: dict[str, Any],
        *,
        body: Any = None,
        query: bool = False,
    ) -> httpx.Response:
        self.tried[one.method, one.path] += 1
        answers, statements = [], []
        for named in (theirs, nobodys):
            asked = dict(more)
            if query:
                asked["params"] = named
            elif body is not None:
                asked["json"] = {**body, **named}
            with recorded(self.engine) as sent:
                answers.append(self._call(one, self.stranger, {} if query or body is not None else named, asked))
            statements.append(sent)
        told = [_told(answer, named.values()) for answer, named in zip(answers, (theirs, nobodys), strict=True)]
        where = f"{one.method} {one.path} {sorted(theirs)} {more}"
        if told[0] != told[1]:
            self.findings.append(f"{where}: {told[0]} but for nobody's: {told[1]}")
        if self.compare_statements and statements[0] != statements[1]:
            self.findings.append(f"{where}: {len(statements[0])} statements, but for nobody's {len(statements[1])}")
        self._search(one, answers[0], frozenset(theirs.values()))
        return answers[0]

    def _search(self, one: Operation, answer: httpx.Response, sent: frozenset[str]) -> None:
        told = answer.text + json.dumps(dict(answer.headers))
        held = sorted(trace for trace in self.traces - sent if trace in told)
        if held:
            self.findings.append(f"{one.method} {one.path}: the answer holds {held}")

    def _tag(self, one: Operation, whose: Tenant) -> str | None:
        path = one.path.removesuffix("/secrets").removesuffix(":pause").removesuffix(":resume")
        reads = {found.path for found in operations(self.document) if found.method == "GET"}
        if path not in reads:
            return None
        read = Operation("GET", path, one.parameters, (), ())
        return self._call(read, whose, {}, {}).headers.get("ETag")

    def _call(self, one: Operation, caller: Tenant, named: Mapping[str, str], more: Mapping[str, Any]) -> httpx.Response:
        path = one.path.format(**{name: {**VALUES, **caller.known, **named}[name] for name in one.parameters})
        self.called += 1
        headers = {"Authorization": f"Bearer {caller.token}", **more.get("headers", {})}
        return self.client.request(one.method, path, **{**more, "headers": headers})


# Fields that a tenant fills as it likes: another's value is neither looked up nor refused.
_OF_ONES_OWN = {
    ("/v1/connectors", "nome"),
    ("/v1/connectors/{connector_id}", "nome"),
    ("/v1/connectors/{connector_id}/accounts", "identidade"),
}


def _like(value: str) -> str:
    """Another value of the same form and length that nobody has."""
    if ID.fullmatch(value):
        return new_uuid7()
    return value[:-1] + ("9" if value[-1].isdigit() else "_")


def _told(answer: httpx.Response, sent: Iterable[str]) -> tuple[int, list[tuple[str, str]], str]:
    text = answer.text
    for one in sent:
        text = text.replace(one, "…")
    return answer.status_code, sorted(answer.headers.items()), text


@contextmanager
def recorded(engine: Engine) -> Iterator[list[str]]:
    """Statements that were sent meanwhile, without their values."""
    sent: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, _values: Any, _context: Any, _many: bool) -> None:
        sent.append(ID.sub("…", statement))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)
