"""Which ConfigMaps and Secrets a pod needs, and reading them.

Called by `agent.py` before a pod is prepared or a container started. Only what the pod names is read, as a
kubelet may.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from springtide.api.core import ConfigMap, Pod, Secret
from springtide.api.meta import Object
from springtide.client import Client, NotFound
from springtide.node.environment import Sources
from springtide.node.tokens import PodTokens

T = TypeVar("T", bound=Object)


def config_map_names(pod: Pod) -> set[str]:
    """Names of all ConfigMaps in environment and volumes."""
    found = set()
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        found |= {one.config_map_ref.name for one in container.env_from if one.config_map_ref}
        sources = [one.value_from for one in container.env if one.value_from]
        found |= {one.config_map_key_ref.name for one in sources if one.config_map_key_ref}
    for volume in pod.spec.volumes:
        if volume.config_map is not None:
            found.add(volume.config_map.name)
        parts = volume.projected.sources if volume.projected else []
        found |= {part.config_map.name for part in parts if part.config_map}
    return found


def secret_names(pod: Pod) -> set[str]:
    """Names of all Secrets in environment and volumes."""
    found = set()
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        found |= {one.secret_ref.name for one in container.env_from if one.secret_ref}
        sources = [one.value_from for one in container.env if one.value_from]
        found |= {one.secret_key_ref.name for one in sources if one.secret_key_ref}
    for volume in pod.spec.volumes:
        if volume.secret is not None:
            found.add(volume.secret.secret_name)
        parts = volume.projected.sources if volume.projected else []
        found |= {part.secret.name for part in parts if part.secret}
    return found


async def read_sources(
    client: Client,
    pod: Pod,
    tokens: PodTokens,
    *,
    allocatable: Mapping[str, str],
    pod_ip: str,
    host_ip: str,
    services: Mapping[str, str],
) -> Sources:
    """Everything the pod's values come from, as it is now."""
    namespace = pod.metadata.namespace
    own_tokens, fault = await tokens.of(pod)
    return Sources(
        config_maps=await _read(client, ConfigMap, config_map_names(pod), namespace),
        secrets=await _read(client, Secret, secret_names(pod), namespace),
        allocatable=allocatable,
        pod_ip=pod_ip,
        host_ip=host_ip,
        tokens=own_tokens,
        token_fault=fault,
        services=services,
    )


async def _read(client: Client, kind: type[T], names: Iterable[str], namespace: str) -> dict[str, T]:
    found = {}
    for name in sorted(names):
        try:
            found[name] = await client.get(kind, name, namespace)
        except NotFound:
            continue
    return found
