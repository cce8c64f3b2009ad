"""Good objects of the kinds with the most rules, for the fuzzer to start from. Called by `fuzz_requests`."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_CONTAINER: Json = {
    "name": "main",
    "image": "x:1",
    "command": ["sleep", "1"],
    "env": [
        {"name": "A", "value": "b"},
        {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ],
    "ports": [{"containerPort": 80, "name": "http"}],
    "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m"}},
    "volumeMounts": [{"name": "v", "mountPath": "/v"}],
    "readinessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 5},
}
_SPEC: Json = {
    "containers": [_CONTAINER],
    "initContainers": [{"name": "first", "image": "x"}],
    "volumes": [{"name": "v", "emptyDir": {}}, {"name": "c", "configMap": {"name": "a"}}],
    "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}]
            }
        }
    },
    "topologySpreadConstraints": [
        {
            "maxSkew": 1,
            "topologyKey": "zone",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"a": "b"}},
        }
    ],
}
_TEMPLATE: Json = {"metadata": {"labels": {"a": "b"}}, "spec": _SPEC}
_JOB_TEMPLATE: Json = {"spec": {"containers": [{"name": "main", "image": "x"}], "restartPolicy": "Never"}}
_SELECTOR: Json = {"matchLabels": {"a": "b"}}
_CRD: Json = {
    "spec": {
        "group": "fuzz.dev",
        "scope": "Namespaced",
        "names": {"plural": "things", "singular": "thing", "kind": "Thing", "categories": ["all"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
                },
                "additionalPrinterColumns": [{"name": "T", "type": "string", "jsonPath": ".spec.text"}],
                "selectableFields": [{"jsonPath": ".spec.text"}],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "x-kubernetes-validations": [
                                    {"rule": "self.replicas < 100 || self.text.matches('^[a-z]*$')"},
                                    {
                                        "rule": "!has(self.set) || self.set.all(x, size(x) < 9)",
                                        "message": "long",
                                    },
                                    {"rule": "self.replicas >= oldSelf.replicas - 50"},
                                ],
                                "properties": {
                                    "replicas": {"type": "integer", "default": 1, "minimum": 0},
                                    "text": {
                                        "type": "string",
                                        "maxLength": 50,
                                        "pattern": "^[a-z]",
                                        "default": "a",
                                    },
                                    "set": {
                                        "type": "array",
                                        "maxItems": 20,
                                        "items": {"type": "string", "maxLength": 10},
                                        "x-kubernetes-list-type": "set",
                                    },
                                    "map": {
                                        "type": "array",
                                        "maxItems": 20,
                                        "x-kubernetes-list-type": "map",
                                        "x-kubernetes-list-map-keys": ["name"],
                                        "items": {
                                            "type": "object",
                                            "required": ["name"],
                                            "properties": {
                                                "name": {"type": "string"},
                                                "port": {"x-kubernetes-int-or-string": True},
                                            },
                                        },
                                    },
                                    "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                                    "maybe": {"type": "string", "nullable": True},
                                },
                            },
                            "status": {"type": "object", "properties": {"replicas": {"type": "integer"}}},
                        },
                    }
                },
            }
        ],
    }
}
THING: Json = {
    "spec": {
        "replicas": 2,
        "text": "a",
        "set": ["a", "b"],
        "map": [{"name": "x", "port": 80}, {"name": "y", "port": "http"}],
        "any": {"a": {"b": [1]}},
        "maybe": None,
    }
}

SEEDS: dict[str, Json] = {
    "Pod": {"spec": _SPEC},
    "ConfigMap": {"data": {"a": "b"}, "binaryData": {"c": "ZA=="}},
    "Secret": {"type": "Opaque", "data": {"a": "ZA=="}, "stringData": {"b": "c"}},
    "Service": {
        "spec": {"selector": {"a": "b"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}
    },
    "Deployment": {"spec": {"replicas": 1, "selector": _SELECTOR, "template": _TEMPLATE}},
    "ReplicaSet": {"spec": {"replicas": 1, "selector": _SELECTOR, "template": _TEMPLATE}},
    "DaemonSet": {"spec": {"selector": _SELECTOR, "template": _TEMPLATE}},
    "StatefulSet": {"spec": {"serviceName": "a", "selector": _SELECTOR, "template": _TEMPLATE}},
    "Job": {
        "spec": {"template": _JOB_TEMPLATE, "completions": 2, "completionMode": "Indexed", "parallelism": 1}
    },
    "CronJob": {"spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": {"template": _JOB_TEMPLATE}}}},
    "PodDisruptionBudget": {"spec": {"minAvailable": 1, "selector": _SELECTOR}},
    "Role": {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
    "ClusterRole": {"rules": [{"nonResourceURLs": ["/x"], "verbs": ["get"]}]},
    "RoleBinding": {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "a"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}],
    },
    "ResourceQuota": {"spec": {"hard": {"requests.cpu": "1000", "count/pods": "10k"}}},
    "LimitRange": {"spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}, "max": {"cpu": "2"}}]}},
    "PriorityClass": {"value": 5},
    "Lease": {"spec": {"holderIdentity": "me", "leaseDurationSeconds": 5}},
    "Event": {"involvedObject": {"kind": "Pod", "name": "a"}, "reason": "Started", "type": "Normal"},
    "Node": {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}},
    "NetworkPolicy": {"spec": {"podSelector": _SELECTOR, "ingress": [{"ports": [{"port": 80}]}]}},
    "SubjectAccessReview": {
        "spec": {"user": "bob", "resourceAttributes": {"verb": "get", "resource": "pods"}}
    },
    "TokenReview": {"spec": {"token": "x"}},
    "CustomResourceDefinition": _CRD,
    "Thing": THING,
    "Binding": {"target": {"kind": "Node", "name": "a"}},
    "Eviction": {"deleteOptions": {"gracePeriodSeconds": 0}},
    "Scale": {"spec": {"replicas": 3}},
    "TokenRequest": {"spec": {"audiences": [], "expirationSeconds": 3600}},
}
