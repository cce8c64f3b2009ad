"""A cluster in a file: as `simulate capacity --save` writes it, or as `kubectl get -A -o json` does of any.

What we wrote says itself what kind of cluster it was. Every other file is of a real cluster, as it was at the
newest moment it tells of: claims wait there for their volumes, and pods that name no scheduler have another
one. Called by `simulate_capacity`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from springtide.api.resources import resource_of
from springtide.api.struct import decode, encode
from springtide.cli.errors import CliError
from springtide.cli.manifests import Manifest, parse

if TYPE_CHECKING:
    from springtide.api.meta import Object

PROVISIONED = "springtide.dev/provisioned-volumes"
"""Annotation of a list that was written here: whether claims waited for their volumes in that cluster."""
_MOMENTS = ("creationTimestamp", "lastTransitionTime", "lastHeartbeatTime", "startedAt", "finishedAt", "time")
"""Fields of metadata and status that tell of something that has happened."""


@dataclass(frozen=True)
class Saved:
    """What a file tells."""

    objects: list[Object]
    now: datetime
    provisioned: bool
    """Whether somebody binds claims to volumes, and other schedulers place pods that name none."""


def save(saved: Saved, path: Path) -> None:
    """Write a cluster, for `load`."""
    items = [{"apiVersion": one.api_version, "kind": one.kind, **encode(one)} for one in saved.objects]
    notes = {PROVISIONED: "true" if saved.provisioned else "false"}
    metadata = {"creationTimestamp": saved.now.isoformat(), "annotations": notes}
    found = {"apiVersion": "v1", "kind": "List", "metadata": metadata, "items": items}
    path.write_text(json.dumps(found, indent=1) + "\n")


def load(path: Path) -> Saved:
    """The cluster of a file. Raises CliError for a file that holds none."""
    if not path.exists():
        hint = "`springtide simulate capacity --save FILE` writes one, and `kubectl get -A -o json` does"
        raise CliError(f"{path}: no such file", hint)
    manifests, own = _read(path)
    objects, passed_over = _decoded(manifests)
    if not objects:
        seen = ", ".join(sorted(passed_over)) or "nothing"
        raise CliError(f"{path}: the scheduler looks at nothing in it; it holds {seen}", "it needs the nodes")
    if passed_over:
        what = ", ".join(f"{count} {kind}" for kind, count in sorted(passed_over.items()))
        click.echo(f"passed over, since the scheduler does not look at them: {what}", err=True)
    if own is not None:
        return Saved(objects, own[0], own[1])
    moments = [moment for one in manifests for moment in _moments(one.raw)]
    return Saved(objects, max(moments, default=datetime.now(UTC)), True)


def _read(path: Path) -> tuple[list[Manifest], tuple[datetime, bool] | None]:
    """Its objects; and when it was written and of which kind of cluster, if that was done here."""
    text = path.read_text(encoding="utf-8")
    try:
        whole = json.loads(text)  # a large cluster takes minutes as YAML
    except ValueError:
        return parse(text, str(path)), None
    items = whole.get("items") if isinstance(whole, dict) else None
    if not isinstance(items, list):
        return parse(text, str(path)), None
    wrong = next((at for at, one in enumerate(items) if not _is_object(one)), None)
    if wrong is not None:
        raise CliError(f"{path}: items[{wrong}] is no object: it has no apiVersion, kind or metadata")
    return [Manifest(one, f"{path}: items[{at}]") for at, one in enumerate(items)], _own(
        whole.get("metadata")
    )


def _is_object(one: object) -> bool:
    return (
        isinstance(one, dict)
        and isinstance(one.get("metadata"), dict)
        and bool(one.get("apiVersion"))
        and bool(one.get("kind"))
    )


def _own(metadata: object) -> tuple[datetime, bool] | None:
    """What a list that was written here says of its cluster; None for any other."""
    notes = metadata.get("annotations") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(notes, dict) or PROVISIONED not in notes:
        return None
    moment = _moment(metadata.get("creationTimestamp"))
    return (moment, notes[PROVISIONED] == "true") if moment is not None else None


def _decoded(manifests: Sequence[Manifest]) -> tuple[list[Object], Counter[str]]:
    """What the scheduler looks at, and how many of which kinds it does not."""
    from springtide.scheduling.feeds import feeds
    from springtide.scheduling.state import ClusterState

    kinds: dict[tuple[str, str], type[Object]] = {}
    for known in feeds(ClusterState()):
        resource = resource_of(known)
        kinds[resource.group, resource.kind] = known
    found: list[Object] = []
    passed_over: Counter[str] = Counter()
    for manifest in manifests:
        kind = kinds.get((_group(manifest.api_version), manifest.kind))
        if kind is None:
            passed_over[manifest.kind] += 1
            continue
        resource = resource_of(kind)
        if manifest.api_version != resource.api_version:
            raise CliError(
                f"{manifest.place}: {manifest.kind} is of {manifest.api_version}, and only "
                f"{resource.api_version} is read here",
                f"kubectl writes that version of {resource.plural}.{resource.version}.{resource.group}",
            )
        try:
            found.append(decode(kind, manifest.raw))
        except ValueError as error:
            raise CliError(f"{manifest.place}: {error}") from None
    return found, passed_over


def _group(api_version: str) -> str:
    return api_version.rpartition("/")[0]


def _moments(raw: dict[str, Any]) -> Iterator[datetime]:
    for part in (raw.get("metadata"), raw.get("status")):
        yield from _moments_in(part)


def _moments_in(value: object) -> Iterator[datetime]:
    if isinstance(value, dict):
        for key, inner in value.items():
            moment = _moment(inner) if key in _MOMENTS else None
            if moment is not None:
                yield moment
            else:
                yield from _moments_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _moments_in(inner)


def _moment(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None
