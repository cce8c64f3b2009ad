"""Writes the reference pages that follow from the code: kinds with their fields, reasons, settings.

`python docs/generate.py --write` (in `make generate`) writes them; `--check` (in `make check`) fails when one
is out of date, missing or left over. What has no effect is read from the tables the controllers warn by;
the page of the commands is made by `springtide.cli.reference`.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import yaml

from springtide.api import (
    configuration,
    hypernodes,
    kueue,
    nodehealth,
    reasons,
    remediation,
    schema,
    springtide,
    trainer,
    volcano,
    volcano_batch,
)
from springtide.api.batch import JobSpec
from springtide.api.core import Pod
from springtide.api.jobset import JobSetFailurePolicy, ReplicatedJob
from springtide.api.meta import Object
from springtide.api.resources import resource_of
from springtide.api.struct import Struct, decode
from springtide.faults import VERDICTS, Fault
from springtide.faults import pages as fault_pages
from springtide.node import behaviour
from springtide.node.ignored import ignored_fields
from springtide.scheduling import ineffective as queueing
from springtide.scheduling import volcano_queues
from springtide.server.rbac_defaults import default_objects
from springtide.training import ineffective
from springtide.training.merge import SUPPORTED_ML_POLICIES
from springtide.up.identities import GROUPS
from springtide.volcano import ineffective as of_jobs

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "springtide"
REFERENCE = ROOT / "docs" / "reference"
FAULTS = ROOT / "docs" / "faults"
MADE = "Made from the code by `make generate`; do not edit."
UPSTREAM = "https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.34/"

KINDS: tuple[type[Object], ...] = (
    trainer.TrainJob,
    trainer.ClusterTrainingRuntime,
    trainer.TrainingRuntime,
    kueue.Workload,
    kueue.ClusterQueue,
    kueue.LocalQueue,
    kueue.Cohort,
    kueue.ResourceFlavor,
    kueue.Topology,
    kueue.WorkloadPriorityClass,
    kueue.AdmissionCheck,
    springtide.Diagnosis,
    springtide.RequestCeiling,
    remediation.RemediationPolicy,
    nodehealth.NodeHealth,
    configuration.SchedulerConfiguration,
    volcano_batch.Job,
    volcano.PodGroup,
    volcano.Queue,
    hypernodes.HyperNode,
)
STATUS_WRITERS = {
    "TrainJob": "training",
    "Workload": "scheduling, workloads, health",
    "ClusterQueue": "scheduling",
    "LocalQueue": "scheduling",
    "Queue": "scheduling",
    "Job": "volcano",
    "PodGroup": "volcano",
    "HyperNode": "scheduling",
    "NodeHealth": "collecting, health",
}

POD_ENVIRONMENT = {
    "PET_NNODES": "Nodes of the job, for torchrun (runtimes with mlPolicy.torch).",
    "PET_NPROC_PER_NODE": "Processes torchrun starts on each node: numProcPerNode, else GPUs, else CPUs.",
    "PET_NODE_RANK": "Which node this is, from 0.",
    "PET_MASTER_ADDR": "Host name of node 0.",
    "PET_MASTER_PORT": "Port the ranks meet at; unique among live jobs.",
    "JOB_COMPLETION_INDEX": "Index of the pod in its pod set, from 0, on any runtime.",
    "SPRINGTIDE_NUM_NODES": "How many pods the pod set has.",
    "SPRINGTIDE_POD_NAME": "Name of the pod.",
    "SPRINGTIDE_POD_NAMESPACE": "Namespace of the pod.",
    "SPRINGTIDE_POD_UID": "Uid of the pod; every process of a pod is recognised by it.",
    "SPRINGTIDE_CONTAINER": "Name of the container; like the uid, a mark of its processes.",
    "SPRINGTIDE_NODE_ID": "The data folder's node; like the uid, a mark of its processes.",
    "SPRINGTIDE_PROGRESS_FILE": "Where `springtide.sdk.report` writes progress.",
    "SPRINGTIDE_CHECKPOINT_DIR": "Folder that outlives attempts of the job; see `springtide.sdk`.",
    "SPRINGTIDE_MEMORY_DIR": "Folder in the node's memory for the job's snapshots; empty: there is no room.",
    "SPRINGTIDE_MEMORY_BYTES": "How much of it the job may use on this node.",
    "SPRINGTIDE_MTBF_SECONDS": "How long the job may expect to run undisturbed, by what its nodes have seen.",
    "SPRINGTIDE_HOSTS_FILE": "Names of the job's pods, where the pod cannot have an /etc/hosts of its own.",
    "SPRINGTIDE_SERVICEACCOUNT_DIR": "Folder with the pod's token, `ca.crt` and `namespace`: "
    "the usual one, or where it really is on a machine without private mounts.",
    "KUBERNETES_SERVICE_HOST": "Host of the API server, as within every cluster.",
    "KUBERNETES_SERVICE_PORT": "Port of the API server.",
    "KUBERNETES_SERVICE_PORT_HTTPS": "The same.",
    "GLOO_SOCKET_IFNAME": "`lo`: pods of one machine meet on its loopback interface.",
    "HOSTNAME": "Host name of the pod.",
    "TORCH_FR_BUFFER_SIZE": "2000: PyTorch's flight recorder remembers so many collectives (2.9 and later; "
    "for earlier ones set TORCH_NCCL_TRACE_BUFFER_SIZE).",
    "TORCH_FR_DUMP_TEMP_FILE": "Where a rank writes that memory when a collective times out; "
    "the node's collectors read it.",
    "TORCH_NCCL_DUMP_ON_TIMEOUT": "1: it does so.",
    "PATH": "That of the platform, this Python's programs first.",
    "PYTHONUNBUFFERED": "`1`: output is seen at once.",
}
PROGRAM_ENVIRONMENT = {
    "KUBECONFIG": "Kubeconfig files of the commands; `--kubeconfig` goes before it.",
    "SPRINGTIDE_DATA_DIR": "Data folder of the platform; `~/.springtide` when unset.",
    "SPRINGTIDE_DEBUG": "When set, an error is shown with its stack trace.",
    "NO_COLOR": "When set, nothing is coloured.",
    "KUBERNETES_SERVICE_HOST": "Set by Kubernetes inside a cluster: where its API server is.",
    "KUBERNETES_SERVICE_PORT": "The port of that server.",
}
SETTINGS = {
    "Process node": ("node/settings.py", "ProcessNodeSettings"),
    "Collectors of a node": ("collecting/settings.py", "CollectSettings"),
    "Platform (`springtide up`)": ("up/settings.py", "UpSettings"),
    "Scheduling": ("scheduling/controller.py", "Settings"),
    "Health": ("health/plan.py", "Settings"),
    "Health: hangs": ("health/hangs.py", "HangSettings"),
    "Health: checks of nodes": ("health/checkpods.py", "CheckSettings"),
    "Nodes, garbage and namespaces": ("builtin/controller.py", "Settings"),
}


_ON_PODS = f"""\
Pods are Kubernetes' own: [Pod]({UPSTREAM}#pod-v1-core). On nodes that run pods as processes, these fields do
not do what they do in a container. Images are not pulled either (event `ImageIgnored`).
`terminationMessagePath` and read-only mounts do work where the machine permits private mounts."""
_ON_REASONS = """\
What a job waits for is in its condition `Pending`, and in `QuotaReserved` of its Workload; why it failed is
in its Diagnosis. `springtide explain JOB` puts it together. Every new condition of a TrainJob is also told in
an event: its reason is the type of the condition when that is True, else the reason."""
_ON_DIAGNOSES = """\
One Diagnosis (`kubectl get diagnoses`) for every attempt that failed: the first rank to fail, whose fault it
is, and what is done. Where another attempt may help, it follows as long as the budget lasts; after a fault of
the program only within `failurePolicy.maxRestarts` of the runtime."""


# -- what has no effect ------------------------------------------------------------------------------


def without_effect(kind: type[Object]) -> dict[str, str]:
    """Paths of fields that are accepted and change nothing, with what to use instead."""
    if kind is trainer.TrainJob:
        return {
            "spec.initializer": ineffective.INITIALIZER_WHY,
            "spec.runtimeRef.apiGroup": ineffective.API_GROUP_WHY,
        }
    if kind in (trainer.ClusterTrainingRuntime, trainer.TrainingRuntime):
        policies = _names(trainer.MLPolicy) - set(SUPPORTED_ML_POLICIES)
        refused = "refused: jobs on such a runtime wait with reason UnsupportedMLPolicy"
        return {
            "spec.podGroupPolicy": ineffective.POD_GROUP_WHY,
            "spec.mlPolicy.torch.envInjection": ineffective.ENV_INJECTION_WHY,
            **{f"spec.mlPolicy.{name}": refused for name in policies},
            **_of_jobset("spec.template.spec"),
        }
    if kind is kueue.ClusterQueue:
        return _below("spec", queueing.CLUSTER_QUEUE_WHY)
    if kind is kueue.Cohort:
        return _below("spec", queueing.COHORT_WHY)
    if kind is kueue.ResourceFlavor:
        return _below("spec", queueing.FLAVOR_WHY)
    if kind is volcano.Queue:
        return _below("spec", volcano_queues.QUEUE_WHY)
    if kind is volcano_batch.Job:
        return _below("spec.tasks[]", of_jobs.TASK_WHY)
    if kind is kueue.AdmissionCheck:
        return _below("spec", queueing.ADMISSION_CHECK_WHY)
    if kind is kueue.LocalQueue:
        return _below("spec", queueing.LOCAL_QUEUE_WHY)
    return {}


def _below(path: str, why: Mapping[str, str]) -> dict[str, str]:
    return {f"{path}.{name}": said for name, said in why.items()}


def _of_jobset(root: str) -> dict[str, str]:
    why = {f"{root}.{name}": why for name, why in ineffective.JOBSET_WHY.items()}
    for name in _names(JobSetFailurePolicy) - {"maxRestarts"}:
        why[f"{root}.failurePolicy.{name}"] = ineffective.FAILURE_POLICY_WHY
    for name in _names(ReplicatedJob) - ineffective.EFFECTIVE_REPLICATED:
        why[f"{root}.replicatedJobs[].{name}"] = ineffective.REPLICATED_WHY
    for name in _names(JobSpec) - ineffective.EFFECTIVE_JOB:
        said = ineffective.JOB_WHY.get(name, ineffective.OTHERWISE_WHY)
        why[f"{root}.replicatedJobs[].template.spec.{name}"] = said
    return why


def _names(kind: type[Struct]) -> set[str]:
    return {info.encode_name for info in schema.fields_of(kind)}


def effect(kind: type[Object], path: str, known: Mapping[str, str]) -> str:
    """What setting the field at this path does."""
    if path == "status" or path.startswith("status."):
        return f"written by {STATUS_WRITERS.get(kind.__name__, 'the platform')}"
    if kind is springtide.Diagnosis:
        return "written by health"
    said = known.get(path, "")
    if said:
        return said if said.startswith("refused") else f"**accepted without effect**: {said}"
    below = any(path.startswith((f"{start}.", f"{start}[")) for start in known)
    return "without effect, as the whole" if below else "supported"


# -- kinds -------------------------------------------------------------------------------------------


def kind_page(kind: type[Object]) -> str:
    """Every field of one kind; types of Kubernetes itself are linked."""
    found = resource_of(kind)
    named = schema.definitions([kind])
    known = without_effect(kind)
    rows = [
        [f"`{path}`", type_, given, _cell(doc), _cell(effect(kind, path, known))]
        for path, type_, given, doc in _fields(named, schema.definition_name(kind), "")
    ]
    scope = "namespaced" if found.namespaced else "cluster-scoped"
    short = f", short {', '.join(f'`{name}`' for name in found.short_names)}" if found.short_names else ""
    return _page(
        f"{found.kind} ({found.api_version})",
        schema.definitions([kind])[schema.definition_name(kind)]["description"],
        f"`kubectl get {found.plural}`{short}; {scope}. The same texts: `kubectl explain {found.singular}`.",
        _table(["field", "type", "default", "meaning", "effect"], rows),
    )


def _fields(
    named: Mapping[str, Any], name: str, prefix: str, seen: tuple[str, ...] = ()
) -> Iterator[tuple[str, str, str, str]]:
    """Path, type, default and description, depth first."""
    definition = named[name]
    for field, property_ in definition.get("properties", {}).items():
        if not prefix and field in ("apiVersion", "kind", "metadata"):
            continue
        path = f"{prefix}{field}"
        required = field in definition.get("required", ())
        given = "required" if required else f"`{property_['default']}`" if "default" in property_ else ""
        type_, target, many = _type(property_)
        yield path, type_, given, property_.get("description", "")
        if target and _is_ours(target) and target not in seen:
            yield from _fields(named, target, f"{path}{many}.", (*seen, name))


def _type(property_: Mapping[str, Any]) -> tuple[str, str, str]:
    """How the type is shown, the definition it refers to, and `[]` or `{}` if it holds many of it."""
    if "$ref" in property_:
        target = property_["$ref"].rpartition("/")[2]
        return _shown(target), target, ""
    if property_.get("type") == "array":
        inner, target, _ = _type(property_["items"])
        return f"list of {inner}", target, "[]"
    if "additionalProperties" in property_:
        inner, target, _ = _type(property_["additionalProperties"])
        return f"map of {inner}", target, "{}"
    if "enum" in property_:
        return " or ".join(f"`{value}`" for value in property_["enum"] if value != ""), "", ""
    return property_.get("format") or property_.get("type", "any"), "", ""


def _shown(target: str) -> str:
    short = target.rpartition(".")[2]
    if _is_ours(target) or short in ("Quantity", "IntOrString"):
        return short
    group, version = target.split(".")[-3:-1]
    return f"[{short}]({UPSTREAM}#{short.lower()}-{version}-{group})"


def _is_ours(target: str) -> bool:
    """Whether the reference expands a type: those of the adopted kinds and of batch, which carries them."""
    return not target.startswith("io.k8s.") or target.startswith("io.k8s.api.batch.")


def pod_page() -> str:
    """What of a pod has no effect; everything else is Kubernetes' own."""
    asked = decode(Pod, _EVERYTHING)
    rows = [
        [f"`{path}`", "accepted without effect; an event `FieldsIgnored` names it"]
        for path in sorted({_anonymous(path) for path in ignored_fields(asked, private_mounts=False)})
    ]
    return _page(
        "Pods on process nodes",
        _ON_PODS,
        _table(["field", "effect"], rows),
    )


