"""The scale subresource of built-in and custom kinds."""

from __future__ import annotations

from typing import Any

from tests.conformance.case import (
    JSON_PATCH,
    STRATEGIC,
    Case,
    Json,
    Like,
    apply,
    each,
    get,
    patch,
    put,
    table,
)
from tests.conformance.play import Player
from tests.conformance.widgets import WIDGET_CRD, WIDGETS, widget

_W = f"{WIDGETS}/a"
_DEPLOYMENTS = "/apis/apps/v1/namespaces/{ns}/deployments"
_D = f"{_DEPLOYMENTS}/d"
_RV = {"rv": "metadata.resourceVersion", "uid": "metadata.uid"}
_DEPLOYMENT: Json = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "d"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "x", "tier": "y"}},
        "template": {
            "metadata": {"labels": {"app": "x", "tier": "y"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        },
    },
}


def _scale(name: str, replicas: Any, **metadata: Any) -> Json:
    return {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {"name": name, **metadata},
        "spec": {"replicas": replicas},
    }


TABLE = table(
    "scale",
    [
        Case(
            "a scale is patched in the form that the content type names",
            [
                patch(f"{_D}/scale", {"spec": {"replicas": 4}}, STRATEGIC, fields={"spec.replicas": 4}),
                patch(f"{_D}/scale", {"spec": {"replicas": 5}}, JSON_PATCH, status=400),
                patch(f"{_D}/scale", {"spec": {"replicas": 5}}, "application/x-patch", status=415),
                get(f"{_D}/scale", fields={"spec.replicas": 4}),
            ],
            given=[_DEPLOYMENT],
        ),
        Case(
            "a custom object's scale takes no strategic patch",
            [
                patch(f"{_W}/scale", {"spec": {"replicas": 4}}, STRATEGIC, status=415),
                patch(f"{_W}/scale", {"spec": {"replicas": 4}}, fields={"spec.replicas": 4}),
            ],
            given=[WIDGET_CRD, widget("a", replicas=3)],
        ),
        Case(
            "a custom object's scale is read where its definition says",
            [
                get(f"{_W}", save=_RV),
                get(
                    f"{_W}/scale",
                    fields={
                        "kind": "Scale",
                        "apiVersion": "autoscaling/v1",
                        "metadata.name": "a",
                        "metadata.uid": "{uid}",
                        "metadata.resourceVersion": "{rv}",
                        "spec.replicas": 3,
                        "status.replicas": 0,
                        "status.selector": "app=x",
                    },
                ),
            ],
            given=[WIDGET_CRD, widget("a", replicas=3, selector="app=x")],
        ),
        Case(
            "a custom object is scaled by PUT",
            [
                put(f"{_W}/scale", _scale("a", 5), fields={"spec.replicas": 5}),
                get(_W, fields={"spec.replicas": 5, "metadata.generation": 2}),
            ],
            given=[WIDGET_CRD, widget("a", replicas=3)],
        ),
        Case(
            "a custom object is scaled by merge patch and JSON patch",
            [
                patch(f"{_W}/scale", {"spec": {"replicas": 4}}, fields={"spec.replicas": 4}),
                patch(
                    f"{_W}/scale",
                    [{"op": "replace", "path": "/spec/replicas", "value": 6}],
                    JSON_PATCH,
                    fields={"spec.replicas": 6},
                ),
                get(_W, fields={"spec.replicas": 6}),
            ],
            given=[WIDGET_CRD, widget("a", replicas=3)],
        ),
        Case(
            "a stale scale is a conflict",
            [
                get(f"{_W}/scale", save=_RV),
                patch(_W, {"spec": {"size": 5}}),
                put(f"{_W}/scale", _scale("a", 5, resourceVersion="{rv}"), status=409, reason="Conflict"),
            ],
            given=[WIDGET_CRD, widget("a", replicas=3)],
        ),
        Case(
            "a negative scale is invalid",
            [put(f"{_W}/scale", _scale("a", -1), status=422, causes=[".spec.replicas"])],
            given=[WIDGET_CRD, widget("a", replicas=3)],
        ),
        Case(
            "a scale of what does not exist is not found",
            [get(f"{_W}/scale", status=404), put(f"{_W}/scale", _scale("a", 1), status=404)],
            given=[WIDGET_CRD],
        ),
        Case(
            "another kind than Scale is refused",
            [put(f"{_W}/scale", widget("a"), status=(400, 422))],
            given=[WIDGET_CRD, widget("a", replicas=3)],
        ),
        Case(
            "the scaler owns the replicas through the subresource",
            [
                put(f"{_W}/scale", _scale("a", 5), query={"fieldManager": "scaler"}),
                get(
                    _W,
                    fields={
                        "metadata.managedFields[manager=scaler].subresource": "scale",
                        "metadata.managedFields[manager=scaler].operation": "Update",
                        "metadata.managedFields[manager=scaler].fieldsV1": {"f:spec": {"f:replicas": {}}},
                    },
                ),
            ],
            given=[WIDGET_CRD, widget("a", replicas=3)],
        ),
        Case(
            "dry run scales nothing",
            [
                put(f"{_W}/scale", _scale("a", 5), query={"dryRun": "All"}, fields={"spec.replicas": 5}),
                get(_W, fields={"spec.replicas": 3}),
            ],
            given=[WIDGET_CRD, widget("a", replicas=3)],
        ),
        Case(
            "a scale can be applied",
            [
                apply(f"{_D}/scale", _scale("d", 7), manager="s", status=409, causes=[".spec.replicas"]),
                apply(f"{_D}/scale", _scale("d", 7), manager="s", force=True, fields={"spec.replicas": 7}),
                get(
                    _D, fields={"spec.replicas": 7, "metadata.managedFields[manager=s].subresource": "scale"}
                ),
            ],
            given=[_DEPLOYMENT],
        ),
        Case(
            "a deployment's scale has its selector as text",
            [
                get(
                    f"{_D}/scale",
                    fields={"spec.replicas": 2, "status.replicas": 0, "status.selector": "app=x,tier=y"},
                )
            ],
            given=[_DEPLOYMENT],
        ),
        Case(
            "a deployment is scaled as kubectl and autoscalers do it",
            [
                patch(f"{_D}/scale", {"spec": {"replicas": 4}}, fields={"spec.replicas": 4}),
                get(f"{_D}/scale", save=_RV),
                put(f"{_D}/scale", _scale("d", 5, resourceVersion="{rv}", namespace="{ns}")),
                get(_D, fields={"spec.replicas": 5, "metadata.generation": 3}),
            ],
            given=[_DEPLOYMENT],
        ),
        Case(
            "a deployment's negative scale is invalid",
            [
                patch(
                    f"{_D}/scale",
                    {"spec": {"replicas": -1}},
                    status=422,
                    causes=["spec.replicas"],
                    message='Scale.autoscaling "d" is invalid: spec.replicas: Invalid value: -1: '
                    "must be greater than or equal to 0",
                )
            ],
            given=[_DEPLOYMENT],
        ),
        Case(
            "a scale to zero says so",
            [put(f"{_D}/scale", _scale("d", 0)), get(_D, fields={"spec.replicas": 0})],
            given=[_DEPLOYMENT],
        ),
        Case(
            "the answer to a scale is a Scale with the new version",
            [
                get(_D, save=_RV),
                patch(
                    f"{_D}/scale",
                    {"spec": {"replicas": 3}},
                    fields={
                        "kind": "Scale",
                        "metadata.uid": "{uid}",
                        "metadata.resourceVersion": Like(r"\d"),
                    },
                ),
            ],
            given=[_DEPLOYMENT],
        ),
    ],
)


@each(TABLE)
def test_scale(case: Case, player: Player) -> None:
    player.play(case)
