"""Which roles and bindings a cluster starts with, as data: Kubernetes' own, those of our kinds and parts.

Names, rules and labels are Kubernetes' (its RBAC documentation and default policy), so that its components
and other people's charts find what they expect. A rule is a line: verbs, groups (`core` is the group without
a name), resources and, if any, names, each list with commas; or `get url` and paths. Read by
`rbac_bootstrap` and `authorize_node`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from springtide.server.rbac_controllers import CONTROLLERS

Json = dict[str, Any]

_API_GROUP = "rbac.authorization.k8s.io"
_VERBS = {
    "read": "get,list,watch",
    "write": "create,update,patch,delete,deletecollection",
    "readwrite": "get,list,watch,create,update,patch,delete,deletecollection",
    "readupdate": "get,list,watch,update,patch",
}
_EVENTS = "create,update,patch core,events.k8s.io events"
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_ANNOTATIONS = {f"{_API_GROUP.replace('k8s.io', 'kubernetes.io')}/autoupdate": "true"}
_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"
_AGGREGATED = {"admin": "", "edit": "admin", "view": "edit"}
"""The roles for people within a namespace; each is part of the next larger one."""

_CLUSTER_ROLES = {
    "cluster-admin": """
        * * *
        * url *
    """,
    "system:discovery": """
        get url /livez,/readyz,/healthz,/version,/version/,/openapi,/openapi/*,/api,/api/*,/apis,/apis/*
    """,
    "system:monitoring": """
        get url /metrics,/metrics/slis,/livez,/readyz,/healthz,/livez/*,/readyz/*,/healthz/*
        get core nodes/metrics
    """,
    "system:basic-user": """
        create authorization.k8s.io selfsubjectaccessreviews,selfsubjectrulesreviews
        create authentication.k8s.io selfsubjectreviews
    """,
    "system:public-info-viewer": """
        get url /livez,/readyz,/healthz,/version,/version/
    """,
    "system:service-account-issuer-discovery": """
        get url /.well-known/openid-configuration,/.well-known/openid-configuration/
        get url /openid/v1/jwks,/openid/v1/jwks/
    """,
    "system:node": """
        create authentication.k8s.io tokenreviews
        create authorization.k8s.io subjectaccessreviews,localsubjectaccessreviews
        read core services
        create,get,list,watch core nodes
        update,patch core nodes/status
        update,patch core nodes
        events
        read core pods
        create,delete core pods
        update,patch core pods/status
        create core pods/eviction
        read core secrets,configmaps
        get core persistentvolumeclaims,persistentvolumes
        get core endpoints
        create,get,list,watch certificates.k8s.io certificatesigningrequests
        get,create,update,patch,delete coordination.k8s.io leases
        get storage.k8s.io volumeattachments
        create core serviceaccounts/token
        get,update,patch core persistentvolumeclaims/status
        read storage.k8s.io csidrivers
        get,create,update,patch,delete storage.k8s.io csinodes
        read node.k8s.io runtimeclasses
        get resource.k8s.io resourceclaims
        deletecollection resource.k8s.io resourceslices
        get core serviceaccounts
    """,
    "system:node-problem-detector": """
        get core nodes
        patch core nodes/status
        events
    """,
    "system:node-bootstrapper": """
        create,get,list,watch certificates.k8s.io certificatesigningrequests
    """,
    "system:node-proxier": """
        list,watch core services,endpoints
        read core nodes
        events
        list,watch networking.k8s.io servicecidrs
        list,watch discovery.k8s.io endpointslices
    """,
    "system:auth-delegator": """
        create authentication.k8s.io tokenreviews
        create authorization.k8s.io subjectaccessreviews
    """,
    "system:kube-aggregator": """
        read core services,endpoints
    """,
    "system:heapster": """
        read core events,pods,nodes,namespaces
        read extensions deployments
    """,
    "system:kube-dns": """
        list,watch core endpoints,services
    """,
    "system:kubelet-api-admin": """
        read core nodes
        proxy core nodes
        * core nodes/proxy,nodes/metrics,nodes/stats,nodes/log
        * core nodes/pods,nodes/healthz,nodes/configz
    """,
    "system:persistent-volume-provisioner": """
        get,list,watch,create,delete core persistentvolumes
        get,list,watch,update core persistentvolumeclaims
        read storage.k8s.io storageclasses
        watch core events
        events
    """,
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": """
        create certificates.k8s.io certificatesigningrequests/nodeclient
    """,
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": """
        create certificates.k8s.io certificatesigningrequests/selfnodeclient
    """,
    "system:certificates.k8s.io:legacy-unknown-approver": """
        approve certificates.k8s.io signers kubernetes.io/legacy-unknown
    """,
    "system:certificates.k8s.io:kubelet-serving-approver": """
        approve certificates.k8s.io signers kubernetes.io/kubelet-serving
    """,
    "system:certificates.k8s.io:kube-apiserver-client-approver": """
        approve certificates.k8s.io signers kubernetes.io/kube-apiserver-client
    """,
    "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver": """
        approve certificates.k8s.io signers kubernetes.io/kube-apiserver-client-kubelet
    """,
    "system:volume-scheduler": """
        readupdate core persistentvolumes
        read storage.k8s.io storageclasses
        readupdate core persistentvolumeclaims
    """,
    "system:kube-scheduler": """
        events
        create coordination.k8s.io leases
        get,update,list,watch coordination.k8s.io leases kube-scheduler
        readwrite coordination.k8s.io leasecandidates
        read core nodes
        get,list,watch,delete core pods
        create core pods/binding,bindings
        patch,update core pods/status
        read core services,replicationcontrollers
        read apps,extensions replicasets
        read apps statefulsets
        read policy poddisruptionbudgets
        read core persistentvolumeclaims,persistentvolumes
        create authentication.k8s.io tokenreviews
        create authorization.k8s.io subjectaccessreviews
        read storage.k8s.io csinodes
        read storage.k8s.io volumeattachments
        read core namespaces
        read storage.k8s.io csidrivers
        read storage.k8s.io csistoragecapacities
        read resource.k8s.io deviceclasses
        readupdate resource.k8s.io resourceclaims
        readupdate resource.k8s.io resourceclaims/status
        update core pods/finalizers
        read resource.k8s.io resourceslices
        create,delete resource.k8s.io resourceclaims
        read resource.k8s.io devicetaintrules
        update,patch resource.k8s.io resourceclaims/binding
    """,
    "system:kube-controller-manager": """
        events
        create coordination.k8s.io leases
        get,update coordination.k8s.io leases kube-controller-manager
        create core secrets,serviceaccounts
        delete core secrets
        get core namespaces,secrets,serviceaccounts,configmaps
        update core secrets,serviceaccounts
        create authentication.k8s.io tokenreviews
        create authorization.k8s.io subjectaccessreviews
        list,watch * *
        create core serviceaccounts/token
    """,
    "springtide:controllers": """
        readwrite * *
        get url *
        escalate rbac.authorization.k8s.io clusterroles
    """,
    "springtide:node": """
        events
        create,get,list,watch,update,patch core nodes,nodes/status
        get,list,watch,update,patch,delete core pods
        update,patch core pods/status
        get core configmaps,secrets,persistentvolumeclaims,persistentvolumes
        create core serviceaccounts/token
        read core services,endpoints,namespaces
        read discovery.k8s.io endpointslices
        create authentication.k8s.io tokenreviews
        create authorization.k8s.io subjectaccessreviews
        get,create,update,patch,delete coordination.k8s.io leases
        read springtide.dev nodehealths
        create,patch springtide.dev nodehealths
        update,patch springtide.dev nodehealths/status
        get kueue.x-k8s.io workloads
    """,
    "springtide:collect": """
        events
        read core pods
        read springtide.dev nodehealths
        create,patch springtide.dev nodehealths
        update,patch springtide.dev nodehealths/status
    """,
    "springtide:scheduler": """
        events
        read core nodes,namespaces,pods
        delete core pods
        create core pods/binding
        update,patch core pods/status
        read policy poddisruptionbudgets
        read core persistentvolumes
        readupdate core persistentvolumeclaims
        read storage.k8s.io storageclasses,csinodes
        read scheduling.k8s.io priorityclasses
        readupdate kueue.x-k8s.io *
        readupdate scheduling.volcano.sh queues,queues/status
        readupdate topology.volcano.sh hypernodes,hypernodes/status
        read metrics.k8s.io pods
        read springtide.dev schedulerconfigurations,nodehealths
        update,patch springtide.dev schedulerconfigurations/status
        readwrite coordination.k8s.io leases
        read apiextensions.k8s.io customresourcedefinitions
    """,
}

_AGGREGATES = {
    "system:aggregate-to-admin": (
        "admin",
        """
        create authorization.k8s.io localsubjectaccessreviews
        readwrite rbac.authorization.k8s.io roles,rolebindings
        """,
    ),
    "system:aggregate-to-edit": (
        "edit",
        """
        read core pods/attach,pods/proxy,pods/exec,pods/portforward,secrets,services/proxy
        impersonate core serviceaccounts
        write core pods,pods/attach,pods/proxy,pods/exec,pods/portforward
        create core pods/eviction
        write core replicationcontrollers,replicationcontrollers/scale,serviceaccounts
        write core services,services/proxy,persistentvolumeclaims,configmaps,secrets
        create core serviceaccounts/token
        write core,events.k8s.io events
        write apps statefulsets,statefulsets/scale,daemonsets
        write apps deployments,deployments/scale,deployments/rollback,replicasets,replicasets/scale
        write autoscaling horizontalpodautoscalers
        write batch jobs,cronjobs
        write extensions daemonsets,deployments,deployments/scale,deployments/rollback,ingresses
        write extensions replicasets,replicasets/scale,replicationcontrollers/scale,networkpolicies
        write policy poddisruptionbudgets
        write networking.k8s.io networkpolicies,ingresses
        readwrite coordination.k8s.io leases
        write resource.k8s.io resourceclaims,resourceclaimtemplates
        """,
    ),
    "system:aggregate-to-view": (
        "view",
        """
        read core pods,replicationcontrollers,replicationcontrollers/scale,serviceaccounts
        read core services,services/status,endpoints,persistentvolumeclaims,persistentvolumeclaims/status
        read core configmaps,limitranges,resourcequotas,bindings,pods/status,resourcequotas/status
        read core namespaces/status,replicationcontrollers/status,pods/log
        read core namespaces
        read core,events.k8s.io events
        read discovery.k8s.io endpointslices
        read apps controllerrevisions,statefulsets,statefulsets/status,statefulsets/scale
        read apps daemonsets,daemonsets/status,deployments,deployments/status,deployments/scale
        read apps replicasets,replicasets/status,replicasets/scale
        read autoscaling horizontalpodautoscalers,horizontalpodautoscalers/status
        read batch jobs,cronjobs,cronjobs/status,jobs/status
        read extensions daemonsets,daemonsets/status,deployments,deployments/scale,deployments/status
        read extensions ingresses,ingresses/status,replicasets,replicasets/scale,replicasets/status
        read extensions replicationcontrollers/scale,networkpolicies
        read policy poddisruptionbudgets,poddisruptionbudgets/status
        read networking.k8s.io networkpolicies,ingresses,ingresses/status
        read resource.k8s.io resourceclaims,resourceclaims/status,resourceclaimtemplates
        """,
    ),
    "springtide:aggregate-to-edit": (
        "edit",
        """
        write trainer.kubeflow.org trainjobs,trainingruntimes
        write kueue.x-k8s.io workloads
        write batch.volcano.sh jobs
        write scheduling.volcano.sh podgroups
        """,
    ),
    "springtide:aggregate-to-view": (
        "view",
        """
        read trainer.kubeflow.org trainjobs,trainjobs/status,trainingruntimes
        read kueue.x-k8s.io workloads,workloads/status,localqueues,localqueues/status
        read batch.volcano.sh jobs,jobs/status
        read scheduling.volcano.sh podgroups,podgroups/status,queues,queues/status
        read springtide.dev diagnoses,diagnoses/status
        """,
    ),
}

_CLUSTER_BINDINGS = {
    "cluster-admin": ("Group system:masters",),
    "system:monitoring": ("Group system:monitoring",),
    "system:discovery": ("Group system:authenticated",),
    "system:basic-user": ("Group system:authenticated",),
    "system:public-info-viewer": ("Group system:authenticated", "Group system:unauthenticated"),
    "system:node-proxier": ("User system:kube-proxy",),
    "system:kube-controller-manager": ("User system:kube-controller-manager",),
    "system:kube-dns": ("ServiceAccount kube-system/kube-dns",),
    "system:kube-scheduler": ("User system:kube-scheduler",),
    "system:volume-scheduler": ("User system:kube-scheduler",),
    "system:node": (),
    "system:service-account-issuer-discovery": ("Group system:serviceaccounts",),
    "springtide:collect": ("Group springtide:collectors",),
    "springtide:controllers": ("Group springtide:controllers",),
    "springtide:node": ("Group springtide:nodes",),
    "springtide:scheduler": ("Group springtide:schedulers",),
}

_LEADER = "get,watch,list,create,update coordination.k8s.io leases,leasecandidates"
_ROLES = {
    ("kube-system", "extension-apiserver-authentication-reader"): (
        "read core configmaps extension-apiserver-authentication"
    ),
    ("kube-system", "system:controller:bootstrap-signer"): "read core secrets",
    ("kube-system", "system:controller:cloud-provider"): "create,get,list,watch core configmaps",
    ("kube-system", "system:controller:token-cleaner"): "get,list,watch,delete core secrets\nevents",
    ("kube-system", "system::leader-locking-kube-controller-manager"): _LEADER,
    ("kube-system", "system::leader-locking-kube-scheduler"): _LEADER,
    ("kube-public", "system:controller:bootstrap-signer"): (
        "read core configmaps\nupdate core configmaps cluster-info\nevents"
    ),
}
_BINDINGS = {
    ("kube-system", "system::extension-apiserver-authentication-reader"): (
        "extension-apiserver-authentication-reader",
        ("User system:kube-controller-manager", "User system:kube-scheduler"),
    ),
    ("kube-system", "system::leader-locking-kube-controller-manager"): (
        "system::leader-locking-kube-controller-manager",
        (
            "User system:kube-controller-manager",
            "ServiceAccount kube-system/kube-controller-manager",
            "ServiceAccount kube-system/leader-election-controller",
        ),
    ),
    ("kube-system", "system::leader-locking-kube-scheduler"): (
        "system::leader-locking-kube-scheduler",
        ("User system:kube-scheduler", "ServiceAccount kube-system/kube-scheduler"),
    ),
    **{
        (namespace, f"system:controller:{name}"): (
            f"system:controller:{name}",
            (f"ServiceAccount kube-system/{name}",),
        )
        for namespace, name in (
            ("kube-system", "bootstrap-signer"),
            ("kube-system", "cloud-provider"),
            ("kube-system", "token-cleaner"),
            ("kube-public", "bootstrap-signer"),
        )
    },
}


def node_rules() -> list[Json]:
    """What every node may do, within the limits of `authorize_node`."""
    return _rules(_CLUSTER_ROLES["system:node"])


def default_objects() -> Iterator[tuple[str, Json]]:
    """Every object with the plural it is served under."""
    collected: dict[str, list[Json]] = {"view": [], "edit": [], "admin": []}
    for role, (into, text) in _AGGREGATES.items():
        rules = _rules(text)
        collected[into] += rules
        yield "clusterroles", _role("ClusterRole", role, rules, labels={f"{_AGGREGATE}{into}": "true"})
    collected["edit"] += collected["view"]
    collected["admin"] += collected["edit"]
    for role, larger in _AGGREGATED.items():
        labels = {f"{_AGGREGATE}{larger}": "true"} if larger else {}
        obj = _role("ClusterRole", role, collected[role], labels=labels)
        selector = {"matchLabels": {f"{_AGGREGATE}{role}": "true"}}
        yield "clusterroles", {**obj, "aggregationRule": {"clusterRoleSelectors": [selector]}}
    for role, text in _CLUSTER_ROLES.items():
        yield "clusterroles", _role("ClusterRole", role, _rules(text))
    for name, subjects in _CLUSTER_BINDINGS.items():
        yield "clusterrolebindings", _binding("ClusterRoleBinding", name, "ClusterRole", name, subjects)
    for controller, text in CONTROLLERS.items():
        name, subjects = f"system:controller:{controller}", (f"ServiceAccount kube-system/{controller}",)
        yield "clusterroles", _role("ClusterRole", name, _rules(text))
        yield "clusterrolebindings", _binding("ClusterRoleBinding", name, "ClusterRole", name, subjects)
    for (namespace, name), text in _ROLES.items():
        yield "roles", _role("Role", name, _rules(text), namespace=namespace)
    for (namespace, name), (role, subjects) in _BINDINGS.items():
        yield "rolebindings", _binding("RoleBinding", name, "Role", role, subjects, namespace=namespace)


def _rules(text: str) -> list[Json]:
    lines = (line.strip() for line in text.splitlines())
    return [_rule(_EVENTS if line == "events" else line) for line in lines if line]


def _rule(line: str) -> Json:
    verbs, groups, *rest = line.split()
    rule: Json = {"verbs": _VERBS.get(verbs, verbs).split(",")}
    if groups == "url":
        return {**rule, "nonResourceURLs": rest[0].split(",")}
    rule["apiGroups"] = ["" if group == "core" else group for group in groups.split(",")]
    rule["resources"] = rest[0].split(",")
    if len(rest) > 1:
        rule["resourceNames"] = rest[1].split(",")
    return rule


def _head(kind: str, name: str, namespace: str, labels: dict[str, str]) -> Json:
    metadata: Json = {"name": name, "labels": {**_LABELS, **labels}, "annotations": dict(_ANNOTATIONS)}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": f"{_API_GROUP}/v1", "kind": kind, "metadata": metadata}


def _role(
    kind: str, name: str, rules: list[Json], *, namespace: str = "", labels: dict[str, str] | None = None
) -> Json:
    return {**_head(kind, name, namespace, labels or {}), "rules": rules}


def _binding(
    kind: str, name: str, role_kind: str, role: str, subjects: tuple[str, ...], *, namespace: str = ""
) -> Json:
    obj: Json = _head(kind, name, namespace, {})
    if subjects:
        obj["subjects"] = [_subject(one) for one in subjects]
    return {**obj, "roleRef": {"apiGroup": _API_GROUP, "kind": role_kind, "name": role}}


def _subject(text: str) -> Json:
    kind, name = text.split()
    if kind != "ServiceAccount":
        return {"kind": kind, "apiGroup": _API_GROUP, "name": name}
    namespace, account = name.split("/")
    return {"kind": kind, "name": account, "namespace": namespace}
