"""What may change in a pod that exists, through which path. Called by `PodStrategy`.

The pod itself: images, a deadline that comes nearer, further tolerations, gates that go, and the placement of
a pod that is still gated. `ephemeralcontainers`: further containers to look into it. `resize`: CPU and memory
of its containers. Rules and messages: Kubernetes' core validation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from springtide.server.pod_rules import around_of, cost_errors, ephemeral_container_errors
from springtide.server.schema_rules import FieldError
from springtide.server.status import bad_value, forbidden_field

Json = dict[str, Any]

_CHANGEABLE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_LARGEST = 2**31 - 1
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_RESIZABLE = ("cpu", "memory")
MIRROR = "kubernetes.io/config.mirror"
_NO_ADDING = "pod updates may not add or remove containers"


def annotation_errors(new: Json, old: Json | None = None) -> list[FieldError]:
    """What of the annotations that Kubernetes knows is wrong, or may not change."""
    cost = cost_errors(new["metadata"].get("annotations"), "metadata.annotations")
    return [*_mirror_errors(new, old), *cost]


def _mirror_errors(new: Json, old: Json | None) -> list[FieldError]:
    """A mirror pod stands for one that a node runs by itself: it is one from the start, and stays one."""
    mirrors = [(one["metadata"].get("annotations") or {}).get(MIRROR) for one in (new, old or new)]
    field = f"metadata.annotations[{MIRROR}]"
    if mirrors[0] != mirrors[1]:
        what = "add" if mirrors[1] is None else "remove or update"
        return [forbidden_field(field, f"may not {what} mirror pod annotation")]
    if mirrors[0] is not None and not new["spec"].get("nodeName"):
        return [bad_value(field, mirrors[0], "must set spec.nodeName if mirror pod annotation is set")]
    return []


def spec_errors(after: Json, before: Json) -> list[FieldError]:
    """What of a change of the spec is not allowed."""
    if before is after or before == after:
        return []
    for part in ("containers", "initContainers"):
        if len(after.get(part) or ()) != len(before.get(part) or ()):
            return [forbidden_field(f"spec.{part}", _NO_ADDING)]
    errors = [*_deadline(after, before), *_tolerations(after, before), *_gates(after, before)]
    checked = {"activeDeadlineSeconds", "tolerations", "schedulingGates"}
    if before.get("schedulingGates"):
        errors += _placement(after, before)
        checked.add("nodeSelector")
    changed = sorted(
        key for key in before.keys() | after.keys() if _differs(key, after, before) and key not in checked
    )
    if changed:
        named = ", ".join(f"spec.{key}" for key in changed)
        rule = f"pod updates may not change fields other than {_CHANGEABLE}\nchanged: {named}"
        errors.append(forbidden_field("spec", rule))
    return errors


def _differs(key: str, after: Json, before: Json) -> bool:
    old, new = before.get(key), after.get(key)
    if not old and not new:
        return False
    if key in ("containers", "initContainers"):
        return _without_images(old or []) != _without_images(new or [])
    if key == "affinity" and before.get("schedulingGates"):
        return {**(old or {}), "nodeAffinity": None} != {**(new or {}), "nodeAffinity": None}
    return bool(old != new)


def _without_images(containers: list[Json]) -> list[Json]:
    return [{key: value for key, value in one.items() if key != "image"} for one in containers]


def _deadline(after: Json, before: Json) -> Iterator[FieldError]:
    new, old = after.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")
    field = "spec.activeDeadlineSeconds"
    if new is None:
        if old is not None:
            yield bad_value(field, new, "must not update from a positive integer to nil value")
    elif not 0 <= new <= _LARGEST:
        yield bad_value(field, new, f"must be between 0 and {_LARGEST}, inclusive")
    elif old is not None and old < new:
        yield bad_value(field, new, "must be less than or equal to previous value")


def _tolerations(after: Json, before: Json) -> Iterator[FieldError]:
    def known(one: Json) -> Json:
        return {key: value for key, value in one.items() if key != "tolerationSeconds"}

    new = [known(one) for one in after.get("tolerations") or ()]
    if any(known(one) not in new for one in before.get("tolerations") or ()):
        rule = "existing toleration can not be modified except its tolerationSeconds"
        yield forbidden_field("spec.tolerations", rule)


def _gates(after: Json, before: Json) -> Iterator[FieldError]:
    old = {gate.get("name") for gate in before.get("schedulingGates") or ()}
    for index, gate in enumerate(after.get("schedulingGates") or ()):
        if gate.get("name") not in old:
            rule = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
            yield forbidden_field(f"spec.schedulingGates[{index}].name", rule)


def _placement(after: Json, before: Json) -> Iterator[FieldError]:
    """A gated pod may be narrowed to fewer nodes, never widened to more."""
    old, new = before.get("nodeSelector") or {}, after.get("nodeSelector") or {}
    for key, value in old.items():
        if new.get(key) != value:
            yield bad_value(
                "spec.nodeSelector", new, "only additions are allowed (no mutations or deletions)"
            )
            break
    old_terms, new_terms = _required_terms(before), _required_terms(after)
    if not old_terms or old_terms == new_terms:
        return
    field = f"spec.affinity.nodeAffinity.{_REQUIRED}.nodeSelectorTerms"
    if len(old_terms) != len(new_terms):
        yield bad_value(
            field, new_terms, "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        )
        return
    for index, (one, was) in enumerate(zip(new_terms, old_terms, strict=True)):
        for part in ("matchExpressions", "matchFields"):
            kept = all(item in (one.get(part) or ()) for item in was.get(part) or ())
            emptied = not (was.get("matchExpressions") or was.get("matchFields"))
            if not kept or (emptied and one != was):
                rule = "only additions are allowed (no mutations or deletions)"
                yield bad_value(f"{field}[{index}]", one, rule)
                break


def _required_terms(spec: Json) -> list[Json]:
    node_affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    return list((node_affinity.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ())


def with_ephemeral_containers(new: Json, old: Json) -> Json:
    """The pod as it was, with the ephemeral containers of `new`."""
    containers = (new.get("spec") or {}).get("ephemeralContainers") or []
    return {**old, "metadata": new["metadata"], "spec": {**old["spec"], "ephemeralContainers": containers}}


def ephemeral_errors(new: Json, old: Json, _quality: Callable[[Json], str]) -> list[FieldError]:
    """Ephemeral containers come, and neither change nor go."""
    field = "spec.ephemeralContainers"
    errors = list(ephemeral_container_errors(new["spec"], field, around_of(new["spec"])))
    after = {one.get("name"): one for one in new["spec"].get("ephemeralContainers") or ()}
    for one in old["spec"].get("ephemeralContainers") or ():
        name = one.get("name")
        if name not in after:
            errors.append(
                forbidden_field(field, f'existing ephemeral containers "{name}" may not be removed\n')
            )
        elif after[name] != one:
            errors.append(
                forbidden_field(field, f'existing ephemeral containers "{name}" may not be changed\n')
            )
    return errors


def resized(new: Json, old: Json) -> Json:
    """The pod as it was, with the resources of the containers of `new`."""
    wanted = (new.get("spec") or {}) if isinstance(new.get("spec"), dict) else {}
    spec = dict(old["spec"])
    for part in ("containers", "initContainers"):
        if part not in spec:
            continue
        sent = {one.get("name"): one for one in wanted.get(part) or ()}
        spec[part] = [_with_resources(one, sent.get(one.get("name"))) for one in spec[part]]
    return {**old, "metadata": new["metadata"], "spec": spec}


def _with_resources(container: Json, sent: Json | None) -> Json:
    if sent is None:
        return container
    taken = {key: sent[key] for key in ("resources", "resizePolicy") if sent.get(key) is not None}
    return {**container, **taken}


def resize_errors(new: Json, old: Json, quality: Callable[[Json], str]) -> list[FieldError]:
    """Only CPU and memory change, none of them goes, and the pod keeps its quality of service."""
    errors: list[FieldError] = []
    if quality(new["spec"]) != (old.get("status") or {}).get("qosClass", quality(old["spec"])):
        rule = "Pod QOS Class may not change as a result of resizing"
        errors.append(bad_value("spec", quality(new["spec"]), rule))
    for part in ("containers", "initContainers"):
        pairs = zip(new["spec"].get(part) or (), old["spec"].get(part) or (), strict=True)
        for index, (after, before) in enumerate(pairs):
            errors += _resource_change(after, before, f"spec.{part}[{index}].resources")
    return errors


def _resource_change(after: Json, before: Json, field: str) -> Iterator[FieldError]:
    new, old = after.get("resources") or {}, before.get("resources") or {}
    for kind in ("limits", "requests"):
        now, was = new.get(kind) or {}, old.get(kind) or {}
        for name in sorted(now.keys() | was.keys()):
            if now.get(name) == was.get(name):
                continue
            if name not in _RESIZABLE:
                yield forbidden_field(f"{field}.{kind}", "only cpu and memory resources are mutable")
            elif name not in now:
                yield forbidden_field(f"{field}.{kind}", f"resource {kind} cannot be removed")
