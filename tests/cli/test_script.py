"""From a script to a TrainJob."""

from __future__ import annotations

from pathlib import Path

import pytest

from springtide.api.struct import decode, encode, unknown_paths
from springtide.api.trainer import TrainJob
from springtide.cli.errors import CliError
from springtide.cli.script import ScriptJob, generated_prefix, parse_env, runtime_for, train_job


@pytest.mark.parametrize(
    ("source", "runtime"),
    [
        ("import torch", "torch-distributed"),
        ("import torch.distributed as dist", "torch-distributed"),
        ("from torch.nn import Linear", "torch-distributed"),
        ("def f():\n    import torch", "torch-distributed"),
        ("try:\n    import torch\nexcept ImportError:\n    torch = None", "torch-distributed"),
        ("import numpy", "plain"),
        ("import torchlight", "plain"),
        ("from .torch import x", "plain"),
        ("# import torch\ns = 'import torch'", "plain"),
        ("", "plain"),
    ],
)
def test_the_runtime_follows_from_the_imports(source: str, runtime: str) -> None:
    assert runtime_for(source, "s.py") == runtime


def test_a_script_that_does_not_parse_is_refused_with_its_line() -> None:
    with pytest.raises(CliError) as caught:
        runtime_for("x = 1\nif x\n    pass\n", "s.py")
    assert caught.value.message.startswith("s.py:2: ")


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("train.py", "train-"),
        ("My_Model v2.py", "my-model-v2-"),
        ("3d.py", "job-3d-"),
        ("__init__.py", "init-"),
        ("ä.py", "job-"),
        (f"{'x' * 80}.py", f"{'x' * 50}-"),
    ],
)
def test_jobs_are_named_after_the_script(name: str, prefix: str) -> None:
    assert generated_prefix(Path(name)) == prefix


def test_the_job_is_what_the_api_types_know(tmp_path: Path) -> None:
    (tmp_path / "t.py").write_text("import torch")
    asked = ScriptJob(
        script=Path("t.py"),
        folder=tmp_path,
        arguments=("--lr", "0.1"),
        name="mine",
        namespace="team",
        nodes=4,
        processes_per_node=2,
        cpus="2",
        memory="4Gi",
        gpus=1,
        queue="research",
        image="img",
        env={"A": "1"},
    )
    raw = train_job(asked)
    typed = decode(TrainJob, raw)
    assert unknown_paths(typed) == []
    assert encode(typed)["spec"]["trainer"] == raw["spec"]["trainer"]
    trainer = typed.spec.trainer
    assert trainer is not None
    assert trainer.command == ["sh", "-c", 'cd "$0" && exec "$@"', str(tmp_path), "torchrun", "t.py"]
    assert trainer.args == ["--lr", "0.1"]
    assert (trainer.num_nodes, trainer.num_proc_per_node) == (4, 2)


def test_env_keeps_what_follows_the_first_equals_sign() -> None:
    assert parse_env(("A=b=c", "EMPTY=")) == {"A": "b=c", "EMPTY": ""}


@pytest.mark.parametrize("pair", ["A", "=x", "1A=x", "a b=c"])
def test_env_that_is_no_assignment_is_refused(pair: str) -> None:
    with pytest.raises(CliError, match="NAME=VALUE"):
        parse_env((pair,))
