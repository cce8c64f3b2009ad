"""Random requests, many of them good enough to come far: what `fuzz` sends.

One `Author` writes for one connection, in a namespace of its own that is given up now and then.
"""

from __future__ import annotations

import json
import random
from collections import deque
from typing import Any
from urllib.parse import quote

from tests.endurance import fuzz_protobuf
from tests.endurance.fuzz_rules import Rules
from tests.endurance.fuzz_seeds import SEEDS, THING
from tests.endurance.fuzz_shapes import ODD, TEXTS, Kind, Shapes, damaged, garbled, is_deep
from tests.endurance.fuzz_wire import Answer, Sent

Json = dict[str, Any]

JSON = "application/json"
PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
_MEDIA = [
    *PATCHES,
    JSON,
    "application/yaml",
    "text/plain",
    "",
    "application/json; charset=utf-16",
    fuzz_protobuf.MEDIA_TYPE,
    "*/*",
]
_ACCEPTS = [
    "application/json",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json",
    "application/vnd.kubernetes.protobuf,application/json",
    "application/yaml",
    "*/*",
    "text/html",
    "application/json;as=Nothing;v=v9;g=x",
    ";;;,,,q=x",
]
_QUERY = {
    "labelSelector": ["a=b", "a in (b,c),!d", "a>1", "a==,b", "=", "((", "é", "a notin ()", "!", "a=b,a!=b"],
    "fieldSelector": [
        "metadata.name=a",
        "status.phase=Running",
        "spec.nodeName!=x",
        "metadata.name",
        "=",
        "x=y",
        ",",
    ],
    "limit": ["1", "2", "0", "-1", "999999999999", "x", ""],
    "continue": ["x", "", "eyJ2IjoibWV0YSJ9", "%00", "AAAA"],
    "resourceVersion": ["0", "1", "", "99999999999999999999", "x", "-1", "184467440737095516"],
    "resourceVersionMatch": ["Exact", "NotOlderThan", "x", ""],
    "sendInitialEvents": ["true", "false", "x"],
    "allowWatchBookmarks": ["true", "x"],
    "timeoutSeconds": ["1", "0", "-1", "x", "99999999999999999999"],
    "fieldManager": ["me", "other", "", "é", "x" * 200, "\n"],
    "force": ["true", "false", "x"],
    "dryRun": ["All", "x", "", "All,All"],
    "fieldValidation": ["Strict", "Warn", "Ignore", "x"],
    "propagationPolicy": ["Orphan", "Foreground", "Background", "x"],
    "gracePeriodSeconds": ["0", "30", "-1", "x"],
    "orphanDependents": ["true", "x"],
    "pretty": ["true", "x"],
}
PROTECTED = {"customresourcedefinitions", "namespaces", "nodes"}
"""Kinds of which a collection is not deleted whole."""


