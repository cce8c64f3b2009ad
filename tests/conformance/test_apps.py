"""Deployments, replica sets, stateful sets, daemon sets and revisions, as the API alone keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.conformance.case import (
    APPLY,
    JSON_PATCH,
    STRATEGIC,
    TABLE_FORM,
    Case,
    Has,
    Length,
    each,
    get,
    patch,
    post,
    put,
    table,
)
from tests.conformance.play import Player

Json = dict[str, Any]

_APPS = "/apis/apps/v1/namespaces/{ns}"
DEPLOYMENTS = f"{_APPS}/deployments"
REPLICA_SETS = f"{_APPS}/replicasets"
STATEFUL_SETS = f"{_APPS}/statefulsets"
DAEMON_SETS = f"{_APPS}/daemonsets"
REVISIONS = f"{_APPS}/controllerrevisions"
_KEPT_AWAY = {"nodeSelector": {"conformance.springtide.dev/nowhere": "true"}}
"""Pods of these tests, should a controller make any, run on no node."""


def _set(kind: str, name: str = "a", *, pod: Mapping[str, Any] | None = None, **spec: Any) -> Json:
    container = {"name": "main", "image": "registry.example/app:1"}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": "a"}},
            "template": {
                "metadata": {"labels": {"app": "a"}},
                "spec": {"containers": [container], **_KEPT_AWAY, **(pod or {})},
            },
            **spec,
        },
    }


def _revision(name: str = "a", **fields: Any) -> Json:
    metadata = {"name": name}
    return {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": metadata, **fields}


def _refused(path: str, kind: str, cause: str, message: str, **spec: Any) -> list[Any]:
    return [
        post(
            path,
            _set(kind, **{"pod": spec.pop("pod", None), **spec}),
            status=422,
            reason="Invalid",
            causes=[cause],
            message=message,
        )
    ]


_TEMPLATE_DEFAULTS = {
    "spec.template.spec.restartPolicy": "Always",
    "spec.template.spec.dnsPolicy": "ClusterFirst",
    "spec.template.spec.schedulerName": "default-scheduler",
    "spec.template.spec.terminationGracePeriodSeconds": 30,
    "spec.template.spec.securityContext": {},
    "spec.template.spec.containers[0].imagePullPolicy": "IfNotPresent",
    "spec.template.spec.containers[0].terminationMessagePath": "/dev/termination-log",
}
_CHANGEABLE = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
_CLAIM = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}

TABLE = table(
    "apps",
    [
        Case(
            "a Deployment is given its defaults",
            [
                post(
                    DEPLOYMENTS,
                    _set("Deployment"),
                    fields={
                        **_TEMPLATE_DEFAULTS,
                        "spec.replicas": 1,
                        "spec.strategy": {
                            "type": "RollingUpdate",
                            "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
                        },
                        "spec.revisionHistoryLimit": 10,
                        "spec.progressDeadlineSeconds": 600,
                        "metadata.generation": 1,
                        "status": {},
                    },
                    absent=["spec.minReadySeconds", "spec.paused"],
                )
            ],
        ),
        Case(
            "a Deployment that recreates has no limits of a rolling update",
            [
                post(
                    DEPLOYMENTS,
                    _set("Deployment", strategy={"type": "Recreate"}),
                    fields={"spec.strategy": {"type": "Recreate"}},
                )
            ],
        ),
        Case(
            "a strategic patch to Recreate clears the limits of the rolling update",
            [
                post(DEPLOYMENTS, _set("Deployment", paused=True)),
                patch(
                    f"{DEPLOYMENTS}/a",
                    {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}},
                    STRATEGIC,
                    fields={"spec.strategy": {"type": "Recreate"}},
                ),
            ],
        ),
        Case(
            "a ReplicaSet is given its defaults",
            [
                post(
                    REPLICA_SETS,
                    _set("ReplicaSet"),
                    fields={**_TEMPLATE_DEFAULTS, "spec.replicas": 1, "status": {"replicas": 0}},
                )
            ],
        ),
        Case(
            "a StatefulSet is given its defaults",
            [
                post(
                    STATEFUL_SETS,
                    _set("StatefulSet", serviceName="a"),
                    fields={
                        **_TEMPLATE_DEFAULTS,
                        "spec.replicas": 1,
                        "spec.podManagementPolicy": "OrderedReady",
                        "spec.updateStrategy.type": "RollingUpdate",
                        "spec.updateStrategy.rollingUpdate.partition": 0,
                        "spec.revisionHistoryLimit": 10,
                        "spec.persistentVolumeClaimRetentionPolicy": {
                            "whenDeleted": "Retain",
                            "whenScaled": "Retain",
                        },
                        "status": {"replicas": 0, "availableReplicas": 0},
                    },
                )
            ],
        ),
        Case(
            "templates of claims are completed",
            [
                post(
                    STATEFUL_SETS,
                    _set("StatefulSet", volumeClaimTemplates=[_CLAIM]),
                    fields={
                        "spec.volumeClaimTemplates[0].kind": "PersistentVolumeClaim",
                        "spec.volumeClaimTemplates[0].apiVersion": "v1",
                        "spec.volumeClaimTemplates[0].spec.volumeMode": "Filesystem",
                        "spec.volumeClaimTemplates[0].status": {"phase": "Pending"},
                    },
                )
            ],
        ),
        Case(
            "a StatefulSet without a service name keeps an empty one",
            [post(STATEFUL_SETS, _set("StatefulSet"), fields={"spec.serviceName": ""})],
        ),
        Case(
            "containers may mount the claims of a StatefulSet",
            [
                post(
                    STATEFUL_SETS,
                    _set(
                        "StatefulSet",
                        volumeClaimTemplates=[_CLAIM],
                        pod={
                            "containers": [
                                {
                                    "name": "main",
                                    "image": "app:1",
                                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                                }
                            ]
                        },
                    ),
                )
            ],
        ),
        Case(
            "a DaemonSet is given its defaults",
            [
                post(
                    DAEMON_SETS,
                    _set("DaemonSet"),
                    fields={
                        **_TEMPLATE_DEFAULTS,
                        "spec.updateStrategy": {
                            "type": "RollingUpdate",
                            "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
                        },
                        "spec.revisionHistoryLimit": 10,
                        "metadata.annotations": {"deprecated.daemonset.template.generation": "1"},
                        "status": {
                            "currentNumberScheduled": 0,
                            "desiredNumberScheduled": 0,
                            "numberMisscheduled": 0,
                            "numberReady": 0,
                        },
                    },
                )
            ],
        ),
        Case(
            "a change of a DaemonSet's template counts one more template generation",
            [
                post(DAEMON_SETS, _set("DaemonSet")),
                patch(
                    f"{DAEMON_SETS}/a",
                    [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "app:2"}],
                    JSON_PATCH,
                    fields={
                        "metadata.annotations": {"deprecated.daemonset.template.generation": "2"},
                        "metadata.generation": 2,
                    },
                ),
                patch(
                    f"{DAEMON_SETS}/a",
                    {"spec": {"minReadySeconds": 3}},
                    fields={
                        "metadata.annotations": {"deprecated.daemonset.template.generation": "2"},
                        "metadata.generation": 3,
                    },
                ),
            ],
        ),
        # -- what is refused --------------------------------------------------------------------------
        *(
            Case(
                f"{kind}: the selector must match the template",
                _refused(
                    path,
                    kind,
                    "spec.template.metadata.labels",
                    "`selector` does not match template `labels`",
                    selector={"matchLabels": {"app": "b"}},
                ),
            )
            for kind, path in (
                ("Deployment", DEPLOYMENTS),
                ("ReplicaSet", REPLICA_SETS),
                ("StatefulSet", STATEFUL_SETS),
                ("DaemonSet", DAEMON_SETS),
            )
        ),
        *(
            Case(
                f"{kind}: the selector never changes",
                [
                    post(path, _set(kind)),
                    patch(
                        f"{path}/a",
                        {
                            "spec": {
                                "selector": {"matchLabels": {"more": "b"}},
                                "template": {"metadata": {"labels": {"more": "b"}}},
                            }
                        },
                        status=422,
                        reason="Invalid",
                        causes=["spec.selector"],
                        message="field is immutable",
                    ),
                ],
            )
            for kind, path in (
                ("Deployment", DEPLOYMENTS),
                ("ReplicaSet", REPLICA_SETS),
                ("DaemonSet", DAEMON_SETS),
            )
        ),
        *(
            Case(
                f"{kind}: pods that are kept running restart always",
                [
                    post(
                        path,
                        _set(kind, pod={"restartPolicy": "Never"}),
                        status=422,
                        causes=["spec.template.spec.restartPolicy"],
                        message='Unsupported value: "Never": supported values: "Always"',
                    )
                ],
            )
            for kind, path in (
                ("Deployment", DEPLOYMENTS),
                ("ReplicaSet", REPLICA_SETS),
                ("StatefulSet", STATEFUL_SETS),
                ("DaemonSet", DAEMON_SETS),
            )
        ),
        *(
            Case(
                f"{kind}: pods that are kept running have no deadline",
                [
                    post(
                        path,
                        _set(kind, pod={"activeDeadlineSeconds": 5}),
                        status=422,
                        causes=["spec.template.spec.activeDeadlineSeconds"],
                        message=f"activeDeadlineSeconds in {named} is not Supported",
                    )
                ],
            )
            for kind, named, path in (
                ("Deployment", "ReplicaSet", DEPLOYMENTS),
                ("ReplicaSet", "ReplicaSet", REPLICA_SETS),
                ("StatefulSet", "StatefulSet", STATEFUL_SETS),
                ("DaemonSet", "DaemonSet", DAEMON_SETS),
            )
        ),
        *(
            Case(
                f"{kind}: an empty selector chooses nothing",
                [
                    post(
                        path,
                        _set(kind, selector={}),
                        status=422,
                        message=f"empty selector is invalid for {noun}",
                        causes=["spec.selector"],
                    )
                ],
            )
            for kind, noun, path in (
                ("Deployment", "deployment", DEPLOYMENTS),
                ("ReplicaSet", "deployment", REPLICA_SETS),
                ("StatefulSet", "statefulset", STATEFUL_SETS),
                ("DaemonSet", "daemonset", DAEMON_SETS),
            )
        ),
        *(
            Case(
                f"{kind}: replicas are not negative",
                [
                    post(
                        path,
                        _set(kind, replicas=-1),
                        status=422,
                        causes=["spec.replicas"],
                        message="Invalid value: -1: must be greater than or equal to 0",
                    )
                ],
            )
            for kind, path in (
                ("Deployment", DEPLOYMENTS),
                ("ReplicaSet", REPLICA_SETS),
                ("StatefulSet", STATEFUL_SETS),
            )
        ),
        Case(
            "a Deployment must have a selector",
            [
                post(
                    DEPLOYMENTS,
                    _set("Deployment", selector=None),
                    status=422,
                    message="spec.selector: Required value",
                )
            ],
        ),
        Case(
            "a rolling update that may neither add nor miss a pod is refused",
            _refused(
                DEPLOYMENTS,
                "Deployment",
                "spec.strategy.rollingUpdate.maxUnavailable",
                "may not be 0 when `maxSurge` is 0",
                strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}},
            ),
        ),
        Case(
            "more than all pods cannot be missing",
            _refused(
                DEPLOYMENTS,
                "Deployment",
                "spec.strategy.rollingUpdate.maxUnavailable",
                'Invalid value: "101%": must not be greater than 100%',
                strategy={"rollingUpdate": {"maxUnavailable": "101%"}},
            ),
        ),
        Case(
            "a share must be a percentage",
            _refused(
                DEPLOYMENTS,
                "Deployment",
                "spec.strategy.rollingUpdate.maxSurge",
                "a valid percent string must be a numeric string followed by an ending '%'",
                strategy={"rollingUpdate": {"maxSurge": "two"}},
            ),
        ),
        Case(
            "Recreate has no limits",
            _refused(
                DEPLOYMENTS,
                "Deployment",
                "spec.strategy.rollingUpdate",
                "may not be specified when strategy `type` is 'Recreate'",
                strategy={"type": "Recreate", "rollingUpdate": {"maxSurge": 1}},
            ),
        ),
        Case(
            "a strategy must be known",
            [
                post(
                    DEPLOYMENTS,
                    _set("Deployment", strategy={"type": "Hurry"}),
                    status=422,
                    causes=["spec.strategy"],
                    message='supported values: "Recreate", "RollingUpdate"',
                )
            ],
        ),
        Case(
            "the deadline of progress is after a pod can be available",
            _refused(
                DEPLOYMENTS,
                "Deployment",
                "spec.progressDeadlineSeconds",
                "must be greater than minReadySeconds",
                minReadySeconds=10,
                progressDeadlineSeconds=10,
            ),
        ),
        Case(
            "a DaemonSet misses pods or adds some, not both",
            _refused(
                DAEMON_SETS,
                "DaemonSet",
                "spec.updateStrategy.rollingUpdate.maxSurge",
                "may not be set when maxUnavailable is non-zero",
                updateStrategy={"rollingUpdate": {"maxSurge": 1}},
            ),
        ),
        Case(
            "a DaemonSet's update must be able to move",
            _refused(
                DAEMON_SETS,
                "DaemonSet",
                "spec.updateStrategy.rollingUpdate.maxUnavailable",
                "cannot be 0 when maxSurge is 0",
                updateStrategy={"rollingUpdate": {"maxUnavailable": 0}},
            ),
        ),
        Case(
            "how a StatefulSet makes pods must be known",
            _refused(
                STATEFUL_SETS,
                "StatefulSet",
                "spec.podManagementPolicy",
                "must be 'OrderedReady' or 'Parallel'",
                podManagementPolicy="Fast",
            ),
        ),
        Case(
            "what becomes of claims must be known",
            _refused(
                STATEFUL_SETS,
                "StatefulSet",
                "spec.persistentVolumeClaimRetentionPolicy.whenScaled",
                'Unsupported value: "Forget": supported values: ',
                persistentVolumeClaimRetentionPolicy={"whenScaled": "Forget"},
            ),
        ),
        Case(
            "OnDelete has no limits",
            _refused(
                STATEFUL_SETS,
                "StatefulSet",
                "spec.updateStrategy.rollingUpdate",
                "only allowed for updateStrategy 'RollingUpdate'",
                updateStrategy={"type": "OnDelete", "rollingUpdate": {"partition": 1}},
            ),
        ),
        Case(
            "the service name of a StatefulSet is a label",
            _refused(
                STATEFUL_SETS,
                "StatefulSet",
                "spec.serviceName",
                "must not contain dots",
                serviceName="not.a.label",
            ),
        ),
        Case(
            "the name of a StatefulSet is a label",
            [
                post(
                    STATEFUL_SETS,
                    _set("StatefulSet", "a.b"),
                    status=422,
                    causes=["metadata.name"],
                    message="must not contain dots",
                )
            ],
        ),
        Case(
            "a Deployment with a dot in its name is made with a warning",
            [
                post(
                    DEPLOYMENTS,
                    _set("Deployment", "a.b"),
                    warnings=["metadata.name: this is used in Pod names"],
                )
            ],
        ),
        Case(
            "most of a StatefulSet never changes",
            [
                post(STATEFUL_SETS, _set("StatefulSet", serviceName="a")),
                patch(
                    f"{STATEFUL_SETS}/a",
                    {"spec": {"serviceName": "b"}},
                    status=422,
                    causes=["spec"],
                    message=_CHANGEABLE,
                ),
                patch(
                    f"{STATEFUL_SETS}/a",
                    {"spec": {"replicas": 0, "minReadySeconds": 2, "ordinals": {"start": 3}}},
                    fields={"metadata.generation": 2, "spec.ordinals": {"start": 3}},
                ),
            ],
        ),
        Case(
            "a template has at least one container",
            [
                post(
                    DEPLOYMENTS,
                    _set("Deployment", pod={"containers": []}),
                    status=422,
                    message="spec.template.spec.containers: Required value",
                )
            ],
        ),
        Case(
            "the operator of a selector must be known",
            [
                post(
                    DEPLOYMENTS,
                    _set(
                        "Deployment",
                        selector={"matchExpressions": [{"key": "app", "operator": "Like", "values": ["a"]}]},
                    ),
                    status=422,
                    message="not a valid",
                )
            ],
        ),
        # -- changes ----------------------------------------------------------------------------------
        Case(
            "a change of annotations is one more generation of a Deployment",
            [
                post(DEPLOYMENTS, _set("Deployment", paused=True)),
                patch(
                    f"{DEPLOYMENTS}/a",
                    {"metadata": {"annotations": {"note": "x"}}},
                    fields={"metadata.generation": 2},
                ),
                patch(
                    f"{DEPLOYMENTS}/a",
                    {"metadata": {"labels": {"note": "x"}}},
                    fields={"metadata.generation": 2},
                ),
            ],
        ),
        Case(
            "a change of annotations is no generation of a ReplicaSet",
            [
                post(REPLICA_SETS, _set("ReplicaSet", replicas=0)),
                patch(
                    f"{REPLICA_SETS}/a",
                    {"metadata": {"annotations": {"note": "x"}}},
                    fields={"metadata.generation": 1},
                ),
            ],
        ),
        Case(
            "a writer of status may set annotations and nothing of the spec",
            [
                post(DEPLOYMENTS, _set("Deployment", paused=True)),
                patch(
                    f"{DEPLOYMENTS}/a/status",
                    {
                        "metadata": {"annotations": {"deployment.kubernetes.io/revision": "1"}},
                        "spec": {"replicas": 5},
                        "status": {"replicas": 1, "observedGeneration": 1},
                    },
                    fields={
                        "spec.replicas": 1,
                        "status": {"replicas": 1, "observedGeneration": 1},
                        "metadata.annotations": Has({"deployment.kubernetes.io/revision": "1"}),
                        "metadata.generation": 1,
                    },
                ),
            ],
        ),
        Case(
            "a status does not count more pods than there are",
            [
                post(REPLICA_SETS, _set("ReplicaSet", replicas=0)),
                patch(
                    f"{REPLICA_SETS}/a/status",
                    {"status": {"replicas": 1, "readyReplicas": 2}},
                    status=422,
                    causes=["status.readyReplicas"],
                    message="cannot be greater than status.replicas",
                ),
            ],
        ),
        Case(
            "collisions are not forgotten",
            [
                post(DEPLOYMENTS, _set("Deployment", paused=True)),
                patch(f"{DEPLOYMENTS}/a/status", {"status": {"collisionCount": 2}}),
                patch(
                    f"{DEPLOYMENTS}/a/status",
                    {"status": {"collisionCount": 1}},
                    status=422,
                    causes=["status.collisionCount"],
                    message="cannot be decremented",
                ),
            ],
        ),
        Case(
            "conditions of a status are merged by type",
            [
                post(DEPLOYMENTS, _set("Deployment", paused=True)),
                patch(
                    f"{DEPLOYMENTS}/a/status",
                    {"status": {"conditions": [{"type": "Mine", "status": "True"}]}},
                    STRATEGIC,
                ),
                patch(
                    f"{DEPLOYMENTS}/a/status",
                    {"status": {"conditions": [{"type": "Other", "status": "False"}]}},
                    STRATEGIC,
                    fields={"status.conditions": Length(2)},
                ),
            ],
        ),
        Case(
            "an applied Deployment keeps the containers of others",
            [
                post(DEPLOYMENTS, _set("Deployment", paused=True)),
                patch(
                    f"{DEPLOYMENTS}/a",
                    {
                        "apiVersion": "apps/v1",
                        "kind": "Deployment",
                        "metadata": {"name": "a"},
                        "spec": {"template": {"spec": {"containers": [{"name": "side", "image": "side:1"}]}}},
                    },
                    APPLY,
                    query={"fieldManager": "sidecars"},
                    fields={"spec.template.spec.containers": Length(2)},
                ),
            ],
        ),
        # -- scale ------------------------------------------------------------------------------------
        *(
            Case(
                f"{kind}: its scale is read and written",
                [
                    post(path, _set(kind, replicas=0)),
                    get(
                        f"{path}/a/scale",
                        fields={
                            "kind": "Scale",
                            "apiVersion": "autoscaling/v1",
                            "metadata.name": "a",
                            "metadata.namespace": "{ns}",
                            "spec": {},
                            "status.selector": "app=a",
                            "status.replicas": 0,
                        },
                        save={"version": "metadata.resourceVersion"},
                    ),
                    put(
                        f"{path}/a/scale",
                        {
                            "apiVersion": "autoscaling/v1",
                            "kind": "Scale",
                            "metadata": {"name": "a", "namespace": "{ns}", "resourceVersion": "{version}"},
                            "spec": {"replicas": 2},
                        },
                        fields={"spec.replicas": 2},
                    ),
                    get(f"{path}/a", fields={"spec.replicas": 2, "metadata.generation": 2}),
                    patch(f"{path}/a/scale", {"spec": {"replicas": 1}}, fields={"spec.replicas": 1}),
                    put(
                        f"{path}/a/scale",
                        {
                            "apiVersion": "autoscaling/v1",
                            "kind": "Scale",
                            "metadata": {"name": "a", "namespace": "{ns}", "resourceVersion": "{version}"},
                            "spec": {"replicas": 3},
                        },
                        status=409,
                        reason="Conflict",
                    ),
                    patch(f"{path}/a/scale", {"spec": {"replicas": -1}}, status=422, reason="Invalid"),
                ],
            )
            for kind, path in (
                ("Deployment", DEPLOYMENTS),
                ("ReplicaSet", REPLICA_SETS),
                ("StatefulSet", STATEFUL_SETS),
            )
        ),
        Case(
            "a DaemonSet has no scale",
            [post(DAEMON_SETS, _set("DaemonSet")), get(f"{DAEMON_SETS}/a/scale", status=404)],
        ),
        # -- tables and revisions ----------------------------------------------------------------------
        *(
            Case(
                f"{kind}: the columns of its table",
                [
                    post(path, _set(kind)),
                    get(
                        path,
                        headers={"Accept": TABLE_FORM},
                        fields={
                            **{f"columnDefinitions[{at}].name": name for at, name in enumerate(names)},
                            "columnDefinitions": Length(len(names)),
                            "rows": Length(1),
                            "rows[0].cells[0]": "a",
                        },
                    ),
                ],
            )
            for kind, path, names in (
                (
                    "Deployment",
                    DEPLOYMENTS,
                    ("Name", "Ready", "Up-to-date", "Available", "Age", "Containers", "Images", "Selector"),
                ),
                (
                    "ReplicaSet",
                    REPLICA_SETS,
                    ("Name", "Desired", "Current", "Ready", "Age", "Containers", "Images", "Selector"),
                ),
                ("StatefulSet", STATEFUL_SETS, ("Name", "Ready", "Age", "Containers", "Images")),
                (
                    "DaemonSet",
                    DAEMON_SETS,
                    (
                        "Name",
                        "Desired",
                        "Current",
                        "Ready",
                        "Up-to-date",
                        "Available",
                        "Node Selector",
                        "Age",
                        "Containers",
                        "Images",
                        "Selector",
                    ),
                ),
            )
        ),
        Case(
            "a revision keeps any object as its data",
            [
                post(
                    REVISIONS,
                    _revision(revision=3, data={"spec": {"any": {"thing": [1, "two"]}}}),
                    fields={"data": {"spec": {"any": {"thing": [1, "two"]}}}, "revision": 3},
                ),
                put(
                    f"{REVISIONS}/a",
                    _revision(revision=4, data={"spec": {"any": {"thing": [1, "two"]}}}),
                    fields={"revision": 4},
                ),
                put(
                    f"{REVISIONS}/a",
                    _revision(revision=4, data={"spec": {"other": True}}),
                    status=422,
                    causes=["data"],
                    message="field is immutable",
                ),
            ],
        ),
        Case(
            "a revision must have data",
            [
                post(
                    REVISIONS, _revision(revision=1), status=422, causes=["data"], message="data is mandatory"
                )
            ],
        ),
        Case(
            "a revision is not negative",
            [
                post(
                    REVISIONS,
                    _revision(revision=-1, data={"a": 1}),
                    status=422,
                    causes=["revision"],
                    message="must be greater than or equal to 0",
                )
            ],
        ),
        Case(
            "replica sets are not found by how many pods they have",
            [
                get(
                    REPLICA_SETS,
                    query={"fieldSelector": "status.replicas=0"},
                    status=400,
                    reason="BadRequest",
                )
            ],
        ),
        Case(
            "discovery tells short names, categories and subresources",
            [
                get(
                    "/apis/apps/v1",
                    fields={
                        "groupVersion": "apps/v1",
                        "resources[name=deployments].shortNames": ["deploy"],
                        "resources[name=deployments].categories": ["all"],
                        "resources[name=deployments].singularName": "deployment",
                        "resources[name=replicasets].shortNames": ["rs"],
                        "resources[name=statefulsets].shortNames": ["sts"],
                        "resources[name=daemonsets].shortNames": ["ds"],
                        "resources[name=deployments/scale].kind": "Scale",
                        "resources[name=deployments/scale].group": "autoscaling",
                        "resources[name=deployments/status].kind": "Deployment",
                        "resources[name=controllerrevisions].kind": "ControllerRevision",
                    },
                )
            ],
        ),
        Case(
            "wrong types are named",
            [
                post(
                    DEPLOYMENTS,
                    _set("Deployment", replicas="many"),
                    status=400,
                    reason="BadRequest",
                )
            ],
        ),
    ],
)


@each(TABLE)
def test_apps(case: Case, player: Player) -> None:
    player.play(case)
