"""What a Job sets in vain: accepted, kept, and said in an event when its Workload is made.

Called by the plan, and by the guide's test, which lists the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from springtide.api.volcano_batch import Action, Event, Job, LifecyclePolicy
from springtide.volcano.plugins import PLUGINS
from springtide.volcano.policies import OF_JOBS, OF_PODS

TASK_WHY = {
    "topologyPolicy": "NUMA nodes are chosen by what the pods themselves ask for",
    "maxRetry": "retries are counted for the job as a whole (spec.maxRetry)",
}
PLUGIN_WHY = "there is no such plugin here; env, svc, pytorch and tensorflow are"
ARGUMENT_WHY = "the Service publishes addresses of pods that are not ready, and there is no NetworkPolicy"
EVENT_WHY = "never happens here: a gang is placed whole, and nobody sends commands"
ACTION_WHY = "not an action for rules"
_NEVER = (Event.UNKNOWN, Event.OUT_OF_SYNC, Event.COMMAND_ISSUED, Event.JOB_UPDATED, Event.TASK_FAILED)


def ineffective_fields(job: Job) -> list[str]:
    """`path: why`, in the order of the document."""
    found = list(_rules("spec.policies", job.spec.policies))
    for index, task in enumerate(job.spec.tasks):
        path = f"spec.tasks[{index}]"
        if task.topology_policy not in ("", "none"):
            found.append(f"{path}.topologyPolicy: {TASK_WHY['topologyPolicy']}")
        if task.max_retry:
            found.append(f"{path}.maxRetry: {TASK_WHY['maxRetry']}")
        found += _rules(f"{path}.policies", task.policies)
    for name, arguments in sorted(job.spec.plugins.items()):
        if name not in PLUGINS:
            found.append(f"spec.plugins.{name}: {PLUGIN_WHY}")
        elif name == "svc" and arguments:
            found.append(f"spec.plugins.svc: {ARGUMENT_WHY}")
    return found


def _rules(path: str, rules: list[LifecyclePolicy]) -> Iterator[str]:
    for index, rule in enumerate(rules):
        events = [event for event in (rule.event, *rule.events) if event in _NEVER]
        if events:
            yield f"{path}[{index}].event: {', '.join(events)} {EVENT_WHY}"
        if rule.action and Action(rule.action) not in (*OF_JOBS, *OF_PODS, Action.SYNC_JOB):
            yield f"{path}[{index}].action: {rule.action} is {ACTION_WHY}"
