"""What every namespace with a ResourceQuota uses, exact after each accepted write.

Kubernetes lets admission reserve usage in the quota's status and a controller put it right later. Here the
server itself keeps account: it hears of every write in the step in which the store takes it, so the sum is
never behind, and it writes `status.used` right after the write that changed it, into the same commit.
Used by the plug-in `admit_quota`.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import msgspec

from springtide.api.quantity import parse
from springtide.server.quota_usage import NOTHING, Charge, Usage, charge_of, covers, written
from springtide.store import Store

Json = dict[str, Any]

QUOTAS = "resourcequotas"


class Quota:
    """One ResourceQuota, and the sum of what it counts."""

    def __init__(self, name: str, spec: Json) -> None:
        self.name = name
        self.spec = spec
        self.hard = {resource: parse(amount) for resource, amount in (spec.get("hard") or {}).items()}
        self.used: dict[str, Fraction] = dict.fromkeys(self.hard, Fraction(0))

    def counted(self, charge: Charge) -> Usage:
        """What of a charge this quota counts; empty if it is none of its business."""
        if not covers(self.spec, charge):
            return {}
        return {name: amount for name, amount in charge.usage.items() if name in self.hard and amount}

    def book(self, usage: Usage, sign: int) -> None:
        for name, amount in usage.items():
            self.used[name] += sign * amount

    def status(self) -> Json:
        """Its `status`."""
        used = {name: written(name, amount) for name, amount in self.used.items()}
        return {"hard": self.spec.get("hard") or {}, "used": used}


class _Space:
    """One namespace: its quotas, and the charge of every object that any of them counts."""

    def __init__(self, quotas: list[Quota]) -> None:
        self.quotas = {quota.name: quota for quota in quotas}
        self.charges: dict[tuple[str, str], Charge] = {}

    def book(self, key: tuple[str, str], charge: Charge) -> list[Quota]:
        """Set the charge of an object; returns the quotas whose sums changed."""
        before = self.charges.pop(key, NOTHING)
        changed: list[Quota] = []
        counted = False
        for quota in self.quotas.values():
            old, new = quota.counted(before), quota.counted(charge)
            counted = counted or bool(new)
            if old != new:
                quota.book(old, -1)
                quota.book(new, 1)
                changed.append(quota)
        if counted:
            self.charges[key] = charge
        return changed


class Ledger:
    """The accounts of all namespaces that have quotas; made when first needed, from what the store holds."""

    def __init__(self) -> None:
        self._spaces: dict[str, _Space] | None = None

    def quotas(self, store: Store, namespace: str) -> Iterator[Quota]:
        """The quotas of a namespace, by name."""
        space = self._opened(store).get(namespace)
        if space is not None:
            yield from (space.quotas[name] for name in sorted(space.quotas))

    def accepted(self, store: Store, resource: str, obj: Json, *, deleted: bool) -> None:
        """The store took a write: account for it, and write the status of the quotas it changed."""
        if self._spaces is None:
            return
        meta = obj["metadata"]
        namespace, name = meta.get("namespace", ""), meta["name"]
        if resource == QUOTAS and self._is_stale(namespace, name, obj, deleted=deleted):
            self._open(store, namespace)
        space = self._spaces.get(namespace)
        if space is None:
            return
        charge = NOTHING if deleted else charge_of(resource, obj)
        changed = space.book((resource, name), charge)
        if resource == QUOTAS and not deleted:
            own = space.quotas[name]
            changed = [*(one for one in changed if one is not own), own]
        for quota in changed:
            _publish(store, namespace, quota)

    def start(self, store: Store) -> None:
        """There are quotas, or are about to be: from now on every write counts."""
        self._opened(store)

    def forget(self) -> None:
        """Accepted writes were lost: look into the store again when next asked."""
        self._spaces = None

    def open(self, store: Store) -> None:
        """Take stock, and put right what a crash between two writes may have left."""
        for namespace, space in self._opened(store).items():
            for quota in space.quotas.values():
                _publish(store, namespace, quota)

    def _opened(self, store: Store) -> dict[str, _Space]:
        if self._spaces is None:
            self._spaces = {}
            for namespace in {record.key.partition("/")[0] for record in store.accepted(QUOTAS)}:
                self._open(store, namespace)
        return self._spaces

    def _is_stale(self, namespace: str, name: str, obj: Json, *, deleted: bool) -> bool:
        space = (self._spaces or {}).get(namespace)
        known = space.quotas.get(name) if space is not None else None
        return deleted or known is None or known.spec != (obj.get("spec") or {})

    def _open(self, store: Store, namespace: str) -> None:
        """Count a namespace anew: its quotas came, went or changed."""
        prefix, spaces = f"{namespace}/", self._spaces if self._spaces is not None else {}
        quotas = [_decoded(record.value) for record in store.accepted(QUOTAS, prefix)]
        if not quotas:
            spaces.pop(namespace, None)
            return
        space = spaces[namespace] = _Space(
            [Quota(one["metadata"]["name"], one.get("spec") or {}) for one in quotas]
        )
        for resource in store.resources():
            for record in store.accepted(resource, prefix):
                obj = _decoded(record.value)
                if obj["metadata"].get("namespace") == namespace:
                    space.book((resource, obj["metadata"]["name"]), charge_of(resource, obj))


def _publish(store: Store, namespace: str, quota: Quota) -> None:
    """Write the status of a quota, unless it says so already. Not awaited: it commits with its cause."""
    key = f"{namespace}/{quota.name}"
    record = store.latest(QUOTAS, key)
    if record is None:
        return
    obj, status = _decoded(record.value), quota.status()
    if obj.get("status") == status:
        return
    obj["status"] = status
    obj["metadata"]["resourceVersion"] = str(store.next_revision)
    store.write(QUOTAS, key, msgspec.json.encode(obj), expected=record.revision)


def _decoded(value: bytes) -> Json:
    obj: Json = msgspec.json.decode(value)
    return obj
