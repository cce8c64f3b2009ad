"""Every pod has a service account, and finds a token of it in a volume.

As Kubernetes' ServiceAccount admission: `default` where the pod names none, its pull secrets, and the volume
`kube-api-access-…` at the usual place of every container, unless pod or account say
`automountServiceAccountToken: false`. A namespace's `default` account is made here if a pod comes before the
controller that makes it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from springtide.server.admit import Change, Plugin, refused
from springtide.server.authorize_node import references
from springtide.server.context import Context
from springtide.server.pod_changes import MIRROR
from springtide.store import Record

Json = dict[str, Any]

TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS = 3607
"""An odd number on purpose, as upstream: it tells tokens that nobody asked for from others."""
ROOT_CA = "kube-root-ca.crt"
_DEFAULT = "default"
_REMEMBERED = 4096
_VOLUME = "kube-api-access-"
_VOLUME_SOURCE: Json = {
    "defaultMode": 0o644,
    "sources": [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"items": [{"key": "ca.crt", "path": "ca.crt"}], "name": ROOT_CA}},
        {
            "downwardAPI": {
                "items": [
                    {
                        "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                        "path": "namespace",
                    }
                ]
            }
        },
    ],
}


class ServiceAccountPlugin(Plugin):
    """Fills in the identity of new pods."""

    resources = frozenset(("pods",))

    def __init__(self) -> None:
        self._accounts: dict[str, tuple[int, Json]] = {}
        """By key: the revision of an account, and the account."""

    def admit(self, change: Change, context: Context) -> None:
        """Set account, token volume and pull secrets, in place."""
        pod = change.obj
        if pod is None:
            return
        spec: Json = pod["spec"]
        if MIRROR in (pod["metadata"].get("annotations") or {}):
            _refuse_references(change, spec)
            return
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or _DEFAULT
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = self._account(change, name, context)
        if _mounts(account, spec):
            _mount(spec, context)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [{"name": one.get("name", "")} for one in account["imagePullSecrets"]]

    def _account(self, change: Change, name: str, context: Context) -> Json:
        key = f"{change.namespace}/{name}"
        record = context.store.latest("serviceaccounts", key)
        if record is None:
            if name != _DEFAULT:
                raise refused(
                    change, f'error looking up service account {key}: serviceaccount "{name}" not found'
                )
            return _make_default(change, context)
        known = self._accounts.get(key)
        if known is None or known[0] != record.revision:
            if len(self._accounts) >= _REMEMBERED:
                self._accounts.clear()
            known = self._accounts[key] = (record.revision, _decode(record))
        return known[1]


def _refuse_references(change: Change, spec: Json) -> None:
    """A mirror pod stands for one that a node runs by itself; it must not be a way to secrets."""
    if spec.get("serviceAccountName"):
        raise refused(change, "a mirror pod may not reference service accounts")
    if any(references(spec, "secret")):
        raise refused(change, "a mirror pod may not reference secrets")
    sources = [one for volume in spec.get("volumes") or () for one in _projected(volume)]
    if any(one.get("serviceAccountToken") for one in sources):
        raise refused(change, "a mirror pod may not use ServiceAccountToken volume projections")


def _projected(volume: Json) -> list[Json]:
    return (volume.get("projected") or {}).get("sources") or []


def _make_default(change: Change, context: Context) -> Json:
    """The account, stored in the same commit as the pod; the store keeps the order."""
    account: Json = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {
            "name": _DEFAULT,
            "namespace": change.namespace,
            "uid": context.new_uid(),
            "creationTimestamp": context.timestamp(),
        },
    }
    if not change.dry_run:
        account["metadata"]["resourceVersion"] = str(context.store.next_revision)
        written = context.store.write(
            "serviceaccounts", f"{change.namespace}/{_DEFAULT}", msgspec.json.encode(account), expected=0
        )
        written.add_done_callback(lambda done: done.cancelled() or done.exception())
    return account


def _mounts(account: Json, spec: Json) -> bool:
    for one in (spec, account):
        if one.get("automountServiceAccountToken") is not None:
            return bool(one["automountServiceAccountToken"])
    return True


def _mount(spec: Json, context: Context) -> None:
    """Add the volume and its mounts; lists and containers are replaced, they may be shared."""
    volumes = spec.get("volumes") or []
    name = next((one["name"] for one in volumes if one.get("name", "").startswith(_VOLUME)), "")
    volume = name or f"{_VOLUME}{context.name_suffix()}"
    mount = {"name": volume, "readOnly": True, "mountPath": TOKEN_FOLDER}
    needed = False
    for part in ("initContainers", "containers"):
        containers = []
        for container in spec.get(part) or ():
            mounts = container.get("volumeMounts") or ()
            if not mounts or all(one.get("mountPath") != TOKEN_FOLDER for one in mounts):
                container = {**container, "volumeMounts": [*mounts, mount]}
                needed = True
            containers.append(container)
        if containers:
            spec[part] = containers
    if needed and not name:
        spec["volumes"] = [*volumes, {"name": volume, "projected": _VOLUME_SOURCE}]


def _decode(record: Record) -> Json:
    account: Json = msgspec.json.decode(record.value)
    return account
