"""CustomResourceDefinitions: checked when written, served the moment they are stored, gone after their last
object.

The store is the truth: at start every stored CRD is served again, and a deletion that was under way goes
on. What a CRD may say is in `definition_spec`, `definition_schema` and `definition_rules`, what the server
says of it in `definition_status`. Semantics: Kubernetes apiextensions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from springtide.runtime.log import logger
from springtide.server.context import Context
from springtide.server.definition_schema import drop_nulls, schema_errors, unknown_formats
from springtide.server.definition_spec import approval_errors, own_versions, place_of, spec_errors
from springtide.server.definition_status import (
    CLEANUP,
    is_true,
    stored_version_errors,
    stored_versions,
    terminating,
    with_status,
)
from springtide.server.kinds import ServedKind
from springtide.server.schema_rules import FieldError
from springtide.server.served_versions import CustomResourceStrategy, served_kinds
from springtide.server.sound_schemas import SoundSchemas, is_shipped
from springtide.server.status import bad_value
from springtide.server.strategy import Strategy

log = logger("server.customresources")

Json = dict[str, Any]

RESOURCE = "apiextensions.k8s.io/customresourcedefinitions"


class CustomResourceDefinitionStrategy(Strategy):
    """apiextensions.k8s.io/v1 CustomResourceDefinition."""

    def __init__(self) -> None:
        self._context: Context | None = None
        self._sound = SoundSchemas()
        self._served: dict[str, bytes] = {}

    def attach(self, context: Context) -> None:
        """Called once at start: the kinds that are served already decide which names are free."""
        self._context = context

    def default(self, obj: Json) -> None:
        names = obj["spec"]["names"]
        if not names.get("singular"):
            names["singular"] = names["kind"].lower()
        if not names.get("listKind"):
            names["listKind"] = f"{names['kind']}List"
        if not obj["spec"].get("conversion"):
            obj["spec"]["conversion"] = {"strategy": "None"}
        for version in obj["spec"]["versions"]:
            drop_nulls((version.get("schema") or {}).get("openAPIV3Schema"))

    def before_create(self, obj: Json, context: Context) -> None:
        obj["status"] = with_status({**obj, "status": {}}, self._others(obj), context.timestamp())

    def before_update(self, new: Json, old: Json) -> None:
        now = self._context.timestamp() if self._context else old["metadata"]["creationTimestamp"]
        new["status"] = with_status(new, self._others(new), now)

    def _others(self, obj: Json) -> Iterator[ServedKind]:
        """The kinds of the same group whose names are taken."""
        group, plural = obj["spec"]["group"], obj["spec"]["names"]["plural"]
        kinds = self._context.kinds if self._context else ()
        return (kind for kind in kinds if kind.group == group and kind.plural != plural)

    def validate(self, obj: Json) -> Sequence[FieldError]:
        spec, names = obj["spec"], obj["spec"]["names"]
        errors: list[FieldError] = []
        name = obj["metadata"].get("name", "")
        if name != f"{names['plural']}.{spec['group']}":
            errors.append(bad_value("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
        errors += spec_errors(spec)
        if "storedVersions" not in (
            obj.get("status") or {}
        ):  # a new one: the status is made when it is sound
            status = {"storedVersions": stored_versions(spec, {})}
            errors += stored_version_errors({**obj, "status": status})
        errors += self._schema_errors(spec["versions"])
        return errors

    def _schema_errors(self, versions: list[Json]) -> Iterator[FieldError]:
        for index, version in own_versions(versions, "schema"):
            schema = (version.get("schema") or {}).get("openAPIV3Schema")
            if schema is None:
                continue
            sharing = [version] if place_of(versions, "schema", index, "") != "spec." else versions
            status = any("status" in (one.get("subresources") or {}) for one in sharing)
            if self._sound.has(schema, status=status):
                continue
            place = place_of(versions, "schema", index, "validation")
            found = schema_errors(schema, f"{place}.openAPIV3Schema", status=status)
            if not found:
                self._sound.add(schema, status=status)
            yield from found

    def validate_create(self, obj: Json) -> Sequence[FieldError]:
        return list(approval_errors(obj, None))

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        fixed = [("spec.group", ("group",)), ("spec.names.plural", ("names", "plural"))]
        if is_true(old.get("status") or {}, "Established"):
            fixed += [("spec.scope", ("scope",)), ("spec.names.kind", ("names", "kind"))]
        errors = [
            bad_value(place, _at(new["spec"], path), "field is immutable")
            for place, path in fixed
            if _at(new["spec"], path) != _at(old["spec"], path)
        ]
        return [*errors, *stored_version_errors(new), *approval_errors(new, old)]

    def warn(self, obj: Json) -> Sequence[str]:
        """Formats that check nothing."""
        found: set[str] = set()
        for version in obj["spec"]["versions"]:
            schema = (version.get("schema") or {}).get("openAPIV3Schema")
            if schema and not is_shipped(schema, status="status" in (version.get("subresources") or {})):
                found.update(unknown_formats(schema))
        return [f'unrecognized format "{name}"' for name in sorted(found)]

    def before_delete(self, obj: Json) -> None:
        """Its objects go first; a finalizer keeps the definition until they have."""
        metadata = obj["metadata"]
        finalizers = metadata.get("finalizers") or []
        if CLEANUP not in finalizers:
            metadata["finalizers"] = [*finalizers, CLEANUP]
        now = self._context.timestamp() if self._context else metadata["creationTimestamp"]
        obj["status"] = terminating(obj.get("status") or {}, now, started=False)

    def after_write(self, obj: Json, context: Context, *, deleted: bool) -> None:
        if deleted:
            self.withdraw(obj, context)
            return
        self.serve(obj, context)
        if "deletionTimestamp" in obj["metadata"]:
            clean_up(obj, context)

    def serve(self, definition: Json, context: Context) -> None:
        """Serve all served versions of an established CRD, in place of those it had, if anything changed."""
        name, metadata = definition["metadata"]["name"], definition["metadata"]
        status = definition.get("status") or {}
        going = "deletionTimestamp" in metadata
        state = msgspec.json.encode([definition["spec"], status.get("acceptedNames"), going, metadata["uid"]])
        digest = hashlib.sha256(state).digest()
        if self._served.get(name) == digest or not is_true(status, "Established"):
            return
        context.kinds.remove(definition["spec"]["group"], definition["spec"]["names"]["plural"])
        for kind in served_kinds(definition, CustomResourceStrategy(name, going=going, emptied=_finish)):
            context.kinds.add(kind)
        self._served[name] = digest

    def withdraw(self, definition: Json, context: Context) -> None:
        """Serve a CRD no more, whatever became of its objects."""
        group, plural = definition["spec"]["group"], definition["spec"]["names"]["plural"]
        self._served.pop(definition["metadata"]["name"], None)
        context.kinds.remove(group, plural)
        _purge(f"{group}/{plural}", context)
        self._reconsider(group, context)

    def _reconsider(self, group: str, context: Context) -> None:
        """Names are free again: another CRD of the group may have waited for them."""
        for record in context.store.accepted(RESOURCE):
            waiting = msgspec.json.decode(record.value)
            status = waiting.get("status") or {}
            if waiting["spec"]["group"] != group or is_true(status, "NamesAccepted"):
                continue
            waiting["status"] = with_status(waiting, self._others(waiting), context.timestamp())
            if waiting["status"] != status:
                _store(waiting, record.revision, context)
                self.serve(waiting, context)


def serve_stored(context: Context) -> None:
    """Serve every CRD the store holds: called once at start.

    Objects of kinds that neither the store nor this program knows stay where they are: another version may
    have written them.
    """
    strategy = next(
        kind.strategy for kind in context.kinds if isinstance(kind.strategy, CustomResourceDefinitionStrategy)
    )
    assert isinstance(strategy, CustomResourceDefinitionStrategy)
    strategy.attach(context)
    known = {kind.resource for kind in context.kinds}
    for record in context.store.page(RESOURCE).records:
        definition = msgspec.json.decode(record.value)
        known.add(f"{definition['spec']['group']}/{definition['spec']['names']['plural']}")
        strategy.serve(definition, context)
        if "deletionTimestamp" in definition["metadata"]:
            clean_up(definition, context)
    counts = ((resource, context.store.count(resource)) for resource in context.store.resources())
    unknown = {resource: count for resource, count in counts if count and resource not in known}
    if unknown:
        log.warning("objects of kinds that nobody serves are kept", objects=unknown)


def clean_up(definition: Json, context: Context) -> None:
    """Delete all objects of a CRD that is going away; those with finalizers stay until these are gone."""
    resource = f"{definition['spec']['group']}/{definition['spec']['names']['plural']}"
    for record in context.store.accepted(resource):
        obj = msgspec.json.decode(record.value)
        metadata = obj["metadata"]
        if not metadata.get("finalizers"):
            metadata["resourceVersion"] = str(context.store.next_revision)
            value = msgspec.json.encode(obj)
            context.store.write(resource, record.key, value, expected=record.revision, deleted=True)
        elif "deletionTimestamp" not in metadata:
            metadata |= {"deletionTimestamp": context.timestamp(), "deletionGracePeriodSeconds": 0}
            metadata["generation"] = metadata.get("generation", 0) + 1
            metadata["resourceVersion"] = str(context.store.next_revision)
            value = msgspec.json.encode(obj)
            context.store.write(resource, record.key, value, expected=record.revision, frees=True)
    _finish(definition["metadata"]["name"], context)


def _finish(name: str, context: Context) -> None:
    """Let a CRD go whose last object is gone; until then say that it is waiting."""
    record = context.store.latest(RESOURCE, name)
    if record is None:
        return
    definition = msgspec.json.decode(record.value)
    metadata, spec = definition["metadata"], definition["spec"]
    if CLEANUP not in (metadata.get("finalizers") or ()):
        return
    if context.store.accepted(f"{spec['group']}/{spec['names']['plural']}"):
        status = terminating(definition["status"], context.timestamp(), started=True)
        if status != definition["status"]:
            _store({**definition, "status": status}, record.revision, context)
        return
    metadata["finalizers"] = [one for one in metadata["finalizers"] if one != CLEANUP]
    if metadata["finalizers"]:
        _store(definition, record.revision, context)
        return
    del metadata["finalizers"]
    _store(definition, record.revision, context, deleted=True)
    strategy = next(kind.strategy for kind in context.kinds if kind.resource == RESOURCE)
    assert isinstance(strategy, CustomResourceDefinitionStrategy)
    strategy.withdraw(definition, context)


def _store(definition: Json, expected: int, context: Context, *, deleted: bool = False) -> None:
    definition["metadata"]["resourceVersion"] = str(context.store.next_revision)
    value = msgspec.json.encode(definition)
    name = definition["metadata"]["name"]
    context.store.write(RESOURCE, name, value, expected=expected, deleted=deleted, frees=deleted)


def _purge(resource: str, context: Context) -> None:
    """Delete what is left of a kind that is no longer served."""
    for record in context.store.accepted(resource):
        context.store.write(resource, record.key, record.value, expected=record.revision, deleted=True)


def _at(obj: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        obj = obj.get(step) if isinstance(obj, dict) else None
    return obj
