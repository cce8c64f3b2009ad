"""The objects a new platform starts with: namespaces, CRDs, runtimes, the default queue.

Written through the ordinary client at every start. CRDs follow the program's version; everything else is
created only where it is missing, so that an administrator's edits stay.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from urllib.parse import urlsplit

from springtide.api.apiextensions import CustomResourceDefinition
from springtide.api.core import Namespace, Service
from springtide.api.crds import bundled
from springtide.api.discovery import EndpointSlice
from springtide.api.kueue import ClusterQueue, ClusterQueueSpec, LocalQueue, LocalQueueSpec
from springtide.api.meta import LabelSelector, Object, ObjectMeta
from springtide.api.scheduling import PriorityClass
from springtide.api.services import ServicePort, ServiceSpec
from springtide.api.struct import encode
from springtide.client import AlreadyExists, Client, NotFound
from springtide.training import builtin_runtimes

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
DEFAULT_QUEUE = "default"
SERVER_SERVICE = "kubernetes"
"""The Service of the API server itself, in namespace `default`, as in every cluster."""


async def bootstrap(client: Client) -> None:
    """Bring a new or older data folder to what this version expects. Running it again changes nothing."""
    await _create_missing(client, (_namespace(name) for name in NAMESPACES))
    await asyncio.gather(*(_install(client, crd) for crd in bundled()))
    await _create_missing(client, (*_priority_classes(), *_queues(), *builtin_runtimes()))


async def publish_server(client: Client, url: str) -> None:
    """Let pods find the API server as `kubernetes.default.svc`: a Service, and where it listens now."""
    where = urlsplit(url)
    host = "127.0.0.1" if where.hostname in (None, "0.0.0.0", "::") else where.hostname
    spec = ServiceSpec(ports=[ServicePort(port=443, name="https", target_port=where.port or 443)])
    metadata = ObjectMeta(name=SERVER_SERVICE, namespace="default")
    await _create_missing(client, (Service(metadata=metadata, spec=spec),))
    await client.apply(
        EndpointSlice,
        SERVER_SERVICE,
        "default",
        {
            "metadata": {"labels": {"kubernetes.io/service-name": SERVER_SERVICE}},
            "addressType": "IPv6" if ":" in host else "IPv4",
            "endpoints": [{"addresses": [host], "conditions": {"ready": True}}],
            "ports": [{"name": "https", "port": where.port, "protocol": "TCP"}],
        },
    )


async def _create_missing(client: Client, objects: Iterable[Object]) -> None:
    async def create(obj: Object) -> None:
        try:  # asked first: a look costs less than the checks of an object that is there already
            await client.get(type(obj), obj.metadata.name, obj.metadata.namespace)
        except NotFound:
            with contextlib.suppress(AlreadyExists):
                await client.create(obj)

    await asyncio.gather(*(create(obj) for obj in objects))


async def _install(client: Client, crd: CustomResourceDefinition) -> None:
    fields = encode(crd)
    fields.pop("status", None)
    await client.apply(CustomResourceDefinition, crd.metadata.name, "", fields)


def _namespace(name: str) -> Namespace:
    return Namespace(metadata=ObjectMeta(name=name))


def _priority_classes() -> tuple[PriorityClass, ...]:
    """The two of every cluster; values from Kubernetes' `scheduling` package."""
    return (
        PriorityClass(metadata=ObjectMeta(name="system-cluster-critical"), value=2_000_000_000),
        PriorityClass(metadata=ObjectMeta(name="system-node-critical"), value=2_000_001_000),
    )


def _queues() -> tuple[Object, ...]:
    return (
        ClusterQueue(
            metadata=ObjectMeta(name=DEFAULT_QUEUE), spec=ClusterQueueSpec(namespace_selector=LabelSelector())
        ),
        LocalQueue(
            metadata=ObjectMeta(name=DEFAULT_QUEUE, namespace="default"),
            spec=LocalQueueSpec(cluster_queue=DEFAULT_QUEUE),
        ),
    )