def _anonymous(path: str) -> str:
    return "[]".join(part.partition("]")[2] if at else part for at, part in enumerate(path.split("[")))


_HOOK = {"tcpSocket": {"port": 1}}
_CONTAINER: dict[str, Any] = {
    "name": "c",
    "stdin": True,
    "tty": True,
    "volumeDevices": [{"name": "d", "devicePath": "/d"}],
    "restartPolicyRules": [{"action": "Restart"}],
    "terminationMessagePath": "/elsewhere",
    "volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": True}],
    "lifecycle": {"postStart": _HOOK, "preStop": _HOOK},
    "securityContext": {
        "capabilities": {"add": ["NET_ADMIN"]},
        "privileged": True,
        "readOnlyRootFilesystem": True,
        "seLinuxOptions": {"user": "u"},
        "seccompProfile": {"type": "RuntimeDefault"},
        "appArmorProfile": {"type": "RuntimeDefault"},
        "runAsNonRoot": True,
    },
}
_TERM = [{"topologyKey": "zone"}]
_EVERYTHING: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "everything"},
    "spec": {
        "hostPID": True,
        "hostIPC": True,
        "shareProcessNamespace": True,
        "setHostnameAsFQDN": True,
        "runtimeClassName": "r",
        "dnsConfig": {},
        "ephemeralContainers": [{"name": "e"}],
        "securityContext": {"fsGroup": 1, "sysctls": [{"name": "n", "value": "v"}]},
        "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Gi", "medium": "Memory"}}],
        "initContainers": [_CONTAINER],
        "containers": [_CONTAINER],
        "affinity": {
            "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": _TERM},
            "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": _TERM},
        },
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
        ],
    },
}
"""A pod that sets every field a process node or the scheduler is known to leave aside."""


