"""Admission of single kinds: the default storage class, runtime classes, namespaces that must stay.

Part of the chain in `admit_chain`. Behaviour and messages: Kubernetes' plug-ins DefaultStorageClass,
DefaultTolerationSeconds, PersistentVolumeClaimResize, RuntimeClass and NamespaceLifecycle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from springtide.api.quantity import parse
from springtide.server.admit import CREATE, DELETE, UPDATE, Change, Plugin, refused

if TYPE_CHECKING:
    from springtide.server.context import Context

Json = dict[str, Any]

_STORAGE_CLASSES = "storage.k8s.io/storageclasses"
_RUNTIME_CLASSES = "node.k8s.io/runtimeclasses"
_IS_DEFAULT = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_MUST_STAY = frozenset({"default", "kube-system", "kube-public"})


_UNREACHABLE_SECONDS = 300
_DEFAULT_TOLERATIONS = tuple(
    {
        "key": f"node.kubernetes.io/{problem}",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": _UNREACHABLE_SECONDS,
    }
    for problem in ("not-ready", "unreachable")
)


class TolerationPlugin(Plugin):
    """A node may be away for five minutes before its pods are given up, unless the pod says otherwise."""

    operations = (CREATE, UPDATE)
    resources = frozenset({"pods"})

    def admit(self, change: Change, context: Context) -> None:
        if change.obj is not None and not change.obj["metadata"].get("deletionTimestamp"):
            _tolerate_short_outages(change.obj["spec"])


class StorageClassPlugin(Plugin):
    """Claims that name no class get the default one; only classes that allow it let claims grow."""

    operations = (CREATE, UPDATE)
    resources = frozenset({"persistentvolumeclaims"})

    def admit(self, change: Change, context: Context) -> None:
        if change.operation != CREATE or change.obj is None or "storageClassName" in change.obj["spec"]:
            return
        records = (
            context.store.page(_STORAGE_CLASSES).records if context.store.count(_STORAGE_CLASSES) else []
        )
        classes = [
            one for one in (msgspec.json.decode(record.value) for record in records) if _is_default(one)
        ]
        if classes:  # of several the newest, then the first by name
            newest = max(one["metadata"]["creationTimestamp"] for one in classes)
            names = [
                one["metadata"]["name"] for one in classes if one["metadata"]["creationTimestamp"] == newest
            ]
            change.obj["spec"]["storageClassName"] = min(names)

    def validate(self, change: Change, context: Context) -> None:
        if change.operation != UPDATE or change.obj is None or change.old is None:
            return
        if parse(_size(change.obj)) <= parse(_size(change.old)):
            return
        name = change.obj["spec"].get("storageClassName") or ""
        record = context.store.latest(_STORAGE_CLASSES, name) if name else None
        if record is None or not msgspec.json.decode(record.value).get("allowVolumeExpansion"):
            why = (
                "only dynamically provisioned pvc can be resized and "
                "the storageclass that provisions the pvc must support resize"
            )
            raise refused(change, why)


class RuntimeClassPlugin(Plugin):
    """Pods of a RuntimeClass carry its overhead, and go where it is known."""

    resources = frozenset({"pods"})

    def admit(self, change: Change, context: Context) -> None:
        spec = change.obj["spec"] if change.obj is not None else {}
        name = spec.get("runtimeClassName")
        if not name:
            return
        record = context.store.latest(_RUNTIME_CLASSES, name)
        if record is None:
            raise refused(change, f'pod rejected: RuntimeClass "{name}" not found')
        found: Json = msgspec.json.decode(record.value)
        overhead = (found.get("overhead") or {}).get("podFixed")
        if overhead:
            if spec.get("overhead") not in (None, overhead):
                why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
                raise refused(change, why)
            spec["overhead"] = overhead
        self._schedule(change, spec, found.get("scheduling") or {})

    def _schedule(self, change: Change, spec: Json, scheduling: Json) -> None:
        wanted, own = scheduling.get("nodeSelector") or {}, spec.get("nodeSelector") or {}
        for key, value in wanted.items():
            if own.get(key, value) != value:
                raise refused(
                    change,
                    f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                    f"pod.spec.nodeSelector[{key}] = {own[key]}",
                )
        if wanted:
            spec["nodeSelector"] = {**own, **wanted}
        more = [
            one for one in scheduling.get("tolerations") or () if one not in (spec.get("tolerations") or ())
        ]
        if more:
            spec["tolerations"] = [*(spec.get("tolerations") or ()), *more]


class NamespacePlugin(Plugin):
    """The namespaces of the cluster itself are not deleted."""

    operations = (DELETE,)
    resources = frozenset({"namespaces"})

    def validate(self, change: Change, context: Context) -> None:
        if change.name in _MUST_STAY:
            raise refused(change, "this namespace may not be deleted")


def _is_default(storage_class: Json) -> bool:
    annotations = storage_class["metadata"].get("annotations") or {}
    return any(annotations.get(key) == "true" for key in _IS_DEFAULT)


def _size(claim: Json) -> str:
    return str(((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage", "0"))


def _tolerate_short_outages(spec: Json) -> None:
    tolerations = spec.get("tolerations")
    if not tolerations:
        spec["tolerations"] = [*_DEFAULT_TOLERATIONS]
        return
    for default in _DEFAULT_TOLERATIONS:
        if not any(
            toleration.get("key", "") in ("", default["key"])
            and toleration.get("effect", "") in ("", "NoExecute")
            and (toleration.get("key") or toleration.get("operator") == "Exists")
            for toleration in tolerations
        ):
            tolerations = [*tolerations, default]
    spec["tolerations"] = tolerations
