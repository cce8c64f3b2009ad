"""Discovery: which groups, versions and resources there are, so that clients need to know none beforehand.

Plain (`/api`, `/apis`, `/apis/<group>`, `/apis/<group>/<version>`) and aggregated (`APIGroupDiscoveryList`,
which `kubectl` prefers), always from the kinds served at this moment. Called by `documents`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from springtide.server.context import Context
from springtide.server.kinds import Kinds, ServedKind
from springtide.server.request import Request, Response

Json = dict[str, Any]

_LAST = "scheduling.k8s.io"
_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
_SUBRESOURCE_VERBS = {
    "status": ("get", "patch", "update"),
    "scale": ("get", "patch", "update"),
    "binding": ("create",),
    "eviction": ("create",),
    "finalize": ("update",),
    "log": ("get",),
    "token": ("create",),
    "ephemeralcontainers": ("get", "patch", "update"),
    "resize": ("get", "patch", "update"),
    "attach": ("create", "get"),
    "exec": ("create", "get"),
    "portforward": ("create", "get"),
    "proxy": ("create", "delete", "get", "patch", "update"),
}
_SUBRESOURCE_KINDS = {
    "scale": ("autoscaling", "v1", "Scale"),
    "binding": ("", "v1", "Binding"),
    "eviction": ("policy", "v1", "Eviction"),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
    "attach": ("", "v1", "PodAttachOptions"),
    "exec": ("", "v1", "PodExecOptions"),
    "portforward": ("", "v1", "PodPortForwardOptions"),
}


def serve(context: Context, request: Request, path: str) -> Response | None:
    """The discovery document at `path`, or None if there is none."""
    kinds = context.kinds
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) == 1:
        return _aggregated(request, kinds, core=True) or _json(_core_versions())
    if parts[0] == "apis" and len(parts) == 1:
        groups = [_group(kinds, name) for name in _groups(kinds) if name]
        return _aggregated(request, kinds, core=False) or _json(
            {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        )
    if parts[0] == "apis" and len(parts) == 2 and parts[1] in _groups(kinds):
        return _json({"kind": "APIGroup", "apiVersion": "v1", **_group(kinds, parts[1])})
    api_version = "/".join(parts[1:])
    if (parts[0] == "api") == (len(parts) == 2) and parts[0] in ("api", "apis"):
        found = [kind for kind in kinds if kind.api_version == api_version]
        return _json(_resource_list(api_version, found)) if found else None
    return None


def _json(body: Json, content_type: str = "application/json") -> Response:
    return Response(200, msgspec.json.encode(body), content_type=content_type)


def _unless_known(request: Request, body: Json, content_type: str) -> Response:
    """The document, or 304 for a client that has it as it is."""
    encoded = msgspec.json.encode(body)
    etag = f'"{hashlib.sha256(encoded).hexdigest().upper()}"'
    headers = (("Etag", etag), ("Vary", "Accept"))
    if request.headers.get("if-none-match") == etag:
        return Response(304, b"", headers=headers)
    return Response(200, encoded, content_type=content_type, headers=headers)


def _core_versions() -> Json:
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def _groups(kinds: Kinds) -> list[str]:
    """Group names, built-in ones first, as `kubectl` resolves a plural without group in this order.

    Save for scheduling.k8s.io, which comes last: `kubectl get workloads` has always meant Kueue's, and
    where that group's own are not enabled, as is usual, it still does.
    """
    custom = {kind.group for kind in kinds} - {kind.group for kind in kinds if kind.builtin}
    return sorted({kind.group for kind in kinds}, key=lambda group: (group == _LAST, group in custom, group))


def _versions(kinds: Kinds, group: str) -> list[str]:
    """Most stable and newest first."""
    return sorted({kind.version for kind in kinds if kind.group == group}, key=_stability, reverse=True)


def _stability(version: str) -> tuple[int, int, int]:
    """`v1` > `v1beta2` > `v1beta1` > `v1alpha1`."""
    for rank, level in enumerate(("alpha", "beta")):
        major, found, minor = version.removeprefix("v").partition(level)
        if found:
            return rank, int(major or 0), int(minor or 0)
    text = version.removeprefix("v")
    return 2, int(text) if text.isdigit() else 0, 0


def _group(kinds: Kinds, group: str) -> Json:
    versions = [{"groupVersion": f"{group}/{one}", "version": one} for one in _versions(kinds, group)]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _resource_list(api_version: str, found: Iterable[ServedKind]) -> Json:
    resources: list[Json] = []
    for kind in sorted(found, key=lambda kind: kind.plural):
        entry: Json = {
            "name": kind.plural,
            "singularName": kind.singular,
            "namespaced": kind.namespaced,
            "kind": kind.kind,
            "verbs": list(kind.verbs),
        }
        if kind.short_names:
            entry["shortNames"] = list(kind.short_names)
        if kind.categories:
            entry["categories"] = list(kind.categories)
        resources.append(entry)
        for name in kind.all_subresources:
            group, version, answered = _answered(kind, name)
            one: Json = {
                "name": f"{kind.plural}/{name}",
                "singularName": "",
                "namespaced": kind.namespaced,
                "kind": answered,
                "verbs": list(_SUBRESOURCE_VERBS[name]),
            }
            if name in _SUBRESOURCE_KINDS:
                one |= {"group": group, "version": version}
            resources.append(one)
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": api_version,
        "resources": resources,
    }


def _answered(kind: ServedKind, subresource: str) -> tuple[str, str, str]:
    """Group, version and kind that a subresource speaks."""
    if subresource == "proxy":
        return ("", "v1", f"{kind.kind}ProxyOptions")
    return _SUBRESOURCE_KINDS.get(subresource, (kind.group, kind.version, kind.kind))


def _aggregated(request: Request, kinds: Kinds, *, core: bool) -> Response | None:
    accept = request.headers.get("accept", "").replace(" ", "")
    for version in ("v2", "v2beta1"):
        if f"v={version};" in accept and "as=APIGroupDiscoveryList" in accept:
            items = [_discovered(kinds, group) for group in _groups(kinds) if (group == "") == core]
            body = {
                "kind": "APIGroupDiscoveryList",
                "apiVersion": f"apidiscovery.k8s.io/{version}",
                "metadata": {},
                "items": items,
            }
            return _unless_known(request, body, _AGGREGATED.format(version=version))
    return None


def _discovered(kinds: Kinds, group: str) -> Json:
    versions = [
        {
            "version": version,
            "freshness": "Current",
            "resources": [
                _discovered_resource(kind)
                for kind in sorted(kinds, key=lambda kind: kind.plural)
                if kind.group == group and kind.version == version
            ],
        }
        for version in _versions(kinds, group)
    ]
    return {"metadata": {"name": group} if group else {}, "versions": versions}


def _discovered_resource(kind: ServedKind) -> Json:
    entry: Json = {
        "resource": kind.plural,
        "responseKind": _gvk((kind.group, kind.version, kind.kind)),
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    if kind.all_subresources:
        entry["subresources"] = [
            {
                "subresource": name,
                "responseKind": _gvk(_answered(kind, name)),
                "verbs": list(_SUBRESOURCE_VERBS[name]),
            }
            for name in kind.all_subresources
        ]
    return entry


def _gvk(parts: tuple[str, str, str]) -> Json:
    return {"group": parts[0], "version": parts[1], "kind": parts[2]}