# -- reasons -----------------------------------------------------------------------------------------


def reasons_page() -> str:
    """Conditions, events and faults, with what to do about each."""
    faults = [
        [
            f"`{fault.value}`",
            _cell(v.meaning),
            str(v.blame),
            f"`{v.action}`",
            _cell(v.next_step),
        ]
        for fault, v in ((fault, VERDICTS[fault]) for fault in Fault)
    ]
    blames = dict(documented(SOURCE / "api" / "springtide.py", "Action"))
    actions = [[f"`{action.value}`", blames[action.name]] for action in springtide.Action]
    parts = [
        _ON_REASONS,
        "## Diagnosis",
        _ON_DIAGNOSES,
        _table(["faultClass", "what happened", "blame", "action", "next step"], faults),
        _table(["action", "what is done"], actions),
    ]
    for group in reasons.GROUPS:
        parts += [f"## {group.kind}: {group.condition or group.what}", group.meaning, _reasons(group)]
    return _page("Reasons", *parts)


def _reasons(group: reasons.Group) -> str:
    rows = [[f"`{one.name}`", _cell(one.meaning), _cell(one.next_step)] for one in group.reasons]
    return _table(["reason", "meaning", "what to do"], rows)


# -- settings ----------------------------------------------------------------------------------------


def settings_page() -> str:
    """Labels and annotations, environment variables, settings of the rooms."""
    values = dict(_constants(SOURCE / "api" / "labels.py"))
    keys = [[f"`{values[name]}`", _cell(doc)] for name, doc in documented(SOURCE / "api" / "labels.py")]
    parts = [
        "## Labels, annotations, taints and finalizers",
        _table(["key", "meaning"], keys),
        "## Annotations of pods on simulated nodes",
        _table(["key", "meaning"], [[f"`{key}`", _cell(doc)] for key, doc in simulation_annotations()]),
        "## Environment of pods",
        "Besides what the pod template sets and what is passed on of the platform's (`inherit_environment`).",
        _table(["variable", "meaning"], [[f"`{name}`", _cell(doc)] for name, doc in POD_ENVIRONMENT.items()]),
        "## Environment the program reads",
        _table(["variable", "effect"], [[f"`{name}`", doc] for name, doc in PROGRAM_ENVIRONMENT.items()]),
    ]
    for title, (file, name) in SETTINGS.items():
        given = dict(_defaults(SOURCE / file, name))
        rows = [
            [f"`{field}`", given.get(field, ""), _cell(doc)] for field, doc in documented(SOURCE / file, name)
        ]
        parts += [f"## {title}", _table(["setting", "default", "meaning"], rows)]
    return _page("Settings", *parts)


