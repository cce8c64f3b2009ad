"""What a pod asks of a node, in whole numbers: the one place where quantities become amounts.

CPU is counted in thousandths, everything else in whole units (bytes, devices, pods). Called by the
cluster state for every pod and pod set it learns of, and by messages that tell people what was asked.
Source of the rules: Kubernetes `component-helpers/resource` (init containers, sidecars, overhead).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from springtide.api import quantity
from springtide.api.core import Container, PodSpec

Amounts = Mapping[str, int]
"""Resource name to amount in its unit."""

CPU = "cpu"
MEMORY = "memory"
STORAGE = "ephemeral-storage"
PODS = "pods"


def amounts(resources: Mapping[str, quantity.Quantity]) -> dict[str, int]:
    """A resource list as amounts. Raises ValueError naming the resource whose quantity does not parse."""
    found: dict[str, int] = {}
    for name, value in resources.items():
        try:
            found[name] = quantity.milli(value) if name == CPU else quantity.to_int(value)
        except ValueError as error:
            raise ValueError(f"resource {name}: {error}") from None
    return found


def quantities(found: Amounts) -> dict[str, str]:
    """Amounts as a resource list of the API; resources of amount 0 are left out."""
    return {name: format_amount(name, amount) for name, amount in sorted(found.items()) if amount}


@lru_cache(maxsize=4096)
def format_amount(name: str, amount: int) -> str:
    """One amount as a canonical quantity: `1500m`, `4Gi`, `8`."""
    if name == CPU:
        return quantity.format_milli(amount)
    if name in (MEMORY, STORAGE) or name.startswith("hugepages-"):
        return quantity.format_bytes(amount)
    return str(amount)


@lru_cache(maxsize=4096)
def readable_amount(name: str, amount: int) -> str:
    """One amount for people to read: `1.5`, `4000`, `1.5Gi`; rounded to what tells it apart."""
    if name == CPU:
        return f"{amount / 1000:.3f}".rstrip("0").rstrip(".")
    if name in (MEMORY, STORAGE) or name.startswith("hugepages-"):
        return _readable_bytes(amount)
    return str(amount)


def readable_pair(name: str, left: int, right: int) -> tuple[str, str]:
    """Two amounts that are compared: rounded for reading, exact where rounding would make them look equal."""
    texts = readable_amount(name, left), readable_amount(name, right)
    if left != right and texts[0] == texts[1]:
        return format_amount(name, left), format_amount(name, right)
    return texts


def _readable_bytes(amount: int) -> str:
    """In Gi with up to two decimals; what is smaller than a tenth of that in Mi, Ki or plain."""
    for unit, size in (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
        if amount * 10 >= size:
            return f"{amount / size:.2f}".rstrip("0").rstrip(".") + unit
    return str(amount)


def pod_requests(spec: PodSpec) -> dict[str, int]:
    """What one pod of this spec takes of a node, its place in the node's pod limit included.

    The larger of what runs together (containers and sidecars) and what any init container needs while it
    runs beside the sidecars started before it; plus the overhead of the runtime class.
    """
    together = _sum(container_requests(container) for container in spec.containers)
    sidecars: dict[str, int] = {}
    starting: dict[str, int] = {}
    for container in spec.init_containers:
        asked = container_requests(container)
        if container.restart_policy == "Always":
            sidecars = _sum((sidecars, asked))
            starting = _max(starting, sidecars)
        else:
            starting = _max(starting, _sum((sidecars, asked)))
    total = _max(_sum((together, sidecars)), starting)
    return {**_sum((total, amounts(spec.overhead))), PODS: 1}


def container_requests(container: Container) -> dict[str, int]:
    """A container's requests; where only a limit is set, the limit is the request."""
    return amounts({**container.resources.limits, **container.resources.requests})


def _sum(parts: Iterable[Amounts]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for name, amount in part.items():
            total[name] = total.get(name, 0) + amount
    return total


def _max(left: Amounts, right: Amounts) -> dict[str, int]:
    return {name: max(left.get(name, 0), right.get(name, 0)) for name in {*left, *right}}
