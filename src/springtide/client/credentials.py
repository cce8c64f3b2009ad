"""Who we are to a server at this moment: fixed tokens, token files that are rotated, exec plug-ins.

Called by `http` before each request. This is the one place outside `node` that starts a process: an exec
credential plug-in is, by its contract, a program that prints a credential (the cloud providers' way to log
in). Its answer is kept until it expires or the server says 401. Expiry is a time of the real world, so this
file asks the wall clock itself; it never runs on virtual time.

Source: client.authentication.k8s.io/v1 ExecCredential, and client-go's handling of it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from springtide.client.errors import Unauthorized
from springtide.client.kubeconfig import Connection, ExecPlugin

EXEC_SECONDS = 60.0
"""How long a plug-in may take (it may have to ask a cloud)."""
TOKEN_FILE_SECONDS = 60.0
"""How long the content of a token file is used before it is read again, as in client-go."""

_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


@dataclass(frozen=True, slots=True)
class Credential:
    """What one request carries: an Authorization header, a client certificate, both or neither."""

    authorization: str = ""
    certificate_data: bytes = b""
    key_data: bytes = b""

    def __repr__(self) -> str:
        return f"Credential(certificate={bool(self.certificate_data)}, header={bool(self.authorization)})"


class Credentials(Protocol):
    """A source of credentials."""

    async def current(self) -> Credential:
        """The credential to use now. Raises Unauthorized when none can be had."""
        ...

    def reject(self, credential: Credential) -> bool:
        """The server answered 401 to this one; whether another may be had."""
        ...


def credentials_of(connection: Connection) -> Credentials:
    """The source a connection asks for; a token wins over an exec plug-in, as in client-go."""
    if connection.token_file is not None:
        return TokenFile(connection)
    if connection.exec_plugin is not None and not connection.token:
        return ExecCredentials(connection, connection.exec_plugin)
    authorization = ""
    if connection.token:
        authorization = f"Bearer {connection.token}"
    elif connection.username:
        pair = f"{connection.username}:{connection.password}".encode()
        authorization = f"Basic {base64.b64encode(pair).decode('ascii')}"
    return Fixed(Credential(authorization, connection.certificate_data, connection.key_data))


class Fixed:
    """A credential that never changes."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    async def current(self) -> Credential:
        return self._credential

    def reject(self, credential: Credential) -> bool:  # noqa: ARG002 - there is no other
        return False


class TokenFile:
    """A token in a file that someone rotates, such as a kubelet."""

    def __init__(self, connection: Connection) -> None:
        assert connection.token_file is not None
        self._connection = connection
        self._path = connection.token_file
        self._credential: Credential | None = None
        self._read_at = 0.0

    async def current(self) -> Credential:
        now = asyncio.get_running_loop().time()
        if self._credential is None or now - self._read_at > TOKEN_FILE_SECONDS:
            self._credential = self._read()
            self._read_at = now
        return self._credential

    def reject(self, credential: Credential) -> bool:
        self._credential = None
        try:
            return self._read() != credential
        except Unauthorized:
            return False

    def _read(self) -> Credential:
        try:
            token = self._path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Unauthorized(f"token file {self._path} cannot be read: {error}") from error
        connection = self._connection
        return Credential(f"Bearer {token}", connection.certificate_data, connection.key_data)


class _ExecStatus(msgspec.Struct, rename="camel"):
    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""
    expiration_timestamp: datetime | None = None


class _ExecCredential(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    status: _ExecStatus | None = None


class ExecCredentials:
    """Runs a plug-in when a credential is needed, one run at a time, and keeps a valid answer."""

    def __init__(
        self,
        connection: Connection,
        plugin: ExecPlugin,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._connection = connection
        self._plugin = plugin
        self._now = now
        self._lock = asyncio.Lock()
        self._credential: Credential | None = None
        self._expires: datetime | None = None

    async def current(self) -> Credential:
        async with self._lock:
            if self._credential is None or (self._expires is not None and self._now() >= self._expires):
                status = await self._run()
                self._expires = status.expiration_timestamp
                self._credential = Credential(
                    f"Bearer {status.token}" if status.token else "",
                    status.client_certificate_data.encode() or self._connection.certificate_data,
                    status.client_key_data.encode() or self._connection.key_data,
                )
            return self._credential

    def reject(self, credential: Credential) -> bool:
        if self._credential is credential:
            self._credential = None
        return True

    async def _run(self) -> _ExecStatus:
        plugin = self._plugin
        environment = {**os.environ, **dict(plugin.env), "KUBERNETES_EXEC_INFO": json.dumps(self._info())}
        try:
            process = await asyncio.create_subprocess_exec(
                plugin.command,
                *plugin.args,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            hint = f"; {' '.join(plugin.install_hint.split())}" if plugin.install_hint else ""
            raise self._failure(f"cannot be started: {error.strerror}{hint}") from error
        try:
            async with asyncio.timeout(EXEC_SECONDS):
                output, complaint = await process.communicate()
        except BaseException as error:
            process.kill()
            await process.wait()
            if isinstance(error, TimeoutError):
                raise self._failure(f"gave no answer within {EXEC_SECONDS:g} s") from error
            raise
        if process.returncode != 0:
            said = " ".join(complaint.decode("utf-8", "replace").split())[-400:]
            raise self._failure(f"failed with exit code {process.returncode}: {said or 'it said nothing'}")
        return self._parse(output)

    def _info(self) -> dict[str, Any]:
        """What the plug-in is told in KUBERNETES_EXEC_INFO."""
        spec: dict[str, Any] = {"interactive": False}
        if self._plugin.provide_cluster_info:
            cluster: dict[str, Any] = {"server": self._connection.server}
            if self._connection.ca_data:
                authority = base64.b64encode(self._connection.ca_data)
                cluster["certificate-authority-data"] = authority.decode("ascii")
            if self._connection.tls_server_name:
                cluster["tls-server-name"] = self._connection.tls_server_name
            spec["cluster"] = cluster
        return {"apiVersion": self._plugin.api_version, "kind": "ExecCredential", "spec": spec}

    def _parse(self, output: bytes) -> _ExecStatus:
        try:
            answer = msgspec.json.decode(output, type=_ExecCredential)
        except msgspec.DecodeError as error:
            raise self._failure(f"printed no ExecCredential: {error}") from error
        if answer.kind != "ExecCredential" or answer.api_version not in _VERSIONS:
            raise self._failure(
                f"printed {answer.kind or 'no kind'} {answer.api_version!r}; "
                f"an ExecCredential of {_VERSIONS[0]} is needed"
            )
        status = answer.status
        if status is None or not (status.token or status.client_certificate_data):
            raise self._failure("printed an ExecCredential with neither token nor clientCertificateData")
        if bool(status.client_certificate_data) != bool(status.client_key_data):
            raise self._failure("must print clientCertificateData and clientKeyData together")
        return status

    def _failure(self, what: str) -> Unauthorized:
        return Unauthorized(f"credential plug-in {self._plugin.command} {what}")
