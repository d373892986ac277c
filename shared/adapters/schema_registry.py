"""A small client of a Confluent-compatible schema registry: register a schema, look one up by its id. Both cached.

https://docs.confluent.io/platform/current/schema-registry/develop/api.html (Apicurio offers the same below
`/apis/ccompat/v7`). Calls block; the answers never change, so each is asked for once per process.
"""

from __future__ import annotations

import base64
import http.client
import json
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

from shared.domain.errors import ConfigError, NotFound, Unavailable

_MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"


class SchemaRegistry:
    """`url`: base address, with `user:password@` where the registry asks for basic authentication."""

    def __init__(self, url: str, timeout_seconds: float = 5.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError("CHANNELS_SCHEMA_REGISTRY_URL must be an http or https address, e.g. http://registry:8081")
        self.address = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
        self._headers = {"Content-Type": _MEDIA_TYPE, "Accept": f"{_MEDIA_TYPE}, application/json"}
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        self._timeout_seconds = timeout_seconds
        self._ids: dict[tuple[str, str], int] = {}
        self._texts: dict[int, str] = {}

    def register(self, subject: str, schema_text: str) -> int:
        """The id of this schema under the subject; registers it if it is new there.

        Raises Unavailable when the registry does not answer, ConfigError when it refuses the schema or the login.
        """
        known = self._ids.get((subject, schema_text))
        if known is not None:
            return known
        try:
            answer = self._call("POST", f"/subjects/{quote(subject, safe='')}/versions", {"schema": schema_text})
        except NotFound as error:
            raise ConfigError(f"no schema registry at {self.address}; check CHANNELS_SCHEMA_REGISTRY_URL") from error
        schema_id = self._ids[(subject, schema_text)] = int(self._field(answer, "id"))
        return schema_id

    def schema_text(self, schema_id: int) -> str:
        """The schema with this id; raises NotFound for an id that the registry does not know, else as `register`."""
        if schema_id not in self._texts:
            self._texts[schema_id] = str(self._field(self._call("GET", f"/schemas/ids/{schema_id}"), "schema"))
        return self._texts[schema_id]

    def _call(self, method: str, path: str, body: dict[str, str] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.address + path, data=data, headers=self._headers, method=method)  # noqa: S310  http(s) only, above
        try:
            with urlopen(request, timeout=self._timeout_seconds) as answer:  # noqa: S310  as above
                return json.loads(answer.read())
        except HTTPError as error:
            with error:
                raise self._refused(error) from error
        except (URLError, OSError, http.client.HTTPException) as error:
            raise Unavailable(f"the schema registry at {self.address} does not answer: {error}") from error
        except ValueError as error:
            raise ConfigError(f"{self.address} answers, but not as a schema registry does") from error

    def _refused(self, error: HTTPError) -> Exception:
        if error.code == 404:
            return NotFound(f"the schema registry at {self.address} does not know {urlsplit(error.url).path}")
        if error.code in (408, 429) or error.code >= 500:
            return Unavailable(f"the schema registry at {self.address} answered {error.code}")
        reason = error.read(500).decode(errors="replace").strip()
        return ConfigError(f"the schema registry at {self.address} refused: {error.code} {reason}")

    def _field(self, answer: Any, name: str) -> Any:
        if not isinstance(answer, dict) or name not in answer:
            raise ConfigError(f"{self.address} answers, but not as a schema registry does")
        return answer[name]
