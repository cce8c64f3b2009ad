"""Which server, and who we are there: read from kubeconfig files as kubectl does, or from inside a pod.

`load_kubeconfig` and `in_cluster` give a `Connection`, which `springtide.client.connect` turns into a client;
`kubeconfig_file` writes them. Source of the format and of the merge rule (the first file that names an entry
wins): "Organizing cluster access using kubeconfig files" of the Kubernetes documentation.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from springtide.client.errors import KubeconfigError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """A program that prints an ExecCredential (client.authentication.k8s.io)."""

    command: str
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    api_version: str = "client.authentication.k8s.io/v1"
    install_hint: str = ""
    provide_cluster_info: bool = False


@dataclass(frozen=True, slots=True)
class Connection:
    """Everything needed to speak to one server as one user. Secrets are left out of its repr."""

    server: str
    """Base URL, such as https://127.0.0.1:6443."""
    context: str = ""
    namespace: str = "default"
    """Where objects without a namespace go."""
    ca_data: bytes = b""
    """PEM certificates to trust; empty trusts the system's."""
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    """Name to expect in the server's certificate, when it is not the host of `server`."""
    proxy_url: str = ""
    disable_compression: bool = False
    certificate_data: bytes = b""
    """PEM client certificate."""
    key_data: bytes = b""
    token: str = ""
    token_file: Path | None = None
    """Read again when it changes, as tokens in pods are rotated."""
    username: str = ""
    password: str = ""
    exec_plugin: ExecPlugin | None = None
    impersonate: tuple[tuple[str, str], ...] = ()
    """Impersonate-* headers."""

    def __repr__(self) -> str:
        return f"Connection(server={self.server!r}, context={self.context!r}, namespace={self.namespace!r})"


def default_paths(environment: Mapping[str, str]) -> list[Path]:
    """The files kubectl would read: those of KUBECONFIG, else ~/.kube/config."""
    listed = [Path(part) for part in environment.get("KUBECONFIG", "").split(os.pathsep) if part]
    if listed:
        return listed
    home = environment.get("HOME", "")
    return [Path(home) / ".kube" / "config"] if home else []


def load_kubeconfig(
    path: Path | str | Sequence[Path] | None = None, context: str | None = None
) -> Connection:
    """The connection of a context (default: the current one) in one file, several merged, or kubectl's.

    Raises KubeconfigError naming the file, the entry and what to do.
    """
    paths = default_paths(os.environ) if path is None else _paths(path)
    merged = _merge(paths)
    name = context or merged.current_context
    if not name:
        raise KubeconfigError(f"{merged.where}: no current-context; choose one with --context")
    found = merged.entry("contexts", name)
    user_name = found.text("user")
    return _connection(
        name,
        found.text("namespace") or "default",
        merged.entry("clusters", found.text("cluster")),
        merged.entry("users", user_name) if user_name else _Entry(f"{merged.where}: no user", {}, Path()),
    )


def contexts(path: Path | str | Sequence[Path] | None = None) -> tuple[list[str], str]:
    """The names of all contexts, and that of the current one ("" for none)."""
    merged = _merge(default_paths(os.environ) if path is None else _paths(path))
    return sorted(merged.sections["contexts"]), merged.current_context


def in_cluster(environment: Mapping[str, str] | None = None, folder: Path = SERVICE_ACCOUNT) -> Connection:
    """The connection of the pod we run in. Raises KubeconfigError outside of one."""
    environment = os.environ if environment is None else environment
    host, port = (
        environment.get("KUBERNETES_SERVICE_HOST", ""),
        environment.get("KUBERNETES_SERVICE_PORT", ""),
    )
    if not host or not port:
        raise KubeconfigError("not in a pod: KUBERNETES_SERVICE_HOST is not set; give a kubeconfig instead")
    authority, token, namespace = folder / "ca.crt", folder / "token", folder / "namespace"
    if not token.is_file():
        raise KubeconfigError(f"{token} is missing; give the pod a service account token")
    return Connection(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        context="in-cluster",
        namespace=namespace.read_text().strip() if namespace.is_file() else "default",
        ca_data=authority.read_bytes() if authority.is_file() else b"",
        token_file=token,
    )


