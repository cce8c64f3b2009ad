"""Logs, exec, attach, port-forward and proxies as far as they go without a node: what is checked and said."""

from __future__ import annotations

from tests.conformance.case import CORE, PODS, Case, Step, each, get, pod, post, table
from tests.conformance.play import Player

_ONE = [pod("a")]
_TWO = [
    pod(
        "a",
        containers=[{"name": "x", "image": "i"}, {"name": "y", "image": "i"}],
        initContainers=[{"name": "first", "image": "i"}],
    )
]
_CHOOSE = "a container name must be specified for pod a, choose one of: [first x y]"
_NO_HOST = "pod a does not have a host assigned"


def _refused(name: str, step: Step) -> Case:
    return Case(name, [step], given=_ONE)


TABLE = table(
    "streams",
    [
        Case("a pod that is nowhere yet has an empty log", [get(f"{PODS}/a/log", status=204)], given=_ONE),
        Case(
            "a pod that is not there has no log",
            [get(f"{PODS}/zz/log", status=404, reason="NotFound", message='pods "zz" not found')],
        ),
        _refused(
            "a container must be the pod's",
            get(
                f"{PODS}/a/log",
                query={"container": "zz"},
                status=400,
                reason="BadRequest",
                message="container zz is not valid for pod a",
            ),
        ),
        Case(
            "with several containers one must be chosen",
            [
                get(f"{PODS}/a/log", status=400, reason="BadRequest", message=_CHOOSE),
                post(
                    f"{PODS}/a/exec",
                    None,
                    query={"command": "ls", "stdout": "true"},
                    status=400,
                    message=_CHOOSE,
                ),
                post(f"{PODS}/a/attach", None, query={"stdout": "true"}, status=400, message=_CHOOSE),
            ],
            given=_TWO,
        ),
        *[
            _refused(
                f"log option {name}={value}",
                get(f"{PODS}/a/log", query={name: value}, status=422, reason="Invalid", causes=[cause]),
            )
            for name, value, cause in (
                ("tailLines", "-1", "tailLines"),
                ("limitBytes", "0", "limitBytes"),
                ("sinceSeconds", "0", "sinceSeconds"),
                ("stream", "Both", "stream"),
            )
        ],
        _refused(
            "since seconds or since a time",
            get(
                f"{PODS}/a/log",
                query={"sinceSeconds": "5", "sinceTime": "2026-01-01T00:00:00Z"},
                status=422,
                reason="Invalid",
                message="at most one of `sinceTime` or `sinceSeconds` may be specified",
            ),
        ),
        _refused("a number is a number", get(f"{PODS}/a/log", query={"tailLines": "two"}, status=400)),
        _refused(
            "exec needs a pod that is somewhere",
            post(
                f"{PODS}/a/exec",
                None,
                query={"command": "ls", "stdout": "true"},
                status=400,
                reason="BadRequest",
                message=_NO_HOST,
            ),
        ),
        _refused(
            "so does attach",
            post(f"{PODS}/a/attach", None, query={"stdout": "true"}, status=400, message=_NO_HOST),
        ),
        _refused("so does port-forward", post(f"{PODS}/a/portforward", None, status=400, message=_NO_HOST)),
        Case(
            "what is not there cannot be talked to",
            [
                post(f"{PODS}/zz/exec", None, query={"command": "ls"}, status=404, reason="NotFound"),
                post(f"{PODS}/zz/attach", None, status=404, reason="NotFound"),
                post(f"{PODS}/zz/portforward", None, status=404, reason="NotFound"),
                get(f"{PODS}/zz/proxy/", status=404, reason="NotFound"),
                get(f"{CORE}/namespaces/{{ns}}/services/zz/proxy/", status=404, reason="NotFound"),
                get(f"{CORE}/nodes/zz/proxy/healthz", status=404, reason="NotFound"),
            ],
        ),
        _refused("nothing is proxied into a pod without an address", get(f"{PODS}/a/proxy/", status=400)),
    ],
)


@each(TABLE)
def test_streams(case: Case, player: Player) -> None:
    player.play(case)
