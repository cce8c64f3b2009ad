"""Requests made to cost as much as possible: each name is a list of requests. Called by `hostile`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from tests.endurance.fuzz_wire import Sent

Json = dict[str, Any]

NS = "/api/v1/namespaces/hostile"
CONFIGMAPS = f"{NS}/configmaps"
PODS = f"{NS}/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/hostile/deployments"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
LIMIT = 3 * 1024 * 1024 - 4096
JSON = "application/json"
YAML = "application/yaml"
APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


def send(method: str, path: str, body: Any = b"", media_type: str = JSON, **query: str) -> Sent:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    full = path + ("?" + "&".join(f"{key}={quote(value)}" for key, value in query.items()) if query else "")
    return Sent(method.encode(), full.encode(), data, ((b"content-type", media_type.encode()),))


def _configmap(name: str, **more: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **more.pop("meta", {})},
        **more,
    }


def _pod(name: str, **spec: Any) -> Json:
    containers = spec.pop("containers", [{"name": "main", "image": "x"}])
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": containers, **spec},
    }


def deep() -> list[Sent]:
    many = 100_000
    bodies = [
        b"[" * LIMIT,
        b'{"metadata":' * many + b"{}" + b"}" * many,
        b'{"metadata":{"name":"d"},"data":' + b"[" * many + b"]" * many + b"}",
        b'{"metadata":{"name":"d"},"x":' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}",
        b'{"metadata":{"name":"d"},"x":' + b"[" * 1500 + b"]" * 1500 + b"}",
    ]
    found = [send("POST", path, body) for body in bodies for path in (CONFIGMAPS, PODS, CRDS)]
    found += [
        send("PATCH", f"{CONFIGMAPS}/deep", body, kind) for body in bodies for kind in (MERGE, STRATEGIC)
    ]
    found += [
        send("PATCH", f"{CONFIGMAPS}/deep", body, APPLY, fieldManager="f", force="true") for body in bodies
    ]
    return found + [send("DELETE", f"{CONFIGMAPS}/deep", body) for body in bodies]


def wide() -> list[Sent]:
    many = {f"field{number}": number for number in range(120_000)}
    twice = b'{"metadata":{"name":"w"},' + b",".join(b'"a":1' for _ in range(400_000)) + b"}"
    short = {f"k{number}": "" for number in range(59_000)}
    return [
        send("POST", CONFIGMAPS, {**_configmap("w1"), **many}),
        send("POST", CONFIGMAPS, {**_configmap("w1"), **many}, fieldValidation="Strict"),
        send("POST", CONFIGMAPS, twice),
        send("POST", CONFIGMAPS, twice, fieldValidation="Strict"),
        send("POST", CONFIGMAPS, _configmap("w2", data=short)),
        send("POST", CONFIGMAPS, _configmap("w3", meta={"labels": short})),
        send("POST", CONFIGMAPS, _configmap("w4", meta={"annotations": short})),
        send("POST", PODS, _pod("w5", nodeSelector=short)),
        send("POST", CONFIGMAPS, _configmap("w6", data={"a": "é" * 700_000})),
        send("POST", CONFIGMAPS, _configmap("w7", data={"a": 7, **dict.fromkeys(short, 7)})),
    ]


def long_lists() -> list[Sent]:
    """Lists in which items must differ: a comparison of each with each would take for ever."""
    names = [f"example.dev/{number}" for number in range(59_000)]
    env = [{"name": f"A{number}"} for number in range(28_000)]
    owners = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": f"u{number}"}
        for number in range(11_000)
    ]
    containers = [{"name": f"c{number}", "image": "x"} for number in range(18_000)]
    ports = [{"containerPort": number % 65_535 + 1, "name": f"p{number}"} for number in range(14_000)]
    volumes = [{"name": f"v{number}", "emptyDir": {}} for number in range(14_000)]
    mounts = [{"name": "v", "mountPath": f"/{number}"} for number in range(14_000)]
    tolerations = [{"key": f"k{number}", "operator": "Exists"} for number in range(14_000)]
    terms = [
        {"matchExpressions": [{"key": "k", "operator": "In", "values": [str(number)]}]}
        for number in range(7_000)
    ]
    rules = [{"apiGroups": [""], "resources": [f"r{number}"], "verbs": ["get"]} for number in range(8_000)]
    service = {"ports": [{"name": f"p{number}", "port": number % 65_535 + 1} for number in range(14_000)]}
    return [
        send("POST", CONFIGMAPS, _configmap("l1", meta={"finalizers": names})),
        send("POST", CONFIGMAPS, _configmap("l2", meta={"finalizers": names[:1] * 59_000})),
        send("POST", CONFIGMAPS, _configmap("l3", meta={"ownerReferences": owners})),
        send("POST", PODS, _pod("l4", containers=containers)),
        send("POST", PODS, _pod("l5", containers=[{"name": "a", "image": "x", "env": env}])),
        send("POST", PODS, _pod("l6", containers=[{"name": "a", "image": "x", "ports": ports}])),
        send("POST", PODS, _pod("l7", volumes=volumes)),
        send("POST", PODS, _pod("l8", containers=[{"name": "a", "image": "x", "volumeMounts": mounts}])),
        send("POST", PODS, _pod("l9", tolerations=tolerations)),
        send(
            "POST",
            PODS,
            _pod(
                "l10",
                affinity={
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}
                    }
                },
            ),
        ),
        send(
            "POST",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles",
            {"metadata": {"name": "l"}, "rules": rules},
        ),
        send("POST", f"{NS}/services", {"metadata": {"name": "l"}, "spec": service}),
    ]


def patches() -> list[Sent]:
    env = [{"name": f"A{number}", "value": "x"} for number in range(14_000)]
    base = f"{DEPLOYMENTS}/big"
    template = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "main", "image": "x", "env": env}]},
    }
    deployment = {
        "metadata": {"name": "big"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    }
    merge = {"spec": {"template": {"spec": {"containers": [{"name": "main", "env": env}]}}}}
    order = {
        "spec": {
            "template": {
                "spec": {
                    "$setElementOrder/containers": [{"name": "main"}],
                    "containers": [{"name": "main", "$setElementOrder/env": env[::-1], "env": env}],
                }
            }
        }
    }
    double = [{"op": "add", "path": "/data/x", "value": "a" * 1000}]
    double += [{"op": "copy", "from": "/data", "path": f"/data/x{number}"} for number in range(40)]
    swing = [
        {"op": "move", "from": f"/data/{a}", "path": f"/data/{b}"} for a, b in (("a", "b"), ("b", "a"))
    ] * 4_900
    into_itself = [{"op": "move", "from": "/data", "path": "/data/x"}]
    pointer = [{"op": "test", "path": "/a" * 1_000_000, "value": 1}]
    slashes = [{"op": "replace", "path": "/" * 1_000_000, "value": 1}]
    tests = [{"op": "test", "path": "/data", "value": {"a": "b"}}] * 9_999
    env_path = "/spec/template/spec/containers/0/env"
    inserts = [{"op": "add", "path": f"{env_path}/0", "value": {"name": "B"}}] * 9_999
    removes = [{"op": "remove", "path": f"{env_path}/0"}] * 9_999
    big_test = [{"op": "test", "path": env_path, "value": env}]
    finalizers = {"metadata": {"finalizers": [f"example.dev/{number}" for number in range(55_000)]}}
    directive = {
        "metadata": {
            "$deleteFromPrimitiveList/finalizers": [str(n) for n in range(59_000)],
            **finalizers["metadata"],
        }
    }
    small = f"{CONFIGMAPS}/small"
    return [
        send("POST", DEPLOYMENTS, deployment),
        send("POST", CONFIGMAPS, _configmap("small", data={"a": "b"})),
        send("PATCH", base, merge, STRATEGIC),
        send("PATCH", base, order, STRATEGIC),
        send("PATCH", base, inserts, JSON_PATCH),
        send("PATCH", base, removes, JSON_PATCH),
        send("PATCH", base, big_test, JSON_PATCH),
        send("PATCH", base, big_test + [{"op": "test", "path": env_path, "value": []}] * 9_990, JSON_PATCH),
        send("PATCH", base, [{"op": "copy", "from": env_path, "path": "/spec/x"}] * 9_990, JSON_PATCH),
        *(
            send("PATCH", small, one, JSON_PATCH)
            for one in (double, swing, into_itself, pointer, slashes, tests)
        ),
        send("PATCH", small, finalizers, STRATEGIC),
        send("PATCH", small, finalizers, MERGE),
        send("PATCH", small, directive, STRATEGIC),
        send(
            "PATCH",
            base,
            {"apiVersion": "apps/v1", "kind": "Deployment", **deployment},
            APPLY,
            fieldManager="a",
            force="true",
        ),
        send(
            "PATCH",
            base,
            {"apiVersion": "apps/v1", "kind": "Deployment", **deployment},
            APPLY,
            fieldManager="b",
        ),
        send(
            "PATCH",
            small,
            _configmap("small", data={f"k{n}": "v" for n in range(60_000)}),
            APPLY,
            fieldManager="c",
        ),
        *(
            send("PATCH", small, _configmap("small", data={f"k{n}": "v"}), APPLY, fieldManager=f"m{n}")
            for n in range(300)
        ),
        send("DELETE", base),
        send("DELETE", small),
    ]


def yaml() -> list[Sent]:
    laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
    )
    merges = "a0: &a0 {x: y}\n" + "".join(
        f"a{n}: &a{n} {{<<: [{','.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 8)
    )
    head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: y}\n"
    bodies = [
        head + laughs,
        head + "data:\n" + "".join(f"  {line}\n" for line in laughs.splitlines()),
        head + merges,
        head + "data: &a {a: *a}\n",
        head + "data: &a [*a]\n",
        head + "data: " + "[" * 100_000,
        head + "data: {a: " + "9" * 10_000 + "}\n",
        head + "data: {a: 0x" + "f" * 1_000_000 + "}\n",
        head + "data: {a: 1" + ":59" * 300_000 + "}\n",
        head + "data: {a: 1" + ":59" * 300_000 + ".5}\n",
        head + "data: {a: .nan, b: .inf, c: !!binary aGFsbG8=, 1: 2, ~: x, true: y}\n",
        head + "data: !!set {a, b}\n",
        head + "data: !!omap [a: b]\n",
        head + "data: !!python/object/apply:os.system [ls]\n",
        head + "data: {a: 2001-13-99, b: 2001-01-01, c: 0b2, d: 0o9, e: 08, f: 1_000}\n",
        head + "data: {? [a, b] : c}\n",
        head + "data: {? {a: b} : c}\n",
        head + "data:\n" + "".join(f"  k{n}: v\n" for n in range(150_000)),
        head + "data: {a: '" + "\\n" * 100_000 + "'}\n",
        "--- 1\n--- 2\n",
        "",
        "%YAML 9.9\n---\n" + head,
    ]
    found = []
    for body in bodies:
        data = body.encode()
        found.append(send("POST", CONFIGMAPS, data, YAML))
        found.append(send("PATCH", f"{CONFIGMAPS}/y", data, APPLY, fieldManager="y", force="true"))
    return found


def numbers() -> list[Sent]:
    """Texts that stand for numbers, times, patterns and addresses."""
    found = []
    for odd in (
        "1e999999999",
        "9" * 500_000,
        "1" + "0" * 4400,
        "0." + "1" * 100_000,
        "1E-99999999",
        "-1",
        "١",
    ):
        resources = {"limits": {"cpu": odd, "memory": odd}}
        container = {"name": "a", "image": "x", "resources": resources}
        found.append(send("POST", PODS, _pod("n1", containers=[container])))
        quota = {"metadata": {"name": "n"}, "spec": {"hard": {"requests.cpu": odd}}}
        found.append(send("POST", f"{NS}/resourcequotas", quota, dryRun="All"))
    for odd in (
        "*/0 * * * *",
        "* " * 100_000,
        ",".join(["1"] * 200_000) + " * * * *",
        "@every 1ns",
        "0-59/1" * 9,
    ):
        job = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "x"}]}}}
        cron = {"metadata": {"name": "n"}, "spec": {"schedule": odd, "jobTemplate": {"spec": job}}}
        found.append(send("POST", "/apis/batch/v1/namespaces/hostile/cronjobs", cron))
    for number in (10**30, -(10**30), 1e300, 2**63, 2**31):
        found.append(send("POST", PODS, _pod("n2", priority=number, terminationGracePeriodSeconds=number)))
        found.append(send("DELETE", f"{PODS}/n2", {"gracePeriodSeconds": number}))
        for part in ("limit", "timeoutSeconds", "resourceVersion", "watch", "gracePeriodSeconds"):
            found.append(send("GET", PODS, **{part: str(number)}))
            found.append(send("DELETE", f"{PODS}/nobody", **{part: str(number)}))
    raw = b'{"metadata":{"name":"n"},"data":{"a":%s}}'
    found += [
        send("POST", CONFIGMAPS, raw % one)
        for one in (b"NaN", b"1e99999", b"-0", b"9" * 100_000, b"1." + b"0" * 9999)
    ]
    return found


def selectors() -> list[Sent]:
    long = ",".join(f"v{number}" for number in range(6_000))
    found = [
        send("GET", PODS, labelSelector=f"a in ({long})"),
        send("GET", PODS, labelSelector=",".join(f"k{number}!=v" for number in range(4_000))),
        send("GET", PODS, labelSelector="(" * 20_000),
        send("GET", PODS, labelSelector="a in (" * 5_000),
        send("GET", PODS, labelSelector="!" * 20_000 + "a"),
        send("GET", PODS, fieldSelector=",".join(["metadata.name=x"] * 2_000)),
        send("GET", PODS, fieldSelector="metadata.name=" + "\\," * 10_000),
        send("GET", PODS, fieldSelector="=" * 20_000),
        send("GET", PODS, labelSelector="a" * 400_000),
        *(send("GET", PODS, **{"continue": one}) for one in ("x" * 30_000, "eyJ9", "AAAA", "%00", "é")),
    ]
    spec = {
        "selector": {"matchExpressions": [{"key": "a", "operator": "In", "values": long.split(",")}] * 40}
    }
    template = {"metadata": {"labels": {"a": "v1"}}, "spec": {"containers": [{"name": "a", "image": "x"}]}}
    found.append(
        send("POST", DEPLOYMENTS, {"metadata": {"name": "s"}, "spec": {**spec, "template": template}})
    )
    return found


def big_heads() -> list[Sent]:
    accept = b",".join(b"application/json;as=Table;g=meta.k8s.io;v=v%d" % n for n in range(1000))
    target = PODS.encode()
    groups = tuple((b"impersonate-group", b"g%d" % number) for number in range(1500))
    odd_headers: list[tuple[tuple[bytes, bytes], ...]] = [
        ((b"accept", accept),),
        ((b"accept", b"a/b;" * 10_000),),
        ((b"accept-encoding", b"gzip;q=0," * 5_000),),
        ((b"impersonate-user", b"x" * 30_000),),
        ((b"impersonate-user", b"bob"), *groups),
        ((b"impersonate-extra-%F0%28%8C%28", b"x"), (b"impersonate-user", b"bob")),
        ((b"impersonate-uid", b"x"),),
        ((b"authorization", b"Bearer " + b"." * 30_000),),
        ((b"authorization", b"Bearer a.b.c"),),
        ((b"authorization", b"Bearer \xff\xfe"),),
        ((b"authorization", b"Basic Zm9vOmJhcg=="),),
        ((b"x-big", b"y" * 60_000),),
        ((b"user-agent", b"\xff" * 5_000),),
        ((b"if-none-match", b"*"), (b"if-match", b'"' * 100)),
        ((b"content-type", b"\xff\xfe"), (b"accept", b"\xff")),
    ]
    found = [Sent(b"GET", target, b"", headers) for headers in odd_headers]
    paths = [b"/" + b"a" * 60_000, b"/api/v1" + b"/x" * 20_000, b"/api/v1/namespaces/%2e%2e/%2e%2e/pods"]
    paths += [
        b"/api/v1/namespaces/%00/pods/%00",
        b"/api/v1/namespaces/\xff\xfe/pods",
        b"/api/v1/namespaces/%ff/pods",
    ]
    paths += [
        b"//api//v1//pods",
        b"/api/v1/../../etc/passwd",
        b"/api/v1/namespaces/hostile/pods/a%2fb",
        b"/%",
        b"/?",
    ]
    paths += [
        b"/api/v1/pods?%ff=%fe&limit=%",
        b"/api/v1/pods?" + b"a&" * 25_000,
        b"/api/v1/pods?labelSelector=%ff",
    ]
    return found + [Sent(b"GET", path) for path in paths]


def protobuf() -> list[Sent]:
    def part(number: int, data: bytes) -> bytes:
        return varint(number << 3 | 2) + varint(len(data)) + data

    def varint(value: int) -> bytes:
        out = bytearray()
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes([*out, value])

    def unknown(raw: bytes, kind: bytes = b"ConfigMap", version: bytes = b"v1") -> bytes:
        return b"k8s\x00" + part(1, part(1, version) + part(2, kind)) + part(2, raw)

    nested = b""
    for _ in range(400):
        nested = part(1, nested)
    meta = part(1, part(1, b"p"))
    bodies = [
        b"k8s\x00",
        b"k8s\x00" + b"\xff" * 1000,
        unknown(nested),
        unknown(meta + part(2, part(1, b"a") + part(2, b"b")) * 100_000),
        unknown(meta + b"".join(part(2, part(1, b"%d" % n)) for n in range(100_000))),
        unknown(meta * 100_000),
        unknown(part(1, part(8, b"\x08" + b"\xff" * 9 + b"\x01"))),
        unknown(part(1, part(8, b"\x10" + varint(2**31 - 1)))),
        unknown(part(1, part(1, b"\xff\xfe"))),
        unknown(b"\x0a" + varint(2**62)),
        unknown(b"", b"Pod"),
        unknown(part(2, part(2, part(1, b"a")) * 50_000), b"Pod"),
        unknown(b"", b"CustomResourceDefinition", b"apiextensions.k8s.io/v1"),
        unknown(b"", b"Nothing"),
    ]
    kind = "application/vnd.kubernetes.protobuf"
    return [
        send(*where, body, kind)
        for body in bodies
        for where in (("POST", CONFIGMAPS), ("DELETE", f"{PODS}/x"))
    ]


def squeezed() -> list[Sent]:
    """Bodies that would unfold: request bodies are never decompressed, so these are no JSON."""
    import gzip

    bomb = gzip.compress(b" " * 200_000_000, 1)[:LIMIT]
    headers = ((b"content-type", b"application/json"), (b"content-encoding", b"gzip"))
    return [Sent(b"POST", CONFIGMAPS.encode(), bomb, headers)] * 5


def oversized() -> list[Sent]:
    return [send("POST", CONFIGMAPS, b"x" * (LIMIT * times)) for times in (2, 5, 10)]


BODIES: dict[str, Callable[[], list[Sent]]] = {
    "deep bodies": deep,
    "wide bodies": wide,
    "long lists": long_lists,
    "patch bombs": patches,
    "yaml bombs": yaml,
    "odd numbers": numbers,
    "selector bombs": selectors,
    "big heads and odd paths": big_heads,
    "protobuf bombs": protobuf,
    "gzip bombs": squeezed,
    "oversized bodies": oversized,
}
