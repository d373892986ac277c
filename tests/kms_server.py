"""A key service on this machine: moto behind a gate, which adds what moto leaves out and can be told to misbehave.

moto 5.2 lets a disabled key be used; the real service answers DisabledException
(https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html#API_Decrypt_Errors).
"""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_EC2_METADATA_DISABLED": "true"}
REGION = "sa-east-1"


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        pass


class KmsServer:
    """`fault`: the error that every call to use a key ends with. `stalled`: no such call is answered while it is unset."""

    def __init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._gate, threaded=True, request_handler=_Quiet)
        self._disabled: set[str] = set()
        self.fault: tuple[int, str] | None = None
        self.flowing = threading.Event()
        self.flowing.set()
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._admin = boto3.client(
            "kms", region_name=REGION, endpoint_url=self.url, aws_access_key_id="testing", aws_secret_access_key="testing"
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def new_key(self) -> str:
        """ARN of a new key."""
        return str(self._admin.create_key()["KeyMetadata"]["Arn"])

    def disable(self, arn: str) -> None:
        self._admin.disable_key(KeyId=arn.rpartition("/")[2])  # moto finds no ARN here
        self._disabled.add(arn)

    def enable(self, arn: str) -> None:
        self._admin.enable_key(KeyId=arn.rpartition("/")[2])
        self._disabled.discard(arn)

    def stop(self) -> None:
        self.flowing.set()
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()
        self._admin.close()

    def _gate(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        operation = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
        if operation in {"Encrypt", "Decrypt"}:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
            given = json.loads(body)
            self.calls.append((operation, given))
            self.flowing.wait(30)
            fault = self.fault or ((400, "DisabledException") if given["KeyId"] in self._disabled else None)
            if fault is not None:
                start_response(f"{fault[0]} Refused", [("Content-Type", "application/x-amz-json-1.1")])
                return [json.dumps({"__type": fault[1], "message": "by the test"}).encode()]
        return self._moto(environ, start_response)


@contextmanager
def kms_server() -> Iterator[KmsServer]:
    """Started and stopped."""
    server = KmsServer()
    try:
        yield server
    finally:
        server.stop()
