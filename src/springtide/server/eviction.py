"""POST pods/{name}/eviction: asks a pod to go, if its PodDisruptionBudget can spare it; for `kubectl drain`.

The disruption controller (builtin room) says in the budget's status how many pods may go; each grant takes
one off in the step in which it is given, so evictions that come together never share one. Behaviour and
messages: kube-apiserver's eviction subresource.
"""

from __future__ import annotations

from typing import Any

import msgspec

from springtide.api.meta import LabelSelector
from springtide.api.policy import DISRUPTION_ALLOWED
from springtide.api.selectors import from_label_selector
from springtide.server import bodies
from springtide.server.context import Context
from springtide.server.delete import DeleteOptions, Preconditions, check_preconditions, checked, delete_record
from springtide.server.kinds import ServedKind
from springtide.server.persist import decode, latest, persist
from springtide.server.request import Request, Response
from springtide.server.routes import Route
from springtide.server.schema_rules import FieldError
from springtide.server.status import BadRequest, Forbidden, InternalError, TooManyRequests, success
from springtide.store import Record

Json = dict[str, Any]

_BUDGETS = "policy/poddisruptionbudgets"
_CANNOT = "Cannot evict pod as it would violate the pod's disruption budget."
_MOST_DISRUPTED = 2000
_AGAIN_SECONDS = 10


class _Metadata(msgspec.Struct, frozen=True):
    name: str = ""


class _Eviction(msgspec.Struct, frozen=True, rename="camel"):
    """What of a policy/v1 Eviction has an effect."""

    metadata: _Metadata = _Metadata()
    delete_options: DeleteOptions | None = None


async def evict(context: Context, request: Request, route: Route, kind: ServedKind) -> Response:
    """Answers 201; 429 while the budget allows nothing."""
    eviction = bodies.typed(bodies.parse_object(request), _Eviction)
    if eviction.metadata.name not in ("", route.name):
        raise BadRequest("name in URL does not match name in Eviction object")
    options = checked(eviction.delete_options or DeleteOptions(), request)
    record = latest(context, kind, route.namespace, route.name)
    pod = decode(record, kind)
    check_preconditions(pod, options, kind)
    if not _needs_no_leave(pod):
        await _take_leave(context, pod, dry_run=bool(options.dry_run))
        if not options.dry_run:
            await _mark(context, kind, route)
        wanted = Preconditions(uid=pod["metadata"]["uid"])
        options = msgspec.structs.replace(options, preconditions=wanted)
    record = latest(context, kind, route.namespace, route.name)
    await delete_record(context, kind, record, options, request.user)
    return Response(201, success())


