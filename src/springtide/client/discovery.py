"""What kinds a server serves, from its aggregated discovery documents or, on older servers, the plain ones.

`discover` feeds the CLI and dynamic access; `find` resolves what a person types (`po`, `pods`, `Pod`,
`trainjobs.trainer.kubeflow.org`). Source of the formats: apidiscovery.k8s.io/v2 and metav1.APIResourceList.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence

import msgspec

from springtide.api.resources import ALL_VERBS, Resource
from springtide.client import prepare
from springtide.client.channel import Channel
from springtide.client.errors import NotFound

PODS = Resource(
    group="", version="v1", kind="Pod", plural="pods", short_names=("po",), status=True, builtin=True
)

AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,"
    "application/json"
)


class _Wire(msgspec.Struct, rename="camel"):
    """Fields beyond those declared are ignored."""


class _Kind(_Wire):
    kind: str = ""


class _Subresource(_Wire):
    subresource: str = ""


class _AggregatedResource(_Wire):
    resource: str = ""
    response_kind: _Kind | None = None
    scope: str = "Namespaced"
    singular_resource: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[_Subresource, ...] = ()


class _AggregatedVersion(_Wire):
    version: str
    resources: tuple[_AggregatedResource, ...] = ()


class _Name(_Wire):
    name: str = ""


class _AggregatedGroup(_Wire):
    metadata: _Name = msgspec.field(default_factory=_Name)
    versions: tuple[_AggregatedVersion, ...] = ()


class _GroupVersion(_Wire):
    group_version: str = ""
    version: str = ""


class _Group(_Wire):
    name: str = ""
    versions: tuple[_GroupVersion, ...] = ()
    preferred_version: _GroupVersion | None = None


class _Document(_Wire):
    """Either an APIGroupDiscoveryList (`items`), an APIGroupList (`groups`) or APIVersions (`versions`)."""

    kind: str = ""
    items: tuple[_AggregatedGroup, ...] = ()
    groups: tuple[_Group, ...] = ()
    versions: tuple[str, ...] = ()


class _PlainResource(_Wire):
    name: str
    kind: str = ""
    namespaced: bool = False
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS


class _PlainList(_Wire):
    resources: tuple[_PlainResource, ...] = ()


_document: Callable[[bytes], _Document] = msgspec.json.Decoder(_Document).decode
_plain_list: Callable[[bytes], _PlainList] = msgspec.json.Decoder(_PlainList).decode


async def discover(channel: Channel) -> list[Resource]:
    """Every kind served: core first, then groups in the server's order, preferred versions first."""
    found: list[Resource] = []
    for root in ("/api", "/apis"):
        request = prepare.request("GET", root, accept=AGGREGATED)
        document = channel.read(request, await channel.call(request), _document)
        if document.kind == "APIGroupDiscoveryList":
            found += _aggregated(document)
        else:
            found += await _plain(channel, document)
    return found


def find(resources: Sequence[Resource], name: str) -> Resource:
    """The kind a person means by plural, singular, short name or kind, each optionally with `.group` or
    `.version.group`. The first match in server order wins. Raises NotFound with the nearest names."""
    wanted = name.lower()
    for resource in resources:
        if wanted in _names(resource):
            return resource
    head, _, qualifier = wanted.partition(".")
    for resource in resources:
        if head in _names(resource) and qualifier in _qualifiers(resource):
            return resource
    known = {alias for resource in resources for alias in (resource.plural, resource.kind.lower())}
    near = difflib.get_close_matches(head, known, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "list the kinds with `kubectl api-resources`"
    raise NotFound(f"the server has no kind {name!r}; {hint}")


def find_kind(resources: Iterable[Resource], api_version: str, kind: str) -> Resource:
    """The resource of an object's apiVersion and kind. Raises NotFound naming what to install or correct."""
    others = []
    for resource in resources:
        if resource.kind == kind:
            if resource.api_version == api_version:
                return resource
            others.append(resource.api_version)
    hint = f"it serves {kind} in {', '.join(others)}" if others else "is its CRD installed?"
    raise NotFound(f"the server has no kind {kind!r} in apiVersion {api_version!r}; {hint}")


def _names(resource: Resource) -> set[str]:
    return {resource.plural, resource.singular, *resource.short_names}


def _qualifiers(resource: Resource) -> set[str]:
    group = resource.group
    return {group, f"{resource.version}.{group}" if group else resource.version}


def _aggregated(document: _Document) -> list[Resource]:
    return [
        Resource(
            group=group.metadata.name,
            version=version.version,
            kind=item.response_kind.kind if item.response_kind else "",
            plural=item.resource,
            namespaced=item.scope == "Namespaced",
            short_names=item.short_names,
            categories=item.categories,
            status=any(sub.subresource == "status" for sub in item.subresources),
            verbs=item.verbs,
        )
        for group in document.items
        for version in group.versions
        for item in version.resources
    ]


async def _plain(channel: Channel, document: _Document) -> list[Resource]:
    found = [resource for version in document.versions for resource in await _version(channel, "", version)]
    for group in document.groups:
        preferred = group.preferred_version.version if group.preferred_version else ""
        for version in sorted((v.version for v in group.versions), key=lambda v: v != preferred):
            found += await _version(channel, group.name, version)
    return found


async def _version(channel: Channel, group: str, version: str) -> list[Resource]:
    path = f"/apis/{group}/{version}" if group else f"/api/{version}"
    request = prepare.request("GET", path)
    listed = channel.read(request, await channel.call(request), _plain_list).resources
    with_status = {item.name.partition("/")[0] for item in listed if item.name.endswith("/status")}
    return [
        Resource(
            group=group,
            version=version,
            kind=item.kind,
            plural=item.name,
            namespaced=item.namespaced,
            short_names=item.short_names,
            categories=item.categories,
            status=item.name in with_status,
            verbs=item.verbs,
        )
        for item in listed
        if "/" not in item.name
    ]
