"""Admission: no namespace uses more than its ResourceQuotas allow, however many create at once.

The last plug-in of the chain in `admit_chain`. Between its look and the store's acceptance nothing else is
written, so two requests never share what is left of a quota. Messages: Kubernetes' ResourceQuota plug-in.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from springtide.server.admit import CREATE, UPDATE, Change, Plugin, refused
from springtide.server.quota_ledger import QUOTAS, Ledger, Quota
from springtide.server.quota_usage import NOTHING, Charge, Usage, charge_of, in_scope, unstated, written

if TYPE_CHECKING:
    from springtide.server.context import Context

Json = dict[str, Any]


class QuotaPlugin(Plugin):
    """Refuses what would exceed a quota; keeps the account of what is used."""

    operations = (CREATE, UPDATE)
    subresources = ("", "resize", "status")

    def __init__(self) -> None:
        self._ledger = Ledger()

    def validate(self, change: Change, context: Context) -> None:
        if not change.namespace or change.obj is None or not context.store.count(QUOTAS):
            return
        if change.subresource == "status" and change.kind.resource == "pods":
            return  # what runs may end, and what ended does not run again
        resource = change.kind.resource
        charge = charge_of(resource, change.obj)
        before = charge_of(resource, change.old) if change.old is not None else NOTHING
        for quota in self._ledger.quotas(context.store, change.namespace):
            new_pod = change.operation == CREATE and resource == "pods"
            if (
                new_pod
                and in_scope(quota.spec, charge.traits)
                and (fault := unstated(change.obj["spec"], quota.hard))
            ):
                raise refused(change, f"failed quota: {quota.name}: {fault}")
            _check(change, quota, charge, before)

    def accepted(self, resource: str, obj: Json, context: Context, *, deleted: bool) -> None:
        if resource == QUOTAS:
            self._ledger.start(context.store)
        self._ledger.accepted(context.store, resource, obj, deleted=deleted)

    def started(self, context: Context) -> None:
        if context.store.count(QUOTAS):
            self._ledger.open(context.store)

    def lost(self, context: Context) -> None:
        self._ledger.forget()


def _check(change: Change, quota: Quota, charge: Charge, before: Charge) -> None:
    """Raise Forbidden, naming what is exceeded, if the change asks for more than is left."""
    old, new = quota.counted(before), quota.counted(charge)
    more = {name: amount - old.get(name, Fraction(0)) for name, amount in new.items()}
    beyond = sorted(
        name for name, extra in more.items() if extra > 0 and quota.used[name] + extra > quota.hard[name]
    )
    if beyond:
        raise refused(
            change,
            f"exceeded quota: {quota.name}, requested: {_listed(beyond, more)}, "
            f"used: {_listed(beyond, quota.used)}, limited: {_listed(beyond, quota.hard)}",
        )


def _listed(names: list[str], usage: Usage) -> str:
    return ",".join(f"{name}={written(name, usage[name])}" for name in names)
