"""What a server says of its own health and work: the names that probes, dashboards and alerts rely on."""

from __future__ import annotations

from tests.conformance.case import CONFIGMAPS, Case, configmap, delete, each, get, patch, post, put, table
from tests.conformance.play import Player

_METRICS = "/metrics"

TABLE = table(
    "metrics",
    [
        Case("requests are a counter", [get(_METRICS, text="# TYPE apiserver_request_total counter")]),
        Case(
            "their durations are a histogram",
            [get(_METRICS, text="# TYPE apiserver_request_duration_seconds histogram")],
        ),
        Case(
            "what is being worked on is a gauge by kind of request",
            [
                get(_METRICS, text="# TYPE apiserver_current_inflight_requests gauge"),
                get(_METRICS, text='apiserver_current_inflight_requests{request_kind="readOnly"}'),
                get(_METRICS, text='apiserver_current_inflight_requests{request_kind="mutating"}'),
            ],
        ),
        Case(
            "who is let in is counted by priority level",
            [
                get(_METRICS, text="# TYPE apiserver_flowcontrol_dispatched_requests_total counter"),
                get(
                    _METRICS,
                    text="apiserver_flowcontrol_dispatched_requests_total"
                    '{flow_schema="exempt",priority_level="exempt"}',
                ),
                get(
                    _METRICS,
                    text='apiserver_flowcontrol_nominal_limit_seats{priority_level="global-default"}',
                ),
            ],
        ),
        Case(
            "a create is counted with its code",
            [
                post(CONFIGMAPS, configmap("a")),
                get(
                    _METRICS,
                    text='apiserver_request_total{code="201",component="apiserver",dry_run="",group="",'
                    'resource="configmaps",scope="resource",subresource="",',
                ),
            ],
        ),
        Case(
            "a refusal too",
            [
                post(CONFIGMAPS, configmap("a")),
                post(CONFIGMAPS, configmap("a"), status=409),
                get(_METRICS, text='apiserver_request_total{code="409",component="apiserver"'),
            ],
        ),
        Case(
            "a list of a namespace has the scope namespace",
            [
                get(CONFIGMAPS),
                get(_METRICS, text='resource="configmaps",scope="namespace",subresource="",'),
            ],
        ),
        Case(
            "a list of everything has the scope cluster",
            [
                get("/api/v1/configmaps"),
                get(_METRICS, text='resource="configmaps",scope="cluster",subresource="",'),
            ],
        ),
        Case(
            "updates, patches and deletions have verbs of their own",
            [
                post(CONFIGMAPS, configmap("a")),
                put(f"{CONFIGMAPS}/a", configmap("a", data={"x": "1"})),
                patch(f"{CONFIGMAPS}/a", {"data": {"x": "2"}}),
                delete(f"{CONFIGMAPS}/a"),
                get(_METRICS, text='verb="PUT"'),
                get(_METRICS, text='verb="PATCH"'),
                get(_METRICS, text='verb="DELETE"'),
            ],
        ),
        Case(
            "the buckets of durations are those of the API's objectives",
            [
                get(CONFIGMAPS),
                get(_METRICS, text='le="0.005"'),
                get(_METRICS, text='le="0.6"'),
                get(_METRICS, text='le="1.25"'),
                get(_METRICS, text='le="+Inf"'),
            ],
        ),
        Case(
            "stored objects are counted by resource",
            [get(_METRICS, text='apiserver_resource_objects{group="",resource="namespaces"}', within=60.0)],
        ),
        Case("the process is measured", [get(_METRICS, text="process_resident_memory_bytes")]),
        Case("metrics need credentials", [get(_METRICS, user="", status=(401, 403))]),
        Case("a healthy server says ok", [get("/healthz", text="ok")]),
        Case("a live server says ok", [get("/livez", text="ok")]),
        Case("a ready server says ok", [get("/readyz", text="ok")]),
        Case("one check can be asked for: ping", [get("/readyz/ping", text="ok")]),
        Case(
            "told to be verbose, it lists its checks",
            [get("/readyz", query={"verbose": ""}, text="[+]ping ok")],
        ),
        Case("one check can be asked for: the shutdown", [get("/readyz/shutdown", text="ok")]),
        Case("a check that does not exist is not found", [get("/readyz/no-such-check", status=404)]),
        Case(
            "probes need no credentials",
            [get("/readyz", user="", text="ok"), get("/livez", user="", text="ok")],
        ),
    ],
)


@each(TABLE)
def test_metrics(case: Case, player: Player) -> None:
    player.play(case)