def simulation_annotations() -> list[tuple[str, str]]:
    """From the text at the top of their module, where they stand with an example each."""
    pattern = rf"^ +({re.escape(behaviour.PREFIX)}[a-z-]+: \S+) +(.+)$"
    return re.findall(pattern, behaviour.__doc__ or "", re.MULTILINE)


def documented(file: Path, class_: str = "") -> Iterator[tuple[str, str]]:
    """Names assigned at the top of a module, or in one of its classes, with the text below each."""
    body = _body(file, class_)
    for statement, follower in zip(body, [*body[1:], None], strict=True):
        name = _target(statement)
        if name is None or name.startswith("_"):
            continue
        is_text = isinstance(follower, ast.Expr) and isinstance(follower.value, ast.Constant)
        yield name, str(follower.value.value) if is_text else ""  # type: ignore[union-attr]


def _constants(file: Path) -> Iterator[tuple[str, str]]:
    for statement in _body(file, ""):
        name = _target(statement)
        if (
            name is not None
            and isinstance(statement, ast.AnnAssign)
            and isinstance(statement.value, ast.Constant)
        ):
            yield name, str(statement.value.value)


def _defaults(file: Path, class_: str) -> Iterator[tuple[str, str]]:
    for statement in _body(file, class_):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            value = statement.value
            plain = value is not None and not any(isinstance(part, ast.Call) for part in ast.walk(value))
            yield (
                statement.target.id,
                f"`{ast.unparse(value)}`" if plain and value else ("" if value else "required"),
            )


