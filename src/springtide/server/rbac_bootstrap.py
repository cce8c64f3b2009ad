"""The roles and bindings that every cluster has, under the names and with the rules of Kubernetes.

Made when the server starts, and brought back to what they should hold: a rule or subject that is missing is
added, what an administrator added stays, and the annotation `rbac.authorization.kubernetes.io/autoupdate:
"false"` on an object leaves it alone. Called by `Server.start`. The table is `rbac_defaults`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from springtide.server.context import Context
from springtide.server.kinds import ServedKind
from springtide.server.persist import key_of, persist
from springtide.server.rbac import GROUP
from springtide.server.rbac_defaults import default_objects
from springtide.server.rbac_rules import compile_rules, uncovered

Json = dict[str, Any]

AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"


async def reconcile(context: Context) -> None:
    """Make what is missing and complete what lacks something, all in one commit."""
    wanted = []
    for plural, obj in default_objects():
        kind = context.kinds.find(GROUP, "v1", plural)
        if kind is not None:
            wanted.append(_bring_about(context, kind, obj))
    await asyncio.gather(*wanted)


async def _bring_about(context: Context, kind: ServedKind, wanted: Json) -> None:
    meta = wanted["metadata"]
    record = context.store.latest(kind.resource, key_of(kind, meta.get("namespace", ""), meta["name"]))
    if record is None:
        await persist(context, kind, _new(wanted, context), expected=0)
        return
    found: Json = msgspec.json.decode(record.value)
    completed = completed_with(found, wanted)
    if completed != found:
        await persist(context, kind, completed, expected=record.revision)


def completed_with(found: Json, wanted: Json) -> Json:
    """What is there, with everything it lacks of what it should hold."""
    meta = found["metadata"]
    annotations = meta.get("annotations") or {}
    if annotations.get(AUTOUPDATE) == "false" or found.get("roleRef") != wanted.get("roleRef"):
        return found
    result: Json = {**found, "metadata": {**meta}}
    for part in ("labels", "annotations"):
        lacking = {**(wanted["metadata"].get(part) or {}), **(meta.get(part) or {})}
        if lacking != (meta.get(part) or {}):
            result["metadata"][part] = lacking
    if "roleRef" in wanted:
        there = found.get("subjects") or []
        missing = [one for one in wanted.get("subjects") or () if one not in there]
        if missing:
            result["subjects"] = [*there, *missing]
    elif "aggregationRule" in wanted:
        result.setdefault("aggregationRule", wanted["aggregationRule"])
    else:
        there = found.get("rules") or []
        if there != wanted["rules"]:  # which they nearly always are, and comparing them costs a start little
            owned = compile_rules(there)
            missing = [one for one in wanted["rules"] if uncovered(owned, compile_rules([one]))]
            if missing:
                result["rules"] = [*there, *missing]
    return result


def _new(wanted: Json, context: Context) -> Json:
    identity = {"uid": context.new_uid(), "creationTimestamp": context.timestamp()}
    return {**wanted, "metadata": {**wanted["metadata"], **identity}}