@dataclass(frozen=True, slots=True)
class _Entry:
    """One cluster, user or context, with where it stands for messages and relative paths."""

    where: str
    values: Mapping[str, Any]
    folder: Path

    def text(self, field: str) -> str:
        value = self.values.get(field)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise KubeconfigError(f"{self.where}: {field} must be a string, not {value!r}; put it in quotes")
        return value

    def flag(self, field: str) -> bool:
        value = self.values.get(field, False)
        if not isinstance(value, bool):
            raise KubeconfigError(f"{self.where}: {field} must be true or false, not {value!r}")
        return value

    def path(self, field: str) -> Path | None:
        value = self.text(field)
        return self.folder / Path(value).expanduser() if value else None

    def data(self, field: str) -> bytes:
        """Inline base64 in `<field>-data`, or the content of the file `<field>`; the inline one wins."""
        inline, path = self.text(f"{field}-data"), self.path(field)
        if inline:
            try:
                return base64.b64decode(inline, validate=True)
            except binascii.Error as error:
                raise KubeconfigError(f"{self.where}: {field}-data is not base64: {error}") from error
        if path is None:
            return b""
        try:
            return path.read_bytes()
        except OSError as error:
            raise KubeconfigError(f"{self.where}: {field}: {path}: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class _Merged:
    """Several files as one; the first that names an entry wins."""

    where: str
    sections: Mapping[str, Mapping[str, _Entry]]
    current_context: str

    def entry(self, section: str, name: str) -> _Entry:
        found = self.sections[section].get(name)
        if found is None:
            known = ", ".join(sorted(self.sections[section])) or "none"
            raise KubeconfigError(f"{self.where}: {section} has no {name!r}; it has {known}")
        return found


_SECTIONS = {"clusters": "cluster", "users": "user", "contexts": "context"}


def _paths(path: Path | str | Sequence[Path]) -> list[Path]:
    if isinstance(path, (str, Path)):
        if not Path(path).exists():
            raise KubeconfigError(f"{path}: no such kubeconfig; start `springtide up` or name another file")
        return [Path(path)]
    return list(path)


def _merge(paths: Sequence[Path]) -> _Merged:
    where = os.pathsep.join(map(str, paths)) or "kubeconfig"
    sections: dict[str, dict[str, _Entry]] = {section: {} for section in _SECTIONS}
    current = ""
    present = [path for path in paths if path.exists()]
    if not present:
        raise KubeconfigError(
            f"{where}: no such kubeconfig; start `springtide up` or name one with --kubeconfig"
        )
    for path in present:
        document = read_document(path)
        current = current or str(document.get("current-context") or "")
        for section, inner in _SECTIONS.items():
            for item in document.get(section) or ():
                name = item["name"]
                entry = _Entry(f"{path}: {inner} {name!r}", item.get(inner) or {}, path.resolve().parent)
                sections[section].setdefault(name, entry)
    return _Merged(where, sections, current)


def read_document(path: Path) -> dict[str, Any]:
    """A kubeconfig as parsed YAML whose lists hold named objects. Raises KubeconfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise KubeconfigError(f"{path}: cannot be read: {error}") from error
    try:
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise KubeconfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise KubeconfigError(f"{path}: a kubeconfig is a mapping with clusters, users and contexts")
    for section in _SECTIONS:
        items = document.get(section) or []
        named = isinstance(items, list) and all(
            isinstance(i, dict) and isinstance(i.get("name"), str) for i in items
        )
        if not named:
            raise KubeconfigError(f"{path}: {section} must be a list of entries that each have a name")
    return document


def _connection(context: str, namespace: str, cluster: _Entry, user: _Entry) -> Connection:
    server = cluster.text("server").rstrip("/")
    if not server.startswith(("https://", "http://")):
        raise KubeconfigError(f"{cluster.where}: server {server!r} must start with https:// (or http://)")
    if user.values.get("auth-provider"):
        raise KubeconfigError(
            f"{user.where}: auth-provider left Kubernetes in 1.26; use exec with the provider's plug-in"
        )
    token_file = user.path("tokenFile")
    return Connection(
        server=server,
        context=context,
        namespace=namespace,
        ca_data=cluster.data("certificate-authority"),
        insecure_skip_tls_verify=cluster.flag("insecure-skip-tls-verify"),
        tls_server_name=cluster.text("tls-server-name"),
        proxy_url=cluster.text("proxy-url"),
        disable_compression=cluster.flag("disable-compression"),
        certificate_data=user.data("client-certificate"),
        key_data=user.data("client-key"),
        token="" if token_file else user.text("token"),
        token_file=token_file,
        username=user.text("username"),
        password=user.text("password"),
        exec_plugin=_exec_plugin(user),
        impersonate=_impersonate(user),
    )


def _exec_plugin(user: _Entry) -> ExecPlugin | None:
    raw = user.values.get("exec")
    if raw is None:
        return None
    if not isinstance(raw, dict):
        raise KubeconfigError(f"{user.where}: exec must be a mapping with a command")
    plugin = _Entry(f"{user.where}: exec", raw, user.folder)
    command = plugin.text("command")
    if not command:
        raise KubeconfigError(f"{plugin.where}: command is empty; name the credential plug-in")
    if "/" in command:
        command = str(user.folder / command)
    return ExecPlugin(
        command=command,
        args=tuple(map(str, raw.get("args") or ())),
        env=tuple((str(item["name"]), str(item["value"])) for item in raw.get("env") or ()),
        api_version=plugin.text("apiVersion") or "client.authentication.k8s.io/v1",
        install_hint=plugin.text("installHint"),
        provide_cluster_info=plugin.flag("provideClusterInfo"),
    )


def _impersonate(user: _Entry) -> tuple[tuple[str, str], ...]:
    headers = []
    if user.text("as"):
        headers.append(("Impersonate-User", user.text("as")))
    headers += [("Impersonate-Group", str(group)) for group in user.values.get("as-groups") or ()]
    return tuple(headers)
