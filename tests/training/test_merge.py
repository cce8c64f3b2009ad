"""What a TrainJob and its runtime come to: precedence, environment, counts; what is refused or ignored."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.api.core import Container
from springtide.api.kueue import PodSet
from springtide.api.struct import decode, encode
from springtide.api.trainer import ClusterTrainingRuntime, TrainJob
from springtide.training.merge import Resolved, UnresolvableError, resolve
from springtide.training.patches import overlay
from springtide.training.runtimes import builtin_runtimes

PORT = 23456


def job(name: str = "digits", **spec: Any) -> TrainJob:
    """A TrainJob from the JSON of its spec."""
    document = {"metadata": {"name": name, "namespace": "default", "uid": "u1"}, "spec": spec}
    document["spec"].setdefault("runtimeRef", {"name": "torch-distributed"})
    return decode(TrainJob, document)


def runtime(
    container: dict[str, Any] | None = None,
    *,
    policy: dict[str, Any] | None = None,
    replicated: dict[str, Any] | None = None,
    jobset: dict[str, Any] | None = None,
    more: dict[str, Any] | None = None,
) -> ClusterTrainingRuntime:
    """A runtime with one trainer job, changed here and there."""
    pod = {"containers": [{"name": "node", "image": "base", **(container or {})}]}
    trainer = {
        "name": "node",
        "template": {
            "metadata": {"labels": {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}},
            "spec": {"template": {"spec": pod}},
        },
    }
    spec = {
        "mlPolicy": {"numNodes": 1, "torch": {}} if policy is None else policy,
        "template": {"spec": {"replicatedJobs": [overlay(trainer, replicated or {})], **(jobset or {})}},
        **(more or {}),
    }
    return decode(ClusterTrainingRuntime, {"metadata": {"name": "r"}, "spec": spec})


def resolved(of: TrainJob, on: ClusterTrainingRuntime | None = None) -> Resolved:
    return resolve(of, on or runtime(), PORT)


def node_set(of: TrainJob, on: ClusterTrainingRuntime | None = None) -> PodSet:
    return resolved(of, on).pod_sets[0]


def node_container(of: TrainJob, on: ClusterTrainingRuntime | None = None) -> Container:
    return node_set(of, on).template.spec.containers[0]


def env(of: TrainJob, on: ClusterTrainingRuntime | None = None) -> dict[str, str | None]:
    """Values of the variables; None for those taken from the pod."""
    return {one.name: one.value if one.value_from is None else None for one in node_container(of, on).env}


def test_the_example_job_on_the_shipped_runtime_is_what_kubeflow_makes_of_it() -> None:
    torch = next(one for one in builtin_runtimes() if one.metadata.name == "torch-distributed")
    trainer = {
        "numNodes": 2,
        "numProcPerNode": 1,
        "image": "pytorch",
        "command": ["torchrun", "examples/digits/train.py"],
        "resourcesPerNode": {"requests": {"cpu": "1", "memory": "1Gi"}},
    }
    made = resolve(job(trainer=trainer), torch, PORT)
    (pods,) = made.pod_sets
    (container,) = pods.template.spec.containers
    assert (pods.name, pods.count) == ("node", 2)
    assert pods.template.metadata.labels == {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
    assert pods.template.spec.restart_policy == "Never"
    assert (container.name, container.image) == ("node", "pytorch")
    assert container.command == ["torchrun", "examples/digits/train.py"]
    assert container.resources.requests == {"cpu": "1", "memory": "1Gi"}
    values = {one.name: one for one in container.env}
    assert values["PET_NNODES"].value == "2"
    assert values["PET_NPROC_PER_NODE"].value == "1"
    assert values["PET_MASTER_ADDR"].value == "digits-node-0-0.digits"
    assert values["PET_MASTER_PORT"].value == str(PORT)
    source = values["PET_NODE_RANK"].value_from
    assert source is not None
    assert source.field_ref is not None
    assert source.field_ref.field_path == "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    assert made.ineffective == ()
    assert made.max_restarts == 0


def test_args_alone_complete_the_shipped_torchrun_command() -> None:
    torch = next(one for one in builtin_runtimes() if one.metadata.name == "torch-distributed")
    container = node_container(job(trainer={"args": ["train.py"]}), torch)
    assert container.command == ["torchrun"]
    assert container.args == ["train.py"]


def test_a_plain_runtime_sets_no_torch_variables_but_tells_each_pod_its_place() -> None:
    plain = next(one for one in builtin_runtimes() if one.metadata.name == "plain")
    names = env(job(trainer={"numNodes": 3, "command": ["python", "x.py"]}), plain)
    assert not [name for name in names if name.startswith("PET_")]
    assert names["SPRINGTIDE_NUM_NODES"] == "3"
    assert names["JOB_COMPLETION_INDEX"] is None


@pytest.mark.parametrize(
    ("what", "trainer", "container", "processes"),
    [
        ("numProcPerNode wins", {"numProcPerNode": 3}, {"resources": {"limits": {"nvidia.com/gpu": 8}}}, "3"),
        ("one a GPU of the job", {"resourcesPerNode": {"limits": {"nvidia.com/gpu": 4}}}, {}, "4"),
        ("one a GPU of the runtime", {}, {"resources": {"limits": {"nvidia.com/gpu": 2}}}, "2"),
        ("one a whole CPU without GPUs", {"resourcesPerNode": {"requests": {"cpu": "4"}}}, {}, "4"),
        ("a fraction of a CPU is one", {"resourcesPerNode": {"requests": {"cpu": "500m"}}}, {}, "1"),
        ("nothing said is one", {}, {}, "1"),
    ],
)
def test_processes_a_node(
    what: str, trainer: dict[str, Any], container: dict[str, Any], processes: str
) -> None:
    assert env(job(trainer=trainer), runtime(container))["PET_NPROC_PER_NODE"] == processes, what


def test_number_of_nodes_comes_from_the_job_then_the_policy_then_is_one() -> None:
    assert node_set(job(trainer={"numNodes": 4}), runtime(policy={"numNodes": 2, "torch": {}})).count == 4
    assert node_set(job(), runtime(policy={"numNodes": 2, "torch": {}})).count == 2
    assert node_set(job(), runtime(policy={"torch": {}})).count == 1


def elastic(least: int | None, most: int | None) -> ClusterTrainingRuntime:
    asked = {"minNodes": least, "maxNodes": most}
    given = {name: number for name, number in asked.items() if number is not None}
    return runtime(policy={"torch": {"elasticPolicy": given}})


def test_an_elastic_job_asks_for_the_most_and_can_do_with_the_least() -> None:
    made = node_set(job(), elastic(2, 4))
    assert (made.count, made.min_count) == (4, 2)
    told = env(job(), elastic(2, 4))
    assert (told["PET_NNODES"], told["SPRINGTIDE_NUM_NODES"]) == (None, None), "each attempt has its own"
    assert node_set(job(trainer={"numNodes": 3}), elastic(2, 4)).count == 3
    rigid = node_set(job(trainer={"numNodes": 2}), elastic(2, 4))
    assert (rigid.count, rigid.min_count) == (2, None)
    assert env(job(trainer={"numNodes": 2}), elastic(2, 4))["PET_NNODES"] == "2"


def test_an_elastic_range_that_is_none_is_refused_and_named() -> None:
    with pytest.raises(UnresolvableError, match=r"minNodes is 5; it must be from 1 to .* which is 4"):
        resolved(job(), elastic(5, 4))


def test_environment_precedence_is_runtime_then_patch_then_trainer() -> None:
    base = runtime({"env": [{"name": name, "value": "runtime"} for name in ("A", "B", "C")]})
    patched = {
        "manager": "example.com/me",
        "trainingRuntimeSpec": {
            "template": {
                "spec": {
                    "replicatedJobs": [
                        {
                            "name": "node",
                            "template": {
                                "spec": {
                                    "template": {
                                        "spec": {
                                            "nodeSelector": {"zone": "a"},
                                            "containers": [
                                                {
                                                    "name": "node",
                                                    "env": [
                                                        {"name": "B", "value": "patch"},
                                                        {"name": "C", "value": "patch"},
                                                    ],
                                                }
                                            ],
                                        }
                                    }
                                }
                            },
                        }
                    ]
                }
            }
        },
    }
    of = job(runtimePatches=[patched], trainer={"env": [{"name": "C", "value": "trainer"}]})
    values = env(of, base)
    assert [values[name] for name in ("A", "B", "C")] == ["runtime", "patch", "trainer"]
    pods = node_set(of, base)
    assert pods.template.spec.node_selector == {"zone": "a"}
    assert pods.template.spec.containers[0].image == "base", "a patch leaves the rest of the container alone"


def test_requests_default_to_limits_because_admission_counts_requests() -> None:
    container = node_container(
        job(trainer={"resourcesPerNode": {"limits": {"nvidia.com/gpu": "2", "cpu": "8"}}})
    )
    assert container.resources.requests == {"nvidia.com/gpu": "2", "cpu": "8"}


def test_resources_of_the_job_are_laid_over_those_of_the_runtime_one_by_one() -> None:
    base = runtime({"resources": {"requests": {"cpu": "1", "memory": "2Gi"}}})
    container = node_container(job(trainer={"resourcesPerNode": {"requests": {"cpu": "4"}}}), base)
    assert container.resources.requests == {"cpu": "4", "memory": "2Gi"}


def _annotated(said: dict[str, str]) -> ClusterTrainingRuntime:
    annotations = {f"kueue.x-k8s.io/podset-{name}": text for name, text in said.items()}
    return runtime(
        replicated={"template": {"spec": {"template": {"metadata": {"annotations": annotations}}}}}
    )


def test_topology_annotations_become_the_pod_sets_request() -> None:
    said = {"required-topology": "block", "slice-required-topology": "rack", "slice-size": "2"}
    request = node_set(job(trainer={"numNodes": 4}), _annotated(said)).topology_request
    assert request is not None
    assert (request.required, request.pod_set_slice_required_topology) == ("block", "rack")
    assert request.pod_set_slice_size == 2


def test_layers_of_slices_are_read_from_their_annotation() -> None:
    layers = '[{"topology": "rack", "size": 4}, {"topology": "kubernetes.io/hostname", "size": 2}]'
    said = {"preferred-topology": "block", "slice-required-topology-constraints": layers}
    request = node_set(job(trainer={"numNodes": 8}), _annotated(said)).topology_request
    assert request is not None
    found = request.podset_slice_required_topology_constraints
    assert [(one.topology, one.size) for one in found] == [("rack", 4), ("kubernetes.io/hostname", 2)]


WRONG_TOPOLOGY = {
    "two levels for all": (
        {"required-topology": "rack", "preferred-topology": "rack"}, "exclude each other"),
    "a slice without its size": ({"slice-required-topology": "rack"}, "go together"),
    "a size without its level": ({"slice-size": "2"}, "go together"),
    "a size that is no number": (
        {"slice-required-topology": "rack", "slice-size": "two"}, "must be a whole number of at least 1"),
    "a size that does not divide the pods": (
        {"slice-required-topology": "rack", "slice-size": "3"}, "4 pods cannot be cut into slices of 3"),
    "layers that do not divide each other": (
        {"slice-required-topology-constraints":
            '[{"topology": "block", "size": 4}, {"topology": "rack", "size": 3}]'},
        "4 pods cannot be cut into slices of 3"),
    "layers that are no JSON": ({"slice-required-topology-constraints": "rack"}, "in JSON"),
    "layers and a slice": (
        {"slice-required-topology-constraints": "[]", "slice-required-topology": "rack", "slice-size": "2"},
        "exclude each other"),
    "a level twice": (
        {"slice-required-topology-constraints":
            '[{"topology": "rack", "size": 4}, {"topology": "rack", "size": 2}]'},
        "names a level twice"),
    "a group without a level": ({"group-name": "all"}, "beside it, and no slices"),
    "a group with slices": (
        {"group-name": "all", "required-topology": "block", "slice-required-topology": "rack",
         "slice-size": "2"}, "beside it, and no slices"),
    "unconstrained, perhaps": ({"unconstrained-topology": "perhaps"}, "must be true or false"),
}  # fmt: skip


@pytest.mark.parametrize(("said", "why"), WRONG_TOPOLOGY.values(), ids=WRONG_TOPOLOGY)
def test_topology_annotations_that_make_no_sense_are_refused(said: dict[str, str], why: str) -> None:
    with pytest.raises(UnresolvableError, match=re.escape(why)) as told:
        node_set(job(trainer={"numNodes": 4}), _annotated(said))
    assert "kueue.x-k8s.io/podset-" in str(told.value)


def test_the_restart_budget_and_the_ttl_of_the_jobset_template_are_carried() -> None:
    made = resolved(
        job(), runtime(jobset={"failurePolicy": {"maxRestarts": 3}, "ttlSecondsAfterFinished": 60})
    )
    assert (made.max_restarts, made.ttl_seconds) == (3, 60)


REFUSED: list[tuple[str, TrainJob, ClusterTrainingRuntime, str, list[str]]] = [
    (
        "an ML policy that is not supported",
        job(),
        runtime(policy={"mpi": {}}),
        "UnsupportedMLPolicy",
        ["spec.mlPolicy.mpi", "plain"],
    ),
    (
        "a variable the runtime sets itself",
        job(trainer={"env": [{"name": "PET_MASTER_PORT", "value": "1"}]}),
        runtime(),
        "InvalidSpec",
        ["spec.trainer.env[0]", "PET_MASTER_PORT", "remove it"],
    ),
    ("no nodes", job(trainer={"numNodes": 0}), runtime(), "InvalidSpec", ["spec.trainer.numNodes is 0"]),
    (
        "a name too long for host names",
        job(name="j" * 60),
        runtime(),
        "InvalidSpec",
        ["metadata.name", "57", "shorter name"],
    ),
    (
        "several replicas of a job",
        job(),
        runtime(replicated={"replicas": 2}),
        "UnsupportedReplicas",
        ["replicas 2", "numNodes"],
    ),
    (
        "a trainer job without the container named node",
        job(trainer={"command": ["x"]}),
        runtime({"name": "main"}),
        "InvalidRuntime",
        ["no container named 'node'"],
    ),
    (
        "a patch of a job that is not there",
        job(
            runtimePatches=[
                {
                    "manager": "m",
                    "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [{"name": "launcher"}]}}},
                }
            ]
        ),
        runtime(),
        "InvalidSpec",
        ["spec.runtimePatches[0]", "'launcher'", "node"],
    ),
]


@pytest.mark.parametrize(("what", "of", "on", "reason", "named"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refused_with_field_value_and_fix(
    what: str, of: TrainJob, on: ClusterTrainingRuntime, reason: str, named: list[str]
) -> None:
    with pytest.raises(UnresolvableError) as refusal:
        resolve(of, on, PORT)
    assert refusal.value.reason == reason, what
    for words in named:
        assert words in str(refusal.value)


IGNORED: list[tuple[str, TrainJob, ClusterTrainingRuntime, str]] = [
    ("an initializer", job(initializer={"dataset": {"storageUri": "hf://x"}}), runtime(), "spec.initializer"),
    ("an unknown field of the job", job(elastic={"min": 1}), runtime(), "spec.elastic"),
    (
        "an unknown field of the trainer",
        job(trainer={"numNode": 2}),
        runtime(),
        "spec.trainer.numNode",
    ),
    (
        "a pod group policy",
        job(),
        runtime(more={"podGroupPolicy": {"coscheduling": {}}}),
        "runtime: spec.podGroupPolicy",
    ),
    (
        "variables for further containers",
        job(),
        runtime(more={"mlPolicy": {"torch": {"envInjection": {"targets": []}}}}),
        "runtime: spec.mlPolicy.torch.envInjection",
    ),
    (
        "a success policy",
        job(),
        runtime(jobset={"successPolicy": {"operator": "Any"}}),
        "runtime: spec.template.spec.successPolicy",
    ),
    (
        "rules of the failure policy",
        job(),
        runtime(jobset={"failurePolicy": {"rules": [{"name": "r", "action": "FailJobSet"}]}}),
        "runtime: spec.template.spec.failurePolicy.rules",
    ),
    (
        "a back-off limit of the job",
        job(),
        runtime(replicated={"template": {"spec": {"backoffLimit": 3}}}),
        "runtime: spec.template.spec.replicatedJobs[node].template.spec.backoffLimit",
    ),
]


@pytest.mark.parametrize(("what", "of", "on", "field"), IGNORED, ids=[row[0] for row in IGNORED])
def test_what_has_no_effect_is_named(what: str, of: TrainJob, on: ClusterTrainingRuntime, field: str) -> None:
    assert [one.field for one in resolve(of, on, PORT).ineffective] == [field], what


def test_defaults_the_api_server_writes_are_no_wishes() -> None:
    defaulted = {
        "failurePolicy": {"maxRestarts": 1, "restartStrategy": "Recreate"},
        "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True},
        "successPolicy": {"operator": "All"},
        "startupPolicy": {"startupPolicyOrder": "AnyOrder"},
    }
    indexed = {"template": {"spec": {"completionMode": "Indexed", "parallelism": 2, "completions": 2}}}
    assert resolved(job(), runtime(jobset=defaulted, replicated=indexed)).ineffective == ()


def test_metadata_of_patches_is_merged_over_that_of_the_runtime() -> None:
    patch = {
        "metadata": {"labels": {"team": "ours"}, "annotations": {"note": "set"}},
        "spec": {
            "replicatedJobs": [
                {
                    "name": "node",
                    "template": {"metadata": {"labels": {"job": "x"}, "annotations": {"a": "1"}}},
                }
            ]
        },
    }
    base = encode(runtime())
    base["spec"]["template"]["metadata"] = {"labels": {"team": "theirs", "kept": "yes"}}
    entry = {"manager": "tests", "trainingRuntimeSpec": {"template": patch}}
    made = resolved(job(runtimePatches=[entry]), decode(ClusterTrainingRuntime, base))
    assert made.labels == {"team": "ours", "kept": "yes"}
    assert made.annotations == {"note": "set"}
    pods = made.pod_sets[0].template.metadata
    assert pods.labels["job"] == "x"
    assert pods.annotations["a"] == "1"
    assert made.ineffective == ()


@given(st.dictionaries(st.sampled_from(["x-one", "x-two"]), st.integers() | st.text(max_size=3), min_size=1))
def test_fields_nobody_here_knows_survive_the_merge(extra: dict[str, Any]) -> None:
    pods = node_set(job(trainer={"image": "i"}), runtime(extra))
    kept = encode(pods)["template"]["spec"]["containers"][0]
    assert {name: kept[name] for name in extra} == extra


json_values = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=8,
)
documents = st.dictionaries(st.sampled_from("abcd"), json_values, max_size=4)


@given(documents, documents)
def test_laying_a_patch_over_twice_is_laying_it_over_once(
    base: dict[str, Any], patch: dict[str, Any]
) -> None:
    once = overlay(base, patch)
    assert overlay(once, patch) == once


@given(documents)
def test_an_empty_patch_changes_nothing(base: dict[str, Any]) -> None:
    assert overlay(base, {}) == base
