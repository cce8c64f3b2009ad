"""Makes a TrainJob of a Python script: what `springtide run train.py` submits.

A TrainJob has no field for the working directory (Kubeflow Trainer takes the image's). The script shall
find the files beside it as it does without us, so the command changes into the caller's folder first:
`sh -c 'cd "$0" && exec "$@"' FOLDER torchrun train.py …`. The folder must exist on the nodes that run
the job: true on one machine; on a cluster put the script into an image and write a TrainJob.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from springtide.api import labels
from springtide.cli.errors import EXIT_USAGE, CliError

TORCH = "torch-distributed"
PLAIN = "plain"
GPU = "nvidia.com/gpu"

_IN_FOLDER = 'cd "$0" && exec "$@"'
_LONGEST_NAME = 50
"""A generated name is this plus a dash and five characters: pods and hosts named after it stay under 63."""


@dataclass(frozen=True)
class ScriptJob:
    """What the user asked for. Amounts are per node, as Kubernetes quantities; None: the runtime decides."""

    script: Path
    folder: Path
    arguments: tuple[str, ...] = ()
    name: str = ""
    namespace: str = ""
    """Empty: that of the connection."""
    runtime: str = ""
    nodes: int = 1
    processes_per_node: int | None = None
    cpus: str | None = None
    memory: str | None = None
    gpus: int = 0
    queue: str = ""
    image: str = ""
    env: dict[str, str] = field(default_factory=dict)


def train_job(job: ScriptJob) -> dict[str, Any]:
    """The TrainJob, as it will be sent. Raises CliError if the script cannot be read or parsed."""
    runtime = job.runtime or runtime_for(read_script(job.folder / job.script), str(job.script))
    program = "torchrun" if runtime == TORCH else "python"
    trainer: dict[str, Any] = {
        "numNodes": job.nodes,
        "command": ["sh", "-c", _IN_FOLDER, str(job.folder), program, str(job.script)],
    }
    if job.arguments:
        trainer["args"] = list(job.arguments)
    if job.image:
        trainer["image"] = job.image
    if job.processes_per_node is not None:
        trainer["numProcPerNode"] = job.processes_per_node
    if job.env:
        trainer["env"] = [{"name": name, "value": value} for name, value in job.env.items()]
    resources = _resources(job)
    if resources:
        trainer["resourcesPerNode"] = resources
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": _metadata(job),
        "spec": {"runtimeRef": {"name": runtime}, "trainer": trainer},
    }


def read_script(path: Path) -> str:
    """The script's text. Raises CliError when it is no readable Python file."""
    if not path.exists():
        raise CliError(f"{path}: no such script", "give the path of a Python file", EXIT_USAGE)
    if path.suffix != ".py":
        raise CliError(
            f"{path}: not a Python script (.py)",
            "for another program write a TrainJob and start it with `springtide run -f trainjob.yaml`",
            EXIT_USAGE,
        )
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CliError(f"{path}: not UTF-8 text (byte {error.start})") from error


def runtime_for(source: str, name: str) -> str:
    """`torch-distributed` for a script that imports torch anywhere, else `plain`.

    A script that is not valid Python is refused here, before it waits in a queue to fail.
    """
    try:
        tree = ast.parse(source, name)
    except SyntaxError as error:
        raise CliError(
            f"{name}:{error.lineno}: {error.msg}", "the script does not parse as Python"
        ) from error
    return TORCH if "torch" in _imported(tree) else PLAIN


def generated_prefix(script: Path) -> str:
    """The DNS label a script's jobs are named after, with the dash before the server's suffix."""
    label = re.sub(r"[^a-z0-9]+", "-", script.stem.lower()).strip("-")[:_LONGEST_NAME].strip("-")
    if not label or not label[0].isalpha():
        label = f"job-{label}".rstrip("-")
    return f"{label}-"


def parse_env(pairs: tuple[str, ...]) -> dict[str, str]:
    """`K=V` pairs as a mapping. Raises CliError for one without `=` or with an impossible name."""
    parsed: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", name):
            raise CliError(f"--env {pair!r}: not NAME=VALUE", "for example --env EPOCHS=3", EXIT_USAGE)
        parsed[name] = value
    return parsed


def _metadata(job: ScriptJob) -> dict[str, Any]:
    metadata: dict[str, Any] = (
        {"name": job.name} if job.name else {"generateName": generated_prefix(job.script)}
    )
    if job.namespace:
        metadata["namespace"] = job.namespace
    if job.queue:
        metadata["labels"] = {labels.QUEUE_NAME: job.queue}
    return metadata


def _resources(job: ScriptJob) -> dict[str, Any]:
    """Requests for what is shared; GPUs also as a limit, which Kubernetes demands of extended resources."""
    asked = {"cpu": job.cpus, "memory": job.memory, GPU: str(job.gpus) if job.gpus else None}
    requests = {name: amount for name, amount in asked.items() if amount is not None}
    limits = {name: amount for name, amount in requests.items() if name == GPU}
    resources: dict[str, Any] = {}
    if requests:
        resources["requests"] = requests
    if limits:
        resources["limits"] = limits
    return resources


def _imported(tree: ast.AST) -> set[str]:
    """Top-level packages imported anywhere in the script, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found
