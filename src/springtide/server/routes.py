"""From a URL path to what it addresses.

    /api/v1/namespaces/{ns}/pods/{name}/{subresource}
    /apis/{group}/{version}/{resource}/{name}/{subresource}
    /apis/{group}/{version}/namespaces/{ns}/{resource}/…

Everything that is no resource path (discovery, health, OpenAPI) stays a plain path. Called by
`Server.handle`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})


@dataclass(frozen=True, slots=True)
class Route:
    """A resource path, taken apart. Empty strings where the path has no such part."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    tail: str = ""
    """What follows `/proxy/`, a path of whatever is proxied."""


def without_watch(path: str) -> tuple[str, str]:
    """The path that a deprecated one, `/api/v1/watch/…`, stands for, and the name at its end if it has one.

    Such a path watches what the path without `watch` lists; one that ends in a name watches that object.
    """
    parts = path.strip("/").split("/")
    root = 2 if parts[0] == "api" else 3
    rest = parts[root + 1 :]
    if parts[0] not in ("api", "apis") or parts[root : root + 1] != ["watch"] or not rest:
        return path, ""
    name = rest.pop() if len(rest) in (2, 4) else ""
    return "/" + "/".join(parts[:root] + rest), name


@lru_cache(maxsize=4096)
def parse(path: str) -> Route | None:
    """The resource route of a path, or None if the path addresses something else."""
    if "//" in path:
        return None
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) >= 3:
        return _resource("", parts[1], parts[2:], path.endswith("/"))
    if parts[0] == "apis" and len(parts) >= 4:
        return _resource(parts[1], parts[2], parts[3:])
    return None


def _resource(group: str, version: str, rest: list[str], ends_open: bool = False) -> Route | None:
    if (
        rest[0] == "namespaces"
        and len(rest) >= 3
        and not (group == "" and len(rest) == 3 and rest[2] in _NAMESPACE_SUBRESOURCES)
    ):
        namespace, rest = rest[1], rest[2:]
    else:
        namespace = None
    tail = ""
    if len(rest) > 3 and rest[2] == "proxy" and not group:
        tail = "/".join(rest[3:]) + ("/" if ends_open else "")
        rest = rest[:3]
    if len(rest) > 3 or not all((version, *rest)) or (namespace is not None and not namespace):
        return None
    plural, name, subresource = (*rest, "", "")[:3]
    return Route(group, version, plural, namespace or "", name, subresource, tail)
