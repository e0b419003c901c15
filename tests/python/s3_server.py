"""An S3 server on this machine that only serves who comes with its role's keys, which it also hands out.

As on a machine with an IAM role: the address of the keys stands in the environment, the keys stand nowhere.
"""

from __future__ import annotations

import json
import secrets
import threading
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from moto.moto_api._internal import moto_api_backend
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

KEYS_PATH = "/role"
_DENIED = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>who are you</Message></Error>'


class RoleStore:
    """The server, as a WSGI application.

    Attributes:
        key: The access key, not secret.
        hidden: The secret key and the session token.
        denied: Requests that did not come with them.
        handed_out: How many times the keys were asked for.
    """

    def __init__(self) -> None:
        self.key = "ASIA" + secrets.token_hex(8).upper()
        self.hidden = [secrets.token_urlsafe(30), secrets.token_urlsafe(60)]
        self.denied: list[str] = []
        self.handed_out = 0  # guarded by nothing: the tests ask whether it is 0
        self.url = ""
        self._store = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == KEYS_PATH:
            self.handed_out += 1
            start_response("200 OK", [("Content-Type", "application/json")])
            return [self._keys()]
        signed = f"Credential={self.key}/" in environ.get("HTTP_AUTHORIZATION", "")
        if signed and environ.get("HTTP_X_AMZ_SECURITY_TOKEN") == self.hidden[1]:
            return self._store(environ, start_response)
        self.denied.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        start_response("403 Forbidden", [("Content-Type", "application/xml")])
        return [_DENIED]

    @property
    def environment(self) -> dict[str, str]:
        """What a machine with this role has in its environment."""
        return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": self.url + KEYS_PATH, "AWS_EC2_METADATA_DISABLED": "true"}

    def client(self) -> Any:
        """A client with the keys."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=self.key,
            aws_secret_access_key=self.hidden[0],
            aws_session_token=self.hidden[1],
            config=Config(s3={"addressing_style": "path"}),
        )

    def _keys(self) -> bytes:
        end = datetime.now(timezone.utc) + timedelta(hours=1)
        secret, token = self.hidden
        keys = {"AccessKeyId": self.key, "SecretAccessKey": secret, "Token": token}
        return json.dumps({**keys, "Expiration": end.strftime("%Y-%m-%dT%H:%M:%SZ")}).encode()


class _Quiet(WSGIRequestHandler):
    def log(self, *_: Any) -> None:
        pass


@contextmanager
def role_store() -> Iterator[RoleStore]:
    """The server on a port of its own, without a bucket, ended with the block."""
    moto_api_backend.reset()  # moto keeps one state per process: an earlier test's buckets would still be there
    store = RoleStore()
    server = make_server("127.0.0.1", 0, store, threaded=True, request_handler=_Quiet)
    store.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
