"""Writes a context into a kubeconfig file, and takes it out again, touching nothing others wrote there.

`springtide up` adds the embedded server so that kubectl finds it; `down` removes it. The file is replaced
atomically with mode 0600, under the same `.lock` file that kubectl uses.
"""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import yaml

from springtide.client.errors import KubeconfigError
from springtide.client.kubeconfig import Connection, read_document

_HEAD: dict[str, Any] = {"apiVersion": "v1", "kind": "Config"}
_STALE_SECONDS = 10
"""A lock is held for milliseconds: one this old was left behind by a program that was killed."""


def write_context(
    path: Path, connection: Connection, *, make_current: bool = True, shared: bool = True
) -> None:
    """Put the connection under its `context` name: as cluster, user and context.

    Entries of the same name are replaced, all else is kept. A file that is not `shared` is written by nobody
    else, so it needs no lock, and a lock that a killed process left behind is no obstacle. Raises
    KubeconfigError when the present file cannot be understood or written.
    """
    name = connection.context
    if not name:
        raise KubeconfigError("a connection without a context name cannot be written; set Connection.context")
    context = {"cluster": name, "user": name, "namespace": connection.namespace}
    with _locked(path) if shared else nullcontext():
        document = _HEAD | (read_document(path) if path.exists() else {})
        _put(document, "clusters", {"name": name, "cluster": _cluster(connection)})
        _put(document, "users", {"name": name, "user": _user(connection)})
        _put(document, "contexts", {"name": name, "context": context})
        if make_current or not document.get("current-context"):
            document["current-context"] = name
        _replace(path, document)


def remove_context(path: Path, name: str) -> bool:
    """Take out the cluster, user and context of this name; whether there was anything to take out."""
    if not path.exists():
        return False
    with _locked(path):
        before = read_document(path)
        document = dict(before)
        for section in ("clusters", "users", "contexts"):
            document[section] = [item for item in before.get(section) or [] if item["name"] != name]
        if document.get("current-context") == name:
            document["current-context"] = ""
        changed = document != {"clusters": [], "users": [], "contexts": [], **before}
        if changed:
            _replace(path, document)
        return changed


def _cluster(connection: Connection) -> dict[str, Any]:
    cluster: dict[str, Any] = {"server": connection.server}
    if connection.ca_data:
        cluster["certificate-authority-data"] = _base64(connection.ca_data)
    if connection.insecure_skip_tls_verify:
        cluster["insecure-skip-tls-verify"] = True
    if connection.tls_server_name:
        cluster["tls-server-name"] = connection.tls_server_name
    return cluster


def _user(connection: Connection) -> dict[str, Any]:
    user: dict[str, Any] = {}
    if connection.token:
        user["token"] = connection.token
    if connection.token_file:
        user["tokenFile"] = str(connection.token_file)
    if connection.certificate_data:
        user["client-certificate-data"] = _base64(connection.certificate_data)
        user["client-key-data"] = _base64(connection.key_data)
    return user


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _put(document: dict[str, Any], section: str, entry: dict[str, Any]) -> None:
    others = [item for item in document.get(section) or [] if item["name"] != entry["name"]]
    document[section] = [*others, entry]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _is_stale(lock):
            lock.unlink(missing_ok=True)
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError as error:
        raise KubeconfigError(
            f"{lock} exists: another program is changing {path}; if none is, delete the lock file"
        ) from error
    except OSError as error:
        raise KubeconfigError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _is_stale(lock: Path) -> bool:
    """By the file system's own clock, which a new file tells."""
    try:
        locked_at = lock.stat().st_mtime
    except FileNotFoundError:
        return False
    with tempfile.TemporaryFile(dir=lock.parent) as probe:
        return os.fstat(probe.fileno()).st_mtime - locked_at > _STALE_SECONDS


def _replace(path: Path, document: dict[str, Any]) -> None:
    """A reader sees the old file or the new one, never a part; a symbolic link keeps pointing at it."""
    target = path.resolve()
    try:
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:  # mkstemp made it 0600
                yaml.safe_dump(document, stream, sort_keys=False)
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise KubeconfigError(f"{target}: cannot be written: {error.strerror}") from error
