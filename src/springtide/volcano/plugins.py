"""What a Job's `plugins` add to its pods: names of peers, the own index, and what frameworks want to know.

Each plugin is a function from the Job to what it adds to the template of a task; `templates` puts it in. What
depends on the pod's index is taken from its labels when the container starts, so that one template serves all
pods of a task. Names of variables, files and arguments are Volcano's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from springtide.api import labels
from springtide.api.core import (
    ConfigMap,
    ConfigMapKeySelector,
    ConfigMapVolumeSource,
    EnvVar,
    EnvVarSource,
    ObjectFieldSelector,
    Volume,
    VolumeMount,
)
from springtide.api.meta import ObjectMeta, owner_reference
from springtide.api.volcano_batch import Job
from springtide.volcano.tasks import Task, tasks_of

HOSTS_FOLDER = "/etc/volcano"
_INDEX = ObjectFieldSelector(field_path=f"metadata.labels['{labels.VOLCANO_TASK_INDEX}']")
_RANK = ObjectFieldSelector(field_path=f"metadata.annotations['{labels.RANK}']")
_PYTORCH_PORT, _TENSORFLOW_PORT = "23456", "2222"


@dataclass(frozen=True)
class Addition:
    """What a plugin adds to a task's template."""

    env: Sequence[EnvVar] = ()
    volumes: Sequence[Volume] = ()
    mounts: Sequence[VolumeMount] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)


Plugin = Callable[[Job, Task, Mapping[str, str]], Addition]
"""From the job, one of its tasks and the plugin's arguments."""


def additions(job: Job, task: Task) -> list[Addition]:
    """All that the job's plugins add to a task, in the order of their names."""
    return [
        PLUGINS[name](job, task, _arguments(given))
        for name, given in sorted(job.spec.plugins.items())
        if name in PLUGINS
    ]


def hosts(job: Job) -> ConfigMap | None:
    """Who the job's pods are, by task: what `svc` mounts into them; None without that plugin."""
    if "svc" not in job.spec.plugins:
        return None
    data: dict[str, str] = {}
    for task in tasks_of(job):
        names = _peers(job, task)
        key = _upper(task.name)
        data[f"{task.name.replace('-', '_')}.host"] = "\n".join(names)
        data[f"VC_{key}_HOSTS"] = ",".join(names)
        data[f"VC_{key}_NUM"] = str(len(names))
    metadata = ObjectMeta(
        name=_hosts_name(job),
        namespace=job.metadata.namespace,
        labels={labels.VOLCANO_JOB_NAME: job.metadata.name},
        owner_references=[owner_reference(job)],
    )
    return ConfigMap(metadata=metadata, data=data)


def _env(_job: Job, _task: Task, _arguments: Mapping[str, str]) -> Addition:
    """The pod's index within its task."""
    source = EnvVarSource(field_ref=_INDEX)
    return Addition([EnvVar(name=name, value_from=source) for name in ("VK_TASK_INDEX", "VC_TASK_INDEX")])


def _svc(job: Job, _task: Task, _arguments_given: Mapping[str, str]) -> Addition:
    """Files and variables with the names of all pods."""
    name = _hosts_name(job)
    variables = [f"VC_{_upper(one.name)}_{what}" for one in tasks_of(job) for what in ("HOSTS", "NUM")]
    env = [
        EnvVar(
            name=variable,
            value_from=EnvVarSource(config_map_key_ref=ConfigMapKeySelector(name=name, key=variable)),
        )
        for variable in variables
    ]
    volume = Volume(name=name, config_map=ConfigMapVolumeSource(name=name))
    return Addition(env, [volume], [VolumeMount(name=name, mount_path=HOSTS_FOLDER)])


def _pytorch(job: Job, task: Task, arguments: Mapping[str, str]) -> Addition:
    """torch.distributed's variables: the master has rank 0, the workers come after it."""
    roles = [arguments.get("master", "master"), arguments.get("worker", "worker")]
    known = {one.name: one for one in tasks_of(job)}
    master = known.get(roles[0])
    if master is None or task.name not in roles:
        return Addition()
    world = sum(known[role].replicas for role in dict.fromkeys(roles) if role in known)
    env = [
        EnvVar(name="MASTER_ADDR", value=_peers(job, master)[0]),
        EnvVar(name="MASTER_PORT", value=arguments.get("port", _PYTORCH_PORT)),
        EnvVar(name="WORLD_SIZE", value=str(world)),
        EnvVar(name="RANK", value_from=EnvVarSource(field_ref=_RANK)),
    ]
    first = 0 if task.name == roles[0] else 1
    return Addition(env, annotations={labels.FIRST_RANK: str(first)})


def _tensorflow(job: Job, task: Task, arguments: Mapping[str, str]) -> Addition:
    """TF_CONFIG: the cluster, and which task of it this pod is."""
    port = arguments.get("port", _TENSORFLOW_PORT)
    roles = {role: arguments.get(role, role) for role in ("ps", "worker", "chief", "evaluator")}
    by_name = {one.name: one for one in tasks_of(job)}
    cluster = {
        role: [f"{host}:{port}" for host in _peers(job, by_name[name])]
        for role, name in roles.items()
        if name in by_name
    }
    own = next((role for role, name in roles.items() if name == task.name), None)
    if own is None:
        return Addition()
    said = {"cluster": cluster, "task": {"type": own, "index": _MARK}}
    text = msgspec.json.encode(said).decode().replace(f'"{_MARK}"', "$(VC_TF_INDEX)")
    index = EnvVar(name="VC_TF_INDEX", value_from=EnvVarSource(field_ref=_INDEX))
    return Addition([index, EnvVar(name="TF_CONFIG", value=text)])


_MARK = "@index"
PLUGINS: Mapping[str, Plugin] = {"env": _env, "pytorch": _pytorch, "svc": _svc, "tensorflow": _tensorflow}


def _peers(job: Job, task: Task) -> list[str]:
    """Names by which the pods of a task are reached."""
    return [f"{task.pod(job, index)}.{job.metadata.name}" for index in range(task.replicas)]


def _hosts_name(job: Job) -> str:
    return f"{job.metadata.name}-svc"


def _upper(task: str) -> str:
    return task.replace("-", "_").upper()


def _arguments(given: Sequence[str]) -> dict[str, str]:
    """`--name=value` as a mapping."""
    pairs = (one.lstrip("-").partition("=") for one in given)
    return {name: value for name, _, value in pairs}
