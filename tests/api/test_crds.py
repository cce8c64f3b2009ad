"""CustomResourceDefinitions: generated, shipped, and up to date."""

from __future__ import annotations

import pytest

from springtide.api import crds
from springtide.api.kueue import ClusterQueue, LocalQueue, Workload
from springtide.api.meta import Object
from springtide.api.springtide import Diagnosis
from springtide.api.trainer import ClusterTrainingRuntime, TrainJob


def test_generated_files_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert crds.main(["--check"]) == 0, capsys.readouterr().err


def test_the_bundle_has_every_custom_kind() -> None:
    bundled = {crd.spec.names.kind: crd for crd in crds.bundled()}
    assert bundled == {kind.__name__: crds.crd_of(kind) for kind in crds.custom_kinds()}


@pytest.mark.parametrize(
    ("kind", "name", "scope", "columns"),
    [
        (TrainJob, "trainjobs.trainer.kubeflow.org", "Namespaced", ["State", "Age"]),
        (ClusterTrainingRuntime, "clustertrainingruntimes.trainer.kubeflow.org", "Cluster", []),
        (
            Workload,
            "workloads.kueue.x-k8s.io",
            "Namespaced",
            ["Queue", "Reserved in", "Admitted", "Finished", "Age"],
        ),
        (
            LocalQueue,
            "localqueues.kueue.x-k8s.io",
            "Namespaced",
            ["ClusterQueue", "Pending Workloads", "Admitted Workloads"],
        ),
        (
            ClusterQueue,
            "clusterqueues.kueue.x-k8s.io",
            "Cluster",
            ["Cohort", "Strategy", "Pending Workloads", "Admitted Workloads"],
        ),
        (
            Diagnosis,
            "diagnoses.springtide.dev",
            "Namespaced",
            ["Workload", "Attempt", "Fault", "Blame", "Action", "Node", "Phase", "Message", "Age"],
        ),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_name_scope_and_columns(kind: type[Object], name: str, scope: str, columns: list[str]) -> None:
    crd = crds.crd_of(kind)
    assert crd.metadata.name == name
    assert crd.spec.scope == scope
    version = crd.spec.versions[0]
    assert [column.name for column in version.additional_printer_columns] == columns
    assert (version.served, version.storage) == (True, True)


def test_status_is_a_subresource_where_there_is_one() -> None:
    for kind, has_status in ((TrainJob, True), (ClusterTrainingRuntime, False), (Diagnosis, True)):
        subresources = crds.crd_of(kind).spec.versions[0].subresources
        assert (subresources is not None and subresources.status == {}) is has_status


def test_short_names_of_queues() -> None:
    short = {crd.spec.names.kind: crd.spec.names.short_names for crd in crds.bundled()}
    assert "wl" in short["Workload"]
    assert short["ClusterQueue"] == ["cq"]
    assert {"queue", "lq"} <= set(short["LocalQueue"])