def _body(file: Path, class_: str) -> list[ast.stmt]:
    module = ast.parse(file.read_text())
    if not class_:
        return module.body
    return next(node for node in module.body if isinstance(node, ast.ClassDef) and node.name == class_).body


def _target(statement: ast.stmt) -> str | None:
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return statement.target.id
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id
    return None


# -- writing -----------------------------------------------------------------------------------------


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", MADE, *parts]) + "\n"


def _table(header: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [header, ["---"] * len(header), *rows])


def _cell(text: str) -> str:
    """On one line; what Markdown would take for a column or a tag is escaped outside of code."""
    parts = " ".join(text.split()).replace("|", "\\|").split("`")
    return "`".join(
        part if code else part.replace("<", "&lt;")
        for part, code in zip(parts, cycle((False, True)), strict=False)
    )


def rights(part: str) -> str:
    """What a real cluster's administrator gives a part: an account, with the role of embedded servers."""
    group, account = GROUPS[part], f"springtide-{part}"
    place = {"namespace": "kube-system", "name": account}
    objects: list[dict[str, Any]] = [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": place}]
    for _, obj in default_objects():
        if obj["metadata"]["name"] == f"springtide:{part}":
            objects.append({**obj, "metadata": {"name": obj["metadata"]["name"]}})
    objects[-1]["subjects"] = [
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group},
        {"kind": "ServiceAccount", **place},
    ]
    head = (
        f"# For `springtide {part}` on a cluster. Made of the role in embedded servers by `make generate`.\n"
    )
    return head + yaml.safe_dump_all(objects, sort_keys=False, width=110)


def pages() -> dict[Path, str]:
    """Every page this module makes, by path."""
    made = {REFERENCE / "reasons.md": reasons_page(), REFERENCE / "settings.md": settings_page()}
    for kind in KINDS:
        found = resource_of(kind)
        made[REFERENCE / "kinds" / f"{found.group}-{found.kind}.md"] = kind_page(kind)
    made[REFERENCE / "kinds" / "core-Pod.md"] = pod_page()
    made |= {FAULTS / name: text for name, text in fault_pages.pages().items()}
    for part in ("scheduler", "controllers", "collect"):
        made[ROOT / "deploy" / "rbac" / f"{part}.yaml"] = rights(part)
    return made


def main(arguments: list[str]) -> int:
    """`--check` or `--write`; returns the exit code."""
    wanted = pages()
    left_over = {*(REFERENCE / "kinds").glob("*.md"), *FAULTS.glob("*.md")} - wanted.keys()
    if arguments == ["--write"]:
        for path, text in wanted.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for path in left_over:
            path.unlink()
        return 0
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    for path in sorted([*stale, *left_over]):
        sys.stderr.write(f"{path.relative_to(ROOT)} is out of date\n")
    if stale or left_over:
        sys.stderr.write("\nhint: make generate\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