def _needs_no_leave(pod: Json) -> bool:
    """What does not run yet, has run or goes anyway counts in no budget."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or bool(pod["metadata"].get("deletionTimestamp"))


async def _take_leave(context: Context, pod: Json, *, dry_run: bool) -> None:
    """Find the pod's budget and take one disruption off it. Raises TooManyRequests if it has none."""
    found = _budgets_of(context, pod)
    if not found:
        return
    if len(found) > 1:
        raise InternalError(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    record, budget = found[0]
    if not _is_ready(pod) and _lets_unready_go(budget):
        return
    status = _granted(budget, pod["metadata"]["name"], context.timestamp())
    kind = context.kinds.find("policy", "v1", "poddisruptionbudgets")
    if not dry_run and kind is not None:
        await persist(context, kind, {**budget, "status": status}, expected=record.revision)


def _budgets_of(context: Context, pod: Json) -> list[tuple[Record, Json]]:
    if not context.store.count(_BUDGETS):
        return []
    labels, found = pod["metadata"].get("labels") or {}, []
    for known in context.store.page(_BUDGETS, f"{pod['metadata']['namespace']}/").records:
        record = context.store.latest(_BUDGETS, known.key)
        if record is None:
            continue
        budget: Json = msgspec.json.decode(record.value)
        selector = (budget.get("spec") or {}).get("selector")
        if selector is not None and _selects(selector, labels):
            found.append((record, budget))
    return found


def _selects(selector: Json, labels: dict[str, str]) -> bool:
    parsed = from_label_selector(msgspec.convert(selector, LabelSelector))
    return parsed is not None and parsed.matches(labels)


def _is_ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def _lets_unready_go(budget: Json) -> bool:
    """A pod that does not work may always go if the policy says so, else while enough others work."""
    status = budget.get("status") or {}
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    desired = status.get("desiredHealthy") or 0
    return 0 < desired <= (status.get("currentHealthy") or 0)


def _granted(budget: Json, pod: str, now: str) -> Json:
    """The budget's status after one more pod was let go. Raises if it allows none."""
    meta, status = budget["metadata"], budget.get("status") or {}
    name, allowed = meta["name"], status.get("disruptionsAllowed") or 0
    disrupted = status.get("disruptedPods") or {}
    if (status.get("observedGeneration") or 0) < (meta.get("generation") or 0):
        why = f"The disruption budget {name} is still being processed by the server."
        raise _refused(why, retry_after_seconds=_AGAIN_SECONDS)
    if allowed < 0 or len(disrupted) > _MOST_DISRUPTED:
        why = (
            "pdb disruptions allowed is negative"
            if allowed < 0
            else "too many evictions are not confirmed yet"
        )
        raise Forbidden(
            f'poddisruptionbudget.policy "{name}" is forbidden: {why}',
            name=name,
            group="policy",
            kind="poddisruptionbudget",
        )
    if allowed == 0:
        raise _refused(_why_none(name, status))
    conditions = status.get("conditions") or []
    if allowed == 1:
        conditions = [_none_left(one, now) for one in conditions]
    return {
        **status,
        "disruptionsAllowed": allowed - 1,
        "disruptedPods": {**disrupted, pod: now},
        **({"conditions": conditions} if conditions else {}),
    }


def _why_none(name: str, status: Json) -> str:
    conditions = status.get("conditions") or ()
    found: Json = next((one for one in conditions if one.get("type") == DISRUPTION_ALLOWED), {})
    said = found.get("message") if found.get("status") == "False" else ""
    current, desired = status.get("currentHealthy") or 0, status.get("desiredHealthy") or 0
    head = f"The disruption budget {name}"
    if said and found.get("reason") == "SyncFailed":
        return f"{head} does not allow evicting pods currently because it failed sync: {said}"
    if current <= desired:
        return f"{head} needs {desired} healthy pods and has {current} currently"
    if said:
        return f"{head} does not allow evicting pods currently ({found.get('reason')}): {said}"
    return f"{head} does not allow evicting pods currently"


def _none_left(condition: Json, now: str) -> Json:
    if condition.get("type") != DISRUPTION_ALLOWED or condition.get("status") == "False":
        return condition
    return {**condition, "status": "False", "reason": "InsufficientPods", "lastTransitionTime": now}


def _refused(why: str, *, retry_after_seconds: int = 0) -> TooManyRequests:
    cause = FieldError("DisruptionBudget", "", why)
    return TooManyRequests(_CANNOT, causes=[cause], retry_after_seconds=retry_after_seconds)


async def _mark(context: Context, kind: ServedKind, route: Route) -> None:
    """Say in the pod's conditions why it goes, before it does."""
    record = latest(context, kind, route.namespace, route.name)
    pod = decode(record, kind)
    status = pod.get("status") or {}
    others = [one for one in status.get("conditions") or () if one.get("type") != "DisruptionTarget"]
    target = {
        "type": "DisruptionTarget",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": context.timestamp(),
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
    marked = {**pod, "metadata": {**pod["metadata"]}, "status": {**status, "conditions": [*others, target]}}
    await persist(context, kind, marked, expected=record.revision)
