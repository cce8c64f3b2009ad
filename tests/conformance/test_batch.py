"""Jobs and CronJobs as the API knows them: defaults, rules, what may change, selectors, status, columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.conformance.case import (
    PRESENT,
    TABLE_FORM,
    Case,
    Has,
    Like,
    Step,
    apply,
    delete,
    each,
    get,
    patch,
    post,
    put,
    table,
)
from tests.conformance.play import Player

Json = dict[str, Any]

JOBS = "/apis/batch/v1/namespaces/{ns}/jobs"
CRON_JOBS = "/apis/batch/v1/namespaces/{ns}/cronjobs"
_TEMPLATE: Json = {
    "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "busybox:1.36"}]}
}
_INDEXED: Json = {"completionMode": "Indexed", "completions": 4, "parallelism": 4}
_FAIL: Json = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
_NOW = "2026-01-01T00:00:00Z"


def job(name: str = "a", *, metadata: Mapping[str, Any] | None = None, **spec: Any) -> Json:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, **(metadata or {})},
        "spec": {"template": _TEMPLATE, "suspend": True, **spec},
    }


def cron_job(name: str = "c", schedule: str = "*/5 * * * *", **spec: Any) -> Json:
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name},
        "spec": {"schedule": schedule, "jobTemplate": {"spec": {"template": _TEMPLATE}}, **spec},
    }


def refused(obj: Json, *causes: str, message: str) -> Step:
    path = JOBS if obj["kind"] == "Job" else CRON_JOBS
    return post(path, obj, status=422, reason="Invalid", causes=list(causes), message=message)


def _policy(*rules: Json, **spec: Any) -> Json:
    return job(podFailurePolicy={"rules": list(rules)}, **spec)


def _success(*rules: Json) -> Json:
    return job(**_INDEXED, successPolicy={"rules": list(rules)})


def _condition(type_: str, status: str = "True") -> Json:
    return {"type": type_, "status": status, "reason": "X", "message": "x", "lastTransitionTime": _NOW}


def _status(name: str = "a", **status: Any) -> tuple[str, Json]:
    return f"{JOBS}/{name}/status", {"status": status}


def status_refused(message: str, *causes: str, **status: Any) -> Step:
    return patch(*_status(**status), status=422, message=message, causes=list(causes))


_MADE = post(JOBS, job())
_MADE_INDEXED = post(JOBS, job(**_INDEXED))
_MADE_RUNNING = post(JOBS, job(suspend=False, managedBy="example.com/nobody"))
_IMMUTABLE = "field is immutable"


def _said(type_: str) -> Json:
    """A condition, as an applier of the status writes it."""
    known = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"}}
    return {**known, "status": {"conditions": [_condition(type_)]}}


_DEFAULTS = [
    Case(
        "the conditions of a job have one applier",
        [
            _MADE,
            apply(f"{JOBS}/a/status", _said("Suspended"), manager="one"),
            apply(f"{JOBS}/a/status", _said("Stale"), manager="two", status=409),
        ],
    ),
    Case(
        "defaults of a job",
        [
            post(
                JOBS,
                job(),
                fields={
                    "spec.completions": 1,
                    "spec.parallelism": 1,
                    "spec.backoffLimit": 6,
                    "spec.completionMode": "NonIndexed",
                    "spec.suspend": True,
                    "spec.manualSelector": False,
                    "spec.podReplacementPolicy": "TerminatingOrFailed",
                    "spec.template.spec.terminationGracePeriodSeconds": 30,
                    "metadata.generation": 1,
                    "status": {},
                },
                warnings=(),
            )
        ],
    ),
    Case(
        "with parallelism alone, there are no completions",
        [post(JOBS, job(parallelism=3), fields={"spec.parallelism": 3}, absent=["spec.completions"])],
    ),
    Case(
        "with completions alone, one pod at a time",
        [post(JOBS, job(completions=3), fields={"spec.parallelism": 1, "spec.completions": 3})],
    ),
    Case(
        "a limit for each index takes the place of the common one",
        [post(JOBS, job(**_INDEXED, backoffLimitPerIndex=1), fields={"spec.backoffLimit": 2147483647})],
    ),
    Case(
        "a pod failure policy waits for the end of a pod",
        [post(JOBS, _policy(_FAIL), fields={"spec.podReplacementPolicy": "Failed"})],
    ),
    Case(
        "the status of a condition in a rule is True",
        [
            post(
                JOBS,
                _policy({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}),
                fields={"spec.podFailurePolicy.rules[0].onPodConditions[0].status": "True"},
            )
        ],
    ),
    Case(
        "the selector and the labels are made",
        [
            post(JOBS, job(), save={"uid": "metadata.uid"}),
            get(
                f"{JOBS}/a",
                fields={
                    "spec.selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "{uid}"}},
                    "spec.template.metadata.labels": {
                        "batch.kubernetes.io/controller-uid": "{uid}",
                        "batch.kubernetes.io/job-name": "a",
                        "controller-uid": "{uid}",
                        "job-name": "a",
                    },
                    "metadata.labels": Has({"job-name": "a", "controller-uid": "{uid}"}),
                },
            ),
        ],
    ),
    Case(
        "labels of its own stay",
        [post(JOBS, job(metadata={"labels": {"x": "y"}}), fields={"metadata.labels": {"x": "y"}})],
    ),
    Case(
        "a status is not the user's",
        [post(JOBS, {**job(), "status": {"succeeded": 5}}, fields={"status": {}})],
    ),
    Case(
        "defaults of a cron job",
        [
            post(
                CRON_JOBS,
                cron_job(),
                fields={
                    "spec.concurrencyPolicy": "Allow",
                    "spec.suspend": False,
                    "spec.successfulJobsHistoryLimit": 3,
                    "spec.failedJobsHistoryLimit": 1,
                    "spec.jobTemplate.spec.template.spec.restartPolicy": "Never",
                },
                absent=["spec.jobTemplate.spec.backoffLimit", "spec.timeZone"],
                warnings=(),
            )
        ],
    ),
]

_RULES = [
    Case(name, [refused(obj, *causes, message=message)])
    for name, obj, causes, message in (
        (
            "pods are not restarted for ever",
            job(template={"spec": {**_TEMPLATE["spec"], "restartPolicy": "Always"}}),
            ["spec.template.spec.restartPolicy"],
            'Required value: valid values: "OnFailure", "Never"',
        ),
        ("numbers are not negative", job(backoffLimit=-1), ["spec.backoffLimit"], "must be greater than or"),
        (
            "an unknown mode",
            job(completionMode="Both"),
            ["spec.completionMode"],
            'Unsupported value: "Both": supported values: "NonIndexed", "Indexed"',
        ),
        (
            "an indexed job needs completions",
            job(completionMode="Indexed", parallelism=2),
            ["spec.completions"],
            "Required value: when completion mode is Indexed",
        ),
        (
            "a limit for each index needs indexes",
            job(backoffLimitPerIndex=1),
            ["spec.backoffLimitPerIndex"],
            "requires indexed completion mode",
        ),
        (
            "failed indexes need a limit for each",
            job(**_INDEXED, maxFailedIndexes=1),
            ["spec.backoffLimitPerIndex"],
            "when maxFailedIndexes is specified",
        ),
        (
            "no more failed indexes than there are",
            job(**_INDEXED, backoffLimitPerIndex=1, maxFailedIndexes=5),
            ["spec.maxFailedIndexes"],
            "must be less than or equal to completions",
        ),
        (
            "a manager has a domain",
            job(managedBy="me"),
            ["spec.managedBy"],
            "must be a domain-prefixed path",
        ),
        (
            "a rule is about something",
            _policy({"action": "Count"}),
            ["spec.podFailurePolicy.rules[0]"],
            "specifying one of OnExitCodes and OnPodConditions is required",
        ),
        (
            "a rule is about one thing",
            _policy({**_FAIL, "onPodConditions": [{"type": "X"}]}),
            ["spec.podFailurePolicy.rules[0]"],
            "specifying both OnExitCodes and OnPodConditions is not supported",
        ),
        (
            "exit code 0 is no failure",
            _policy({"action": "Count", "onExitCodes": {"operator": "In", "values": [0]}}),
            ["spec.podFailurePolicy.rules[0].onExitCodes.values[0]"],
            "must not be 0 for the In operator",
        ),
        (
            "exit codes are in order",
            _policy({"action": "Count", "onExitCodes": {"operator": "In", "values": [3, 2]}}),
            ["spec.podFailurePolicy.rules[0].onExitCodes.values"],
            "must be ordered",
        ),
        (
            "exit codes of a container there is",
            _policy({**_FAIL, "onExitCodes": {**_FAIL["onExitCodes"], "containerName": "x"}}),
            ["spec.podFailurePolicy.rules[0].onExitCodes.containerName"],
            "must be one of the container or initContainer names in the pod template",
        ),
        (
            "an index fails alone only with a limit for each",
            _policy({**_FAIL, "action": "FailIndex"}),
            ["spec.podFailurePolicy.rules[0].action"],
            "requires the backoffLimitPerIndex to be set",
        ),
        (
            "pods with a failure policy are not restarted in place",
            _policy(_FAIL, template={"spec": {**_TEMPLATE["spec"], "restartPolicy": "OnFailure"}}),
            ["spec.template.spec.restartPolicy"],
            'only "Never" is supported when podFailurePolicy is specified',
        ),
        (
            "with a failure policy only failed pods are replaced",
            _policy(_FAIL, podReplacementPolicy="TerminatingOrFailed"),
            ["spec.podReplacementPolicy"],
            'supported values: "Failed"',
        ),
        (
            "a success policy needs indexes",
            job(successPolicy={"rules": [{"succeededCount": 1}]}),
            ["spec.successPolicy"],
            "requires indexed completion mode",
        ),
        (
            "a success rule says something",
            _success({}),
            ["spec.successPolicy.rules[0]"],
            "at least one of succeededCount or succeededIndexes must be specified",
        ),
        (
            "indexes of a success rule are in order",
            _success({"succeededIndexes": "2,1"}),
            ["spec.successPolicy.rules[0].succeededIndexes"],
            "error parsing succeededIndexes: non-increasing order, previous: 2, current: 1",
        ),
        (
            "indexes of a success rule exist",
            _success({"succeededIndexes": "1-9"}),
            ["spec.successPolicy.rules[0].succeededIndexes"],
            'error parsing succeededIndexes: too large index: "9"',
        ),
        (
            "no more successes than indexes named",
            _success({"succeededIndexes": "0,1", "succeededCount": 3}),
            ["spec.successPolicy.rules[0].succeededCount"],
            "must be less than or equal to 2 (the number of indexes in the specified succeededIndexes field)",
        ),
        (
            "host names of an indexed job fit",
            job("a" * 62, **_INDEXED),
            ["metadata.name"],
            "will not able to create pod with invalid DNS label",
        ),
        (
            "a schedule has five fields",
            cron_job(schedule="* * * *"),
            ["spec.schedule"],
            "expected exactly 5 fields, found 4: [* * * *]",
        ),
        (
            "Sunday is 0",
            cron_job(schedule="0 0 * * 7"),
            ["spec.schedule"],
            "end of range (7) above maximum (6): 7",
        ),
        (
            "no zone within the schedule",
            cron_job(schedule="TZ=UTC 0 0 * * *"),
            ["spec.schedule"],
            "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
        ),
        ("a zone there is", cron_job(timeZone="Mars/Base"), ["spec.timeZone"], "unknown time zone Mars/Base"),
        (
            "a policy there is",
            cron_job(concurrencyPolicy="Never"),
            ["spec.concurrencyPolicy"],
            'Unsupported value: "Never": supported values: "Allow", "Forbid", "Replace"',
        ),
        (
            "a short name",
            cron_job("c" * 53),
            ["metadata.name"],
            "must be no more than 52 characters",
        ),
        (
            "the template has no selector",
            cron_job(jobTemplate={"spec": {"template": _TEMPLATE, "selector": {"matchLabels": {"a": "b"}}}}),
            ["spec.jobTemplate.spec.selector"],
            "`selector` will be auto-generated",
        ),
    )
]

_CHANGES = [
    Case(
        f"{name} never changes",
        [
            post(JOBS, made),
            patch(f"{JOBS}/a", {"spec": change}, status=422, message=_IMMUTABLE, causes=[cause]),
        ],
    )
    for name, made, change, cause in (
        ("completions", job(completions=2), {"completions": 3}, "spec.completions"),
        ("the mode", job(**_INDEXED), {"completionMode": "NonIndexed"}, "spec.completionMode"),
        ("managedBy", job(), {"managedBy": "example.com/x"}, "spec.managedBy"),
        (
            "the success policy",
            _success({"succeededCount": 1}),
            {"successPolicy": {"rules": [{"succeededCount": 2}]}},
            "spec.successPolicy",
        ),
        ("the failure policy", _policy(_FAIL), {"podFailurePolicy": None}, "spec.podFailurePolicy"),
        (
            "the limit for each index",
            job(**_INDEXED, backoffLimitPerIndex=1),
            {"backoffLimitPerIndex": 2},
            "spec.backoffLimitPerIndex",
        ),
    )
] + [
    Case(
        "parallelism, limits and times may change",
        [
            _MADE,
            patch(
                f"{JOBS}/a",
                {
                    "spec": {
                        "parallelism": 3,
                        "backoffLimit": 1,
                        "ttlSecondsAfterFinished": 9,
                        "suspend": False,
                    }
                },
                fields={"spec.parallelism": 3, "spec.backoffLimit": 1, "metadata.generation": 2},
            ),
        ],
    ),
    Case(
        "an indexed job grows in tandem only",
        [
            _MADE_INDEXED,
            patch(
                f"{JOBS}/a",
                {"spec": {"completions": 5}},
                status=422,
                message="can only be modified in tandem with spec.parallelism",
            ),
            patch(f"{JOBS}/a", {"spec": {"completions": 5, "parallelism": 5}}),
        ],
    ),
    Case(
        "while it is suspended, where its pods may run may change",
        [
            _MADE,
            patch(
                f"{JOBS}/a",
                {
                    "spec": {
                        "template": {
                            "metadata": {"annotations": {"a": "b"}},
                            "spec": {
                                "nodeSelector": {"a": "b"},
                                "tolerations": [{"key": "x", "operator": "Exists"}],
                                "schedulingGates": [{"name": "example.com/g"}],
                            },
                        }
                    }
                },
                fields={"spec.template.spec.nodeSelector": {"a": "b"}},
            ),
        ],
    ),
    Case(
        "while it is suspended, what its pods need may change",
        [
            _MADE,
            patch(
                f"{JOBS}/a",
                [
                    {
                        "op": "replace",
                        "path": "/spec/template/spec/containers/0/resources",
                        "value": {"requests": {"cpu": "1"}},
                    }
                ],
                "application/json-patch+json",
                fields={"spec.template.spec.containers[0].resources.requests.cpu": "1"},
            ),
        ],
    ),
    Case(
        "even while it is suspended, what its pods do may not",
        [
            _MADE,
            patch(
                f"{JOBS}/a",
                {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 5}}}},
                status=422,
                message=_IMMUTABLE,
                causes=["spec.template.spec"],
            ),
        ],
    ),
    Case(
        "while it runs, nothing of its pods may change",
        [
            _MADE_RUNNING,
            patch(
                f"{JOBS}/a",
                {"spec": {"template": {"spec": {"nodeSelector": {"a": "b"}}}}},
                status=422,
                message=_IMMUTABLE,
                causes=["spec.template"],
            ),
        ],
    ),
    Case(
        "a replacement without the selector is refused",
        [_MADE, put(f"{JOBS}/a", job(), status=422, message="spec.selector: Required value")],
    ),
    Case(
        "a selector of the user's own is taken as it is",
        [
            post(
                JOBS,
                job(
                    manualSelector=True,
                    selector={"matchLabels": {"x": "y"}},
                    template={**_TEMPLATE, "metadata": {"labels": {"x": "y"}}},
                ),
                fields={
                    "spec.selector": {"matchLabels": {"x": "y"}},
                    "spec.template.metadata.labels": {"x": "y"},
                },
            )
        ],
    ),
    Case(
        "a selector that does not match its pods is refused",
        [
            post(
                JOBS,
                job(manualSelector=True, selector={"matchLabels": {"x": "y"}}),
                status=422,
                message="`selector` does not match template `labels`",
            )
        ],
    ),
    Case(
        "a cron job may change",
        [
            post(CRON_JOBS, cron_job()),
            patch(
                f"{CRON_JOBS}/c",
                {"spec": {"schedule": "@daily", "suspend": True, "timeZone": "Europe/Berlin"}},
                fields={"spec.schedule": "@daily", "metadata.generation": 2},
            ),
        ],
    ),
]

_STATUS = [
    Case(
        "a status is written through its own path",
        [
            _MADE_RUNNING,
            patch(*_status(active=2, ready=1, startTime=_NOW), fields={"status.active": 2}),
            patch(f"{JOBS}/a", {"status": {"active": 7}}, fields={"status.active": 2}),
        ],
    ),
    Case(
        "complete needs a word before, a start and an end",
        [
            _MADE_RUNNING,
            status_refused(
                "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
                "status.conditions",
                "status.completionTime",
                "status.startTime",
                conditions=[_condition("Complete")],
            ),
            patch(
                *_status(
                    conditions=[_condition("SuccessCriteriaMet"), _condition("Complete")],
                    startTime=_NOW,
                    completionTime=_NOW,
                )
            ),
            status_refused(
                "cannot disable the terminal Complete=True condition",
                "status.conditions",
                "status.completionTime",
                conditions=[_condition("SuccessCriteriaMet")],
            ),
        ],
    ),
    Case(
        "failed needs a word before",
        [
            _MADE_RUNNING,
            status_refused(
                "cannot set Failed=True condition without the FailureTarget=true condition",
                "status.conditions",
                conditions=[_condition("Failed")],
                startTime=_NOW,
            ),
        ],
    ),
    Case(
        "a finished job has nothing active",
        [
            _MADE_RUNNING,
            status_refused(
                "active>0 is invalid for finished job",
                "status.active",
                conditions=[_condition("FailureTarget"), _condition("Failed")],
                startTime=_NOW,
                active=1,
            ),
        ],
    ),
    Case(
        "counters do not go back",
        [
            _MADE_RUNNING,
            patch(*_status(failed=2)),
            status_refused("cannot decrease the failed counter", "status.failed", failed=1),
        ],
    ),
    Case(
        "no more ready than active",
        [
            _MADE_RUNNING,
            status_refused("cannot set more ready pods than active", "status.ready", ready=2, active=1),
        ],
    ),
    Case(
        "completed indexes are those of an indexed job",
        [
            _MADE_RUNNING,
            status_refused(
                "cannot set non-empty completedIndexes when non-indexed completion mode",
                "status.completedIndexes",
                completedIndexes="0",
            ),
        ],
    ),
    Case(
        "completed indexes have their form",
        [
            _MADE_INDEXED,
            status_refused(
                "error parsing completedIndexes: non-increasing order, previous: 3, current: 1",
                "status.completedIndexes",
                completedIndexes="3,1",
            ),
        ],
    ),
    Case(
        "the start does not move while it runs",
        [
            _MADE_RUNNING,
            patch(*_status(startTime=_NOW)),
            status_refused(
                "field is immutable for unsuspended job once set",
                "status.startTime",
                startTime="2026-01-02T00:00:00Z",
            ),
        ],
    ),
]

_VERBS = [
    Case(
        "a deletion that does not say leaves the pods",
        [
            _MADE,
            delete(f"{JOBS}/a", {"gracePeriodSeconds": 0}, fields={"metadata.finalizers": ["orphan"]}),
        ],
    ),
    Case(
        "a deletion in the background is done at once",
        [
            _MADE,
            delete(f"{JOBS}/a", {"propagationPolicy": "Background"}, fields={"status": "Success"}),
            get(f"{JOBS}/a", status=404, reason="NotFound"),
        ],
    ),
    Case(
        "columns of jobs",
        [
            post(JOBS, job(completions=3)),
            get(
                JOBS,
                headers={"Accept": TABLE_FORM},
                fields={
                    "columnDefinitions[1].name": "Status",
                    "columnDefinitions[2].name": "Completions",
                    "columnDefinitions[3].name": "Duration",
                    "rows[0].cells[0]": "a",
                    "rows[0].cells[2]": "0/3",
                    "rows[0].cells[3]": "",
                    "rows[0].cells[5]": "main",
                    "rows[0].cells[6]": "busybox:1.36",
                    "rows[0].cells[7]": Like("^batch.kubernetes.io/controller-uid="),
                },
            ),
        ],
    ),
    Case(
        "columns of cron jobs",
        [
            post(CRON_JOBS, cron_job(timeZone="Europe/Berlin", suspend=True)),
            get(
                CRON_JOBS,
                headers={"Accept": TABLE_FORM},
                fields={
                    "rows[0].cells[0]": "c",
                    "rows[0].cells[1]": "*/5 * * * *",
                    "rows[0].cells[2]": "Europe/Berlin",
                    "rows[0].cells[3]": "True",
                    "rows[0].cells[4]": 0,
                    "rows[0].cells[5]": "<none>",
                    "rows[0].cells[9]": "<none>",
                },
            ),
        ],
    ),
    Case(
        "the group serves both, with status and short names",
        [
            get(
                "/apis/batch/v1",
                fields={
                    "resources[name=jobs].categories": ["all"],
                    "resources[name=cronjobs].shortNames": ["cj"],
                    "resources[name=jobs/status].kind": "Job",
                    "resources[name=cronjobs/status].kind": PRESENT,
                },
            )
        ],
    ),
    Case(
        "a name that is no host name is warned of",
        [post(JOBS, job("a.b"), warnings=["a DNS label is recommended"])],
    ),
]

TABLE = table("batch", [*_DEFAULTS, *_RULES, *_CHANGES, *_STATUS, *_VERBS])


@each(TABLE)
def test_batch(case: Case, player: Player) -> None:
    player.play(case)