class Author:
    """Writes requests."""

    def __init__(self, shapes: Shapes, seed: int, number: int) -> None:
        self._shapes, self._chances, self._number = shapes, random.Random(f"{seed}/{number}"), number
        self._count = 0
        self.namespace = ""
        self._rules: Rules | None = None
        self._live: deque[tuple[Kind, str, Json]] = deque(maxlen=60)
        self._crd = next(kind for kind in shapes.kinds if kind.plural == "customresourcedefinitions")
        self._thing = Kind(
            f"fuzz{number}.dev/v1", "things", "Thing", True, self._crd.verbs, ("status", "scale")
        )

    def opening(self) -> list[Sent]:
        """A namespace and a CRD of its own."""
        self._count += 1
        self._live.clear()
        self.namespace = f"fuzz-{self._number}-{self._count}"
        crd = self._definition()
        return [
            self._send("POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}}),
            self._send("POST", self._crd.collection(""), crd),
            *(self._create(kind) for kind in self._named("ConfigMap", "Pod", "Deployment", "Service")),
            self._send("POST", self._thing.collection(self.namespace), self._good(self._thing, "a")),
        ]

    def closing(self) -> list[Sent]:
        """All that was made is deleted."""
        found = [
            self._send("DELETE", kind.collection(self.namespace))
            for kind in [*self._shapes.kinds, self._thing]
            if kind.namespaced and "deletecollection" in kind.verbs
        ]
        found += [
            self._send("DELETE", f"{kind.collection(self.namespace)}/{name}", {"gracePeriodSeconds": 0})
            for kind, name, _ in self._live
        ]
        return [*found, self._send("DELETE", f"{self._crd.collection('')}/things.fuzz{self._number}.dev")]

    def heard(self, request: Sent, answer: Answer) -> None:
        """Remember what was made, to change it later."""
        if answer.status not in (200, 201) or request.method == b"GET" or len(answer.body) > 100_000:
            return
        try:
            obj = json.loads(answer.body)
            name = obj["metadata"]["name"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return
        if is_deep(obj):
            return
        for kind in [self._thing, *self._shapes.kinds]:
            if kind.kind == obj.get("kind") and kind.group_version == obj.get("apiVersion"):
                self._live.append((kind, name, obj))

    def next(self) -> Sent:
        """Any request at all."""
        chances = self._chances
        request = chances.choices(
            [
                self._any_create,
                self._any_change,
                self._any_read,
                self._any_delete,
                self._nonsense,
                self._change_definition,
                self._any_protobuf,
                self._with_rules,
            ],
            weights=(28, 30, 16, 5, 7, 3, 6, 5),
        )[0]()
        return self._with_odd_headers(request) if chances.random() < 0.1 else request

    # -- kinds of requests -------------------------------------------------------------------------

    def _any_create(self) -> Sent:
        chances = self._chances
        kind = self._thing if chances.random() < 0.15 else chances.choice(self._shapes.kinds)
        return self._create(kind, damage=chances.choice([0, 0, 1, 1, 2, 4]))

    def _create(self, kind: Kind, damage: int = 0) -> Sent:
        name = self._chances.choice(["a", "b", "c", "d", f"x{self._chances.randrange(40)}"])
        if not kind.namespaced:
            name = f"fuzz-{self._number}-{name}"
        body = self._good(kind, name)
        path = kind.collection(self.namespace)
        if kind.subresources and self._chances.random() < 0.1:
            path += f"/a/{self._chances.choice(kind.subresources)}"
            body = {
                **SEEDS.get(self._chances.choice(["Binding", "Eviction", "Scale", "TokenRequest"]), {}),
                **body,
            }
        return self._send("POST", path, damaged(self._chances, body, damage), query=self._query(0.2))

    def _any_change(self) -> Sent:
        chances = self._chances
        if not self._live:
            return self._any_create()
        kind, name, obj = chances.choice(self._live)
        path = f"{kind.collection(self.namespace)}/{name}"
        if chances.random() < 0.2 and kind.subresources:
            path += f"/{chances.choice(kind.subresources)}"
        if chances.random() < 0.35:
            return self._send(
                "PUT", path, damaged(chances, obj, chances.randrange(3)), query=self._query(0.2)
            )
        media_type = chances.choice(PATCHES)
        query = self._query(0.2)
        if "apply" in media_type:
            query.setdefault("fieldManager", chances.choice(["me", "you", "fuzz"]))
            if chances.random() < 0.5:
                query["force"] = "true"
        return self._send("PATCH", path, self._patch(media_type, kind, obj), media_type, query)

    def _any_read(self) -> Sent:
        chances = self._chances
        kind = chances.choice(self._shapes.kinds)
        path = kind.collection(self.namespace)
        if chances.random() < 0.4:
            path += f"/{chances.choice(['a', 'b', *TEXTS[:6]])}"
            if kind.subresources and chances.random() < 0.4:
                path += f"/{chances.choice(kind.subresources)}"
        query = self._query(0.6)
        if chances.random() < 0.06:
            query.update(watch="true", timeoutSeconds="1")
        headers = ((b"accept", chances.choice(_ACCEPTS).encode()),)
        return self._send("GET", path, b"", query=query, headers=headers)

    def _any_delete(self) -> Sent:
        chances = self._chances
        kind = chances.choice(self._shapes.kinds)
        options = chances.choice(
            [b"", {}, {"gracePeriodSeconds": 0}, {"preconditions": {"uid": "x"}}, chances.choice(ODD)]
        )
        if kind.namespaced and chances.random() < 0.1 and kind.plural not in PROTECTED:
            return self._send("DELETE", kind.collection(self.namespace), options, query=self._query(0.3))
        name = chances.choice(["a", "b", "c"]) if kind.namespaced else f"fuzz-{self._number}-a"
        return self._send(
            "DELETE", f"{kind.collection(self.namespace)}/{name}", options, query=self._query(0.2)
        )

    def _change_definition(self) -> Sent:
        """The schema of the own CRD is damaged, or made anew."""
        chances = self._chances
        path, name = self._crd.collection(""), f"things.fuzz{self._number}.dev"
        if chances.random() < 0.3:
            return self._send("POST", path, self._definition(chances.randrange(3)))
        version = self._definition(chances.randrange(4))["spec"]
        return self._send("PATCH", f"{path}/{name}", {"spec": version}, PATCHES[1])

    def _any_protobuf(self) -> Sent:
        """A built-in object as Go clients send it, or options of a delete; most are damaged."""
        chances = self._chances
        method, query = "POST", self._query(0.2)
        if chances.random() < 0.12:
            kind = chances.choice(self._shapes.kinds)
            obj: Any = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
            obj |= {"preconditions": {"uid": "x"}, "propagationPolicy": "Foreground"}
            method, path = "DELETE", f"{kind.collection(self.namespace)}/a"
        elif self._live and chances.random() < 0.4:
            kind, name, obj = chances.choice(self._live)
            method, path = "PUT", f"{kind.collection(self.namespace)}/{name}"
            obj = damaged(chances, obj, chances.randrange(3))
        else:
            kind = chances.choice(self._shapes.kinds)
            path = kind.collection(self.namespace)
            name = chances.choice("abcd") if kind.namespaced else f"fuzz-{self._number}-a"
            obj = damaged(chances, self._good(kind, name), chances.choice([0, 0, 1, 2]))
        body = fuzz_protobuf.encoded(obj) if isinstance(obj, dict) else b"k8s\x00"
        if chances.random() < 0.6:
            body = fuzz_protobuf.broken(chances, body or b"k8s\x00")
        target = path + (
            "?" + "&".join(f"{key}={quote(value)}" for key, value in query.items()) if query else ""
        )
        return Sent(method.encode(), target.encode(), body, self._type(fuzz_protobuf.MEDIA_TYPE))

    def _with_rules(self) -> Sent:
        """The own CRD is given a schema with rules that compile, or an object is made for these."""
        chances = self._chances
        if self._rules is None or chances.random() < 0.2:
            self._rules = Rules(chances)
            spec = json.loads(json.dumps(self._definition()["spec"]))
            spec["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"] = self._rules.schema()
            for extra in ("selectableFields", "additionalPrinterColumns"):
                spec["versions"][0].pop(extra)
            path = f"{self._crd.collection('')}/things.fuzz{self._number}.dev"
            return self._send("PATCH", path, {"spec": spec}, PATCHES[1])
        name = chances.choice(["a", "b", "c"])
        body = {"apiVersion": self._thing.group_version, "kind": self._thing.kind, "metadata": {"name": name}}
        body["spec"] = self._rules.spec()
        path = self._thing.collection(self.namespace)
        if chances.random() < 0.4:
            return self._send("POST", path, body)
        query = {"fieldManager": "rules", "force": "true"}
        return self._send("PATCH", f"{path}/{name}", body, PATCHES[3], query)

    def _nonsense(self) -> Sent:
        chances = self._chances
        method = chances.choice([b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS", b"TRACE"])
        base = chances.choice(
            ["/api", "/apis", "/api/v1/pods", f"/api/v1/namespaces/{self.namespace}/pods/a", "/openapi/v2"]
        )
        parts = [
            quote(chances.choice(TEXTS), errors="replace", safe=chances.choice(["", "/%"]))
            for _ in range(chances.randrange(5))
        ]
        target = "/".join([base, *parts]).encode("ascii", "replace").replace(b" ", b"+")[:8000]
        target = b"".join(bytes([byte]) if 0x21 <= byte < 0x7F else b"%%%02x" % byte for byte in target)
        if chances.random() < 0.3:
            target = target.replace(
                b"/", chances.choice([b"//", b"/./", b"/../", b"%2f", b"/%00", b"/%ff"]), 1
            )
        body = chances.randbytes(chances.randrange(200)) if chances.random() < 0.5 else b""
        return Sent(
            method,
            target if target.startswith(b"/") else b"/" + target,
            body,
            self._type(chances.choice(_MEDIA)),
        )

    # -- their parts -------------------------------------------------------------------------------

    def _named(self, *names: str) -> list[Kind]:
        return [kind for kind in self._shapes.kinds if kind.kind in names]

    def _definition(self, damage: int = 0) -> Json:
        text = json.dumps(SEEDS["CustomResourceDefinition"]).replace("fuzz.dev", f"fuzz{self._number}.dev")
        spec = damaged(self._chances, json.loads(text), damage)
        head = {"apiVersion": self._crd.group_version, "kind": self._crd.kind}
        body = spec if isinstance(spec, dict) else {}
        return {
            **head,
            "metadata": {"name": f"things.fuzz{self._number}.dev"},
            **body,
            "spec": body.get("spec"),
        }

    def _good(self, kind: Kind, name: str) -> Json:
        if kind.plural == "customresourcedefinitions":
            return self._definition()
        head = {"apiVersion": kind.group_version, "kind": kind.kind, "metadata": {"name": name}}
        seed = THING if kind is self._thing else SEEDS.get(kind.kind)
        if seed is None or self._chances.random() < 0.15:
            return self._shapes.sample(self._chances, kind, name)
        return self._shapes.decorated(self._chances, kind, {**head, **seed})

    def _patch(self, media_type: str, kind: Kind, obj: Json) -> Any:
        chances = self._chances
        if media_type == PATCHES[0]:
            return [self._operation(obj) for _ in range(chances.choice([1, 1, 2, 5, 12]))]
        keys = [key for key in obj if key not in ("apiVersion", "kind")] or ["spec"]
        part = {key: obj.get(key) for key in chances.sample(keys, min(len(keys), chances.randrange(1, 3)))}
        patch = damaged(chances, part, chances.choice([0, 1, 2, 3]))
        if media_type == PATCHES[3] and isinstance(patch, dict):
            stated = patch.get("metadata")
            meta = stated if isinstance(stated, dict) else {}
            if chances.random() < 0.8:
                meta = {
                    key: value
                    for key, value in meta.items()
                    if key not in ("managedFields", "resourceVersion")
                }
            patch = {"apiVersion": kind.group_version, "kind": kind.kind, **patch, "metadata": meta}
        if media_type == PATCHES[2] and isinstance(patch, dict) and chances.random() < 0.4:
            spec = patch.get("spec")
            where = spec if isinstance(spec, dict) else patch
            directive = chances.choice(
                [
                    "$patch",
                    "$retainKeys",
                    "$setElementOrder/containers",
                    "$deleteFromPrimitiveList/finalizers",
                    "$x",
                ]
            )
            where[directive] = chances.choice(
                ["delete", "replace", "merge", ["a"], [{"name": "main"}], chances.choice(ODD)]
            )
        return patch

    def _operation(self, obj: Json) -> Json:
        chances = self._chances

        def pointer() -> str:
            value: Any = obj
            steps = []
            while isinstance(value, dict | list) and value and chances.random() < 0.85:
                step = chances.choice(list(value) if isinstance(value, dict) else list(range(len(value))))
                steps.append(str(step).replace("~", "~0").replace("/", "~1"))
                value = value[step]
            if chances.random() < 0.3:
                steps.append(chances.choice(["-", "0", "x", "~", "~2", "", "99999999999", "-1", "01", "é"]))
            return "".join(f"/{step}" for step in steps)

        made = {
            "op": chances.choice(["add", "add", "remove", "replace", "copy", "move", "test", "x"]),
            "path": pointer(),
        }
        if made["op"] in ("copy", "move"):
            made["from"] = pointer()
        elif made["op"] != "remove":
            made["value"] = chances.choice(ODD)
        return (
            made
            if chances.random() < 0.95
            else {**made, chances.choice(["op", "path", "from"]): chances.choice(ODD)}
        )

    def _query(self, share: float) -> dict[str, str]:
        chances, found = self._chances, {}
        while chances.random() < share:
            name = chances.choice(list(_QUERY))
            found[name] = chances.choice(_QUERY[name])
        return found

    def _type(self, media_type: str) -> tuple[tuple[bytes, bytes], ...]:
        return ((b"content-type", media_type.encode()),) if media_type else ()

    def _send(
        self,
        method: str,
        path: str,
        body: Any = b"",
        media_type: str = JSON,
        query: dict[str, str] | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> Sent:
        data = (
            body
            if isinstance(body, bytes)
            else json.dumps(body, ensure_ascii=self._chances.random() < 0.7).encode("utf-8", "surrogatepass")
        )
        if data and self._chances.random() < 0.04:
            data = garbled(self._chances, data)
        if data and self._chances.random() < 0.02:
            media_type = self._chances.choice(_MEDIA)
        text = "&".join(f"{key}={quote(value)}" for key, value in (query or {}).items())
        target = quote(path, safe="/%:").encode() + (b"?" + text.encode() if text else b"")
        return Sent(method.encode(), target, data, (*headers, *(self._type(media_type) if data else ())))

    def _with_odd_headers(self, request: Sent) -> Sent:
        chances = self._chances
        names = [
            b"accept",
            b"impersonate-user",
            b"impersonate-group",
            b"if-match",
            b"if-none-match",
            b"accept-encoding",
        ]
        names += [
            b"user-agent",
            b"x-forwarded-for",
            b"authorization",
            b"audit-id",
            b"origin",
            b"range",
            b"expect",
        ]
        values = [
            b"",
            b"a",
            b"*",
            b"\xff\xfe",
            b"gzip",
            b"x" * 3000,
            b"system:masters",
            b"Bearer x",
            b"bytes=0-1",
            b"application/yaml",
        ]
        odd = tuple((chances.choice(names), chances.choice(values)) for _ in range(chances.randrange(1, 3)))
        return Sent(request.method, request.target, request.body, (*request.headers, *odd))
