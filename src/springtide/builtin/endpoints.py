"""Keeps EndpointSlices and Endpoints of Services in step with their pods.

A controller whose keys are Services. `register_endpoints` is called by `builtin.controller`. Endpoints are no
longer used by anything here; they are written because older clients read nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from springtide.api.core import Endpoints, Pod, Service
from springtide.api.discovery import EndpointSlice
from springtide.builtin.endpoint_plan import SERVICE_NAME, has_endpoints, plan
from springtide.runtime import Runtime

NAME = "builtin.endpoints"
BATCH_SECONDS = 0.5
"""Changes of one Service's pods within this time become one write: pods of a job start together."""
_BY_NAMESPACE = "builtin.endpoints.namespace"
_BY_LABEL = "builtin.endpoints.label"
_BY_SERVICE = "builtin.endpoints.service"
_MOST_LABELS = 8
"""Names of labels by which pods are found at once; Services that select by others look at all pods."""


def register_endpoints(runtime: Runtime, manager: str) -> None:
    """Add the controller to a runtime."""
    endpoints = _Endpoints(runtime, manager)
    runtime.controller(
        NAME,
        endpoints.reconcile,
        [
            (endpoints.services, lambda service: (service.key,)),
            (endpoints.pods, endpoints.keys_of_pod),
            (endpoints.slices, _key_of_slice),
            (endpoints.older, lambda older: (older.key,)),
        ],
    )


def _namespace(pod: Pod) -> list[str]:
    return [pod.metadata.namespace]


def _label_of(service: Service) -> list[str]:
    """One label that all its pods have: every gang has a Service, and a pod need not look at all of them."""
    if not has_endpoints(service):
        return []
    return [_place(service.metadata.namespace, *min(service.spec.selector.items()))]


def _place(namespace: str, label: str, value: str) -> str:
    return f"{namespace}/{label}={value}"


def _key_of_slice(piece: EndpointSlice) -> list[str]:
    name = piece.metadata.labels.get(SERVICE_NAME)
    return [f"{piece.metadata.namespace}/{name}"] if name else []


class _Endpoints:
    """Reconciles one Service at a time."""

    def __init__(self, runtime: Runtime, manager: str) -> None:
        self._runtime = runtime
        self._manager = manager
        self.services = runtime.informer(Service, indexes={_BY_LABEL: _label_of})
        self.pods = runtime.informer(Pod, indexes={_BY_NAMESPACE: _namespace})
        self.slices = runtime.informer(EndpointSlice, indexes={_BY_SERVICE: _key_of_slice})
        self.older = runtime.informer(Endpoints)
        self._labels: set[str] = set()
        """By which pods are indexed: names that came up in selectors."""
        self._next: dict[str, float] = {}
        """When a Service may be written again."""

    def keys_of_pod(self, pod: Pod) -> Iterable[str]:
        """Services of its namespace that select it, or did when the pod had other labels."""
        namespace = pod.metadata.namespace
        for label, value in pod.metadata.labels.items():
            for service in self.services.cache.by_index(_BY_LABEL, _place(namespace, label, value)):
                if _selects(service, pod):
                    yield service.key

    async def reconcile(self, key: str) -> float | None:
        """Write what changed, or say when it may be looked at."""
        service = self.services.cache.get(key)
        if service is None or service.metadata.deletion_timestamp is not None:
            self._next.pop(key, None)
            return None  # the garbage collector takes what it owned
        now = self._runtime.clock.monotonic()
        if now < self._next.get(key, now):
            return self._next[key] - now
        pods = [pod for pod in self._candidates(service) if _selects(service, pod)]
        decided = plan(service, pods, self.slices.cache.by_index(_BY_SERVICE, key), self.older.cache.get(key))
        if not decided.commands:
            return None
        self._next[key] = now + BATCH_SECONDS
        await self._runtime.apply(self._manager, decided.commands)
        return None

    def _candidates(self, service: Service) -> list[Pod]:
        """The pods among which are those of the Service: they have one of its labels, if indexed by that."""
        pods, namespace = self.pods.cache, service.metadata.namespace
        if not has_endpoints(service):
            return []
        name, value = min(service.spec.selector.items())
        if name not in self._labels:
            if len(self._labels) == _MOST_LABELS:
                return pods.by_index(_BY_NAMESPACE, namespace)
            self._labels.add(name)
            pods.add_index(f"{_BY_LABEL}.{name}", partial(_label_in_pod, name))
        return pods.by_index(f"{_BY_LABEL}.{name}", _place(namespace, name, value))


def _label_in_pod(name: str, pod: Pod) -> list[str]:
    value = pod.metadata.labels.get(name)
    return [] if value is None else [_place(pod.metadata.namespace, name, value)]


def _selects(service: Service, pod: Pod) -> bool:
    labels = pod.metadata.labels
    return all(labels.get(name) == value for name, value in service.spec.selector.items())
