"""Strategies of volumes, claims and storage classes, and of what drivers say of themselves.

Listed in `admission.STRATEGIES`. Rules and messages: Kubernetes' core and storage validation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from springtide.api.names import qualified_fault, subdomain_fault
from springtide.api.quantity import parse
from springtide.server.claim_rules import access_mode_errors, claim_spec_errors, volume_mode_errors
from springtide.server.context import Context
from springtide.server.resource_rules import canonical_amounts, resource_fault
from springtide.server.schema_rules import FieldError
from springtide.server.selector_rules import node_selector_errors
from springtide.server.status import bad_value, forbidden_field, required, unsupported
from springtide.server.strategy import Strategy

Json = dict[str, Any]

_IMMUTABLE = "field is immutable"
_RECLAIM = ("Delete", "Recycle", "Retain")
_CLASS_RECLAIM = ("Delete", "Retain")
_BINDING = ("Immediate", "WaitForFirstConsumer")
_NO_SOURCE = frozenset(
    {
        "capacity",
        "accessModes",
        "claimRef",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "mountOptions",
        "volumeMode",
        "nodeAffinity",
        "volumeAttributesClassName",
    }
)
_DRIVER_DEFAULTS: Json = {
    "attachRequired": True,
    "podInfoOnMount": False,
    "storageCapacity": False,
    "fsGroupPolicy": "ReadWriteOnceWithFSType",
    "requiresRepublish": False,
    "seLinuxMount": False,
}


class PersistentVolumeClaimStrategy(Strategy):
    """v1 PersistentVolumeClaim: what it asks for stays, but for growing once it is bound."""

    def default(self, obj: Json) -> None:
        spec = obj.setdefault("spec", {})
        if spec.get("volumeMode") is None:
            spec["volumeMode"] = "Filesystem"
        if spec.get("resources"):
            canonical_amounts(spec["resources"], "requests", "limits")

    def before_create(self, obj: Json, context: Context) -> None:
        obj["status"] = {"phase": "Pending"}

    def validate(self, obj: Json) -> Sequence[FieldError]:
        return list(claim_spec_errors(obj["spec"], "spec"))

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        bound = (new.get("status") or {}).get("phase") == "Bound"
        before, after = _fixed_part(old["spec"], bound=bound), _fixed_part(new["spec"], bound=bound)
        errors: list[FieldError] = []
        if not before.get("volumeName") and after.get("volumeName"):
            before["volumeName"] = after["volumeName"]  # binding sets it once
        if before != after:
            rule = (
                "spec is immutable after creation except resources.requests and volumeAttributesClassName "
                "for bound claims"
            )
            errors.append(forbidden_field("spec", rule))
        capacity = ((new.get("status") or {}).get("capacity") or {}).get("storage", "0")
        was, wanted = _size(old["spec"]), _size(new["spec"])
        if parse(wanted) < parse(was) and parse(wanted) <= parse(capacity):
            rule = "field can not be less than status.capacity"
            errors.append(forbidden_field("spec.resources.requests.storage", rule))
        return errors


class PersistentVolumeStrategy(Strategy):
    """v1 PersistentVolume: its source stays what it is."""

    def default(self, obj: Json) -> None:
        spec = obj.setdefault("spec", {})
        if not spec.get("persistentVolumeReclaimPolicy"):
            spec["persistentVolumeReclaimPolicy"] = "Retain"
        if spec.get("volumeMode") is None:
            spec["volumeMode"] = "Filesystem"
        if spec.get("hostPath") and spec["hostPath"].get("type") is None:
            spec["hostPath"]["type"] = ""
        canonical_amounts(spec, "capacity")

    def before_create(self, obj: Json, context: Context) -> None:
        obj["status"] = {"phase": "Pending"}

    def validate(self, obj: Json) -> Sequence[FieldError]:
        return list(_volume_errors(obj["spec"]))

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        errors = []
        if _sources(new["spec"]) != _sources(old["spec"]):
            rule = "spec.persistentvolumesource is immutable after creation"
            errors.append(forbidden_field("spec.persistentvolumesource", rule))
        if new["spec"].get("volumeMode") != old["spec"].get("volumeMode"):
            errors.append(bad_value("volumeMode", new["spec"].get("volumeMode"), _IMMUTABLE))
        return errors


class StorageClassStrategy(Strategy):
    """storage.k8s.io/v1 StorageClass."""

    def default(self, obj: Json) -> None:
        obj["reclaimPolicy"] = obj.get("reclaimPolicy") or "Delete"
        obj["volumeBindingMode"] = obj.get("volumeBindingMode") or "Immediate"

    def validate(self, obj: Json) -> Sequence[FieldError]:
        errors = []
        provisioner = obj.get("provisioner") or ""
        if not provisioner:
            errors.append(required("provisioner"))
        elif fault := qualified_fault(provisioner.lower()):
            errors.append(bad_value("provisioner", provisioner, fault))
        if any(not key for key in obj.get("parameters") or ()):
            errors.append(bad_value("parameters", "", "field can not be empty."))
        if obj["reclaimPolicy"] not in _CLASS_RECLAIM:
            errors.append(unsupported("reclaimPolicy", obj["reclaimPolicy"], _CLASS_RECLAIM))
        if obj["volumeBindingMode"] not in _BINDING:
            errors.append(unsupported("volumeBindingMode", obj["volumeBindingMode"], _BINDING))
        return errors

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        fixed = ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode")
        return [
            bad_value(name, new.get(name), _IMMUTABLE)
            for name in fixed
            if (new.get(name) or None) != (old.get(name) or None)
        ]


class CSIDriverStrategy(Strategy):
    """storage.k8s.io/v1 CSIDriver."""

    def default(self, obj: Json) -> None:
        spec = obj.setdefault("spec", {})
        for name, value in _DRIVER_DEFAULTS.items():
            if spec.get(name) is None:
                spec[name] = value
        if not spec.get("volumeLifecycleModes"):
            spec["volumeLifecycleModes"] = ["Persistent"]

    def validate(self, obj: Json) -> Sequence[FieldError]:
        modes = obj["spec"]["volumeLifecycleModes"]
        known = ("Ephemeral", "Persistent")
        return [
            unsupported(f"spec.volumeLifecycleModes[{index}]", mode, known)
            for index, mode in enumerate(modes)
            if mode not in known
        ]

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        fixed = {"attachRequired": "attachedRequired", "volumeLifecycleModes": "volumeLifecycleModes"}
        return [
            bad_value(f"spec.{called}", new["spec"].get(name), _IMMUTABLE)  # upstream's messages misspell one
            for name, called in fixed.items()
            if new["spec"].get(name) != old["spec"].get(name)
        ]


class VolumeAttachmentStrategy(Strategy):
    """storage.k8s.io/v1 VolumeAttachment: its spec never changes."""

    def before_create(self, obj: Json, context: Context) -> None:
        obj["status"] = {"attached": False}

    def validate(self, obj: Json) -> Sequence[FieldError]:
        spec = obj.get("spec") or {}
        errors = [required(f"spec.{name}") for name in ("attacher", "nodeName") if not spec.get(name)]
        source = spec.get("source") or {}
        given = [name for name in ("inlineVolumeSpec", "persistentVolumeName") if source.get(name)]
        if len(given) != 1:
            rule = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
            fault = forbidden_field if given else required
            errors.append(fault("spec.source", rule))
        return errors

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        return [] if new.get("spec") == old.get("spec") else [bad_value("spec", new.get("spec"), _IMMUTABLE)]


class CSIStorageCapacityStrategy(Strategy):
    """storage.k8s.io/v1 CSIStorageCapacity."""

    def validate(self, obj: Json) -> Sequence[FieldError]:
        name = obj.get("storageClassName") or ""
        if not name:
            return [required("storageClassName")]
        fault = subdomain_fault(name)
        return [bad_value("storageClassName", name, fault)] if fault else []

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        return [
            bad_value(name, new.get(name), _IMMUTABLE)
            for name in ("nodeTopology", "storageClassName")
            if new.get(name) != old.get(name)
        ]


def _fixed_part(spec: Json, *, bound: bool) -> Json:
    fixed = dict(spec)
    if bound:
        fixed.pop("volumeAttributesClassName", None)
        resources = spec.get("resources") or {}
        fixed["resources"] = {**resources, "requests": {**(resources.get("requests") or {}), "storage": ""}}
    return fixed


def _size(spec: Json) -> str:
    return str(((spec.get("resources") or {}).get("requests") or {}).get("storage", "0"))


def _sources(spec: Json) -> Json:
    return {name: value for name, value in spec.items() if name not in _NO_SOURCE and value is not None}


def _volume_errors(spec: Json) -> Iterator[FieldError]:
    yield from access_mode_errors(spec, "spec", "")
    capacity = spec.get("capacity") or {}
    if not capacity:
        yield required("spec.capacity")
    if capacity and set(capacity) != {"storage"}:
        yield unsupported("spec.capacity", capacity, ("storage",))
    for name, amount in capacity.items():
        if fault := resource_fault(name):
            yield bad_value(f"spec.capacity[{name}]", name, fault)
        if parse(amount) <= 0:
            yield bad_value(f"spec.capacity[{name}]", str(amount), "must be greater than zero")
    policy = spec.get("persistentVolumeReclaimPolicy")
    if policy not in _RECLAIM:
        yield unsupported("spec.persistentVolumeReclaimPolicy", policy, _RECLAIM)
    sources = list(_sources(spec))
    if not sources:
        yield required("spec", "must specify a volume type")
    for name in sources[1:]:
        yield forbidden_field(f"spec.{name}", "may not specify more than 1 volume type")
    yield from _affinity_errors(spec)
    for source, parts in (
        ("hostPath", ("path",)),
        ("local", ("path",)),
        ("nfs", ("server", "path")),
        ("csi", ("driver", "volumeHandle")),
    ):
        if (found := spec.get(source)) is not None:
            yield from (required(f"spec.{source}.{part}") for part in parts if not found.get(part))
    if (name := spec.get("storageClassName")) and (fault := subdomain_fault(name)):
        yield bad_value("spec.storageClassName", name, fault)
    yield from volume_mode_errors(spec, "spec")


def _affinity_errors(spec: Json) -> Iterator[FieldError]:
    affinity = spec.get("nodeAffinity")
    if affinity is None:
        if spec.get("local") is not None:
            yield required("spec.nodeAffinity", "Local volume requires node affinity")
    elif affinity.get("required") is None:
        yield required("spec.nodeAffinity.required", "must specify required node constraints")
    else:
        yield from node_selector_errors(affinity["required"], "spec.nodeAffinity.required")
