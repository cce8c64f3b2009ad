"""Processes that train together over gloo, for tests: `run(world, job, root)` gives what each rank returned.

They are forked from a server that has imported PyTorch, since importing it is most of such a process's life.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save, save
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from springtide import sdk
from springtide.sdk.checkpoint.dcp import Reader, Writer

torch.optim.AdamW([torch.zeros(1)])  # the first one imports much, which every rank would do for itself

TIMEOUT_SECONDS = 90

Job = Callable[[int, int, Path], Any]


def run(world: int, job: Job, root: Path) -> list[Any]:
    """Run a job on so many ranks; raises AssertionError with the trace of the first rank that failed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with tempfile.TemporaryDirectory() as folder:
        ranks = [
            context.Process(target=_rank, args=(job, rank, world, root, folder)) for rank in range(world)
        ]
        for process in ranks:
            process.start()
        for process in ranks:
            process.join(TIMEOUT_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()
        said = [Path(folder, f"said-{rank}") for rank in range(world)]
        for rank, path in enumerate(said):
            assert path.exists(), f"rank {rank} of {world} said nothing"
            answer = json.loads(path.read_text())
            assert "error" not in answer, answer["error"]
        return [json.loads(path.read_text())["answer"] for path in said]


def _rank(job: Job, rank: int, world: int, root: Path, folder: str) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    try:
        answer = {"answer": job(rank, world, root)}
    except BaseException:  # noqa: BLE001 - said to whoever started the ranks
        answer = {"error": f"rank {rank}: {traceback.format_exc()}"}
    Path(folder, f"said-{rank}").write_text(json.dumps(answer))
    if "error" not in answer:
        dist.destroy_process_group()


def model() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))


class Sampler:
    """As samplers are: something with a position, its own on each rank."""

    def __init__(self, rank: int) -> None:
        self.position = rank

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.position = state["position"]


def ddp_state(rank: int) -> dict[str, Any]:
    net = DistributedDataParallel(model())
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=20)
    return {
        "model": net,
        "optimizer": optimizer,
        "scheduler": scheduler,
        "sampler": Sampler(rank),
        "epoch": 0,
    }


def train(state: dict[str, Any], step: int) -> None:
    state["optimizer"].zero_grad()
    state["model"](torch.randn(4, 5)).pow(2).sum().backward()
    state["optimizer"].step()
    if "scheduler" in state:
        state["scheduler"].step()
        state["sampler"].position += 10
    state["epoch"] = step


def whole(state: dict[str, Any]) -> dict[str, Any]:
    """Weights and moments in full, as lists, equal for any number of ranks."""
    tensors = {f"model.{name}": one for name, one in state["model"].state_dict().items()}
    for number, kept in state["optimizer"].state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": one for name, one in kept.items()}
    return {
        name.replace("module.", ""): (one.full_tensor() if hasattr(one, "full_tensor") else one).tolist()
        for name, one in tensors.items()
    }


def train_ddp(rank: int, world: int, root: Path) -> dict[str, Any]:
    """Each rank on a node of its own; saves steps 0 to 2 and trains one more, which is lost."""
    torch.manual_seed(100 + rank)
    state = ddp_state(rank)
    torch.manual_seed(100 + rank)
    with sdk.Checkpointer(root / "disk", memory=root / f"memory-{rank}", interval=None) as checkpoints:
        assert checkpoints.restore(like=state)[1] is None
        for step in range(3):
            train(state, step)
            checkpoints.save(step, state)
    saved = whole(state)
    draw = torch.rand(1).item()
    return {"whole": saved, "position": state["sampler"].position, "draw": draw}


def resume_ddp(rank: int, world: int, root: Path) -> dict[str, Any]:
    torch.manual_seed(0)
    state = ddp_state(rank)
    with sdk.Checkpointer(root / "disk", memory=root / f"memory-{rank}", interval=None) as checkpoints:
        state, step = checkpoints.restore(like=state)
        assert checkpoints.restored is not None
        return {
            "whole": whole(state),
            "position": state["sampler"].position,
            "draw": torch.rand(1).item(),
            "step": step,
            "epoch": state["epoch"],
            "where": checkpoints.restored.where,
            "skipped": list(checkpoints.restored.skipped),
        }


def fsdp_state(world: int) -> dict[str, Any]:
    net = model()
    mesh = init_device_mesh("cpu", (world,))
    for layer in net.children():
        if isinstance(layer, nn.Linear):
            fully_shard(layer, mesh=mesh)
    fully_shard(net, mesh=mesh)
    return {"model": net, "optimizer": torch.optim.AdamW(net.parameters(), lr=0.1), "epoch": 0}


def train_fsdp(rank: int, world: int, root: Path) -> dict[str, Any]:
    """Go on from the newest step, on however many ranks, for two more."""
    state = fsdp_state(world)
    memory = root / f"memory-{world}-{rank}"
    with sdk.Checkpointer(root / "disk", memory=memory, interval=None) as checkpoints:
        state, step = checkpoints.restore(like=state)
        before = whole(state)
        begin = 0 if step is None else step + 1
        for number in range(begin, begin + 2):
            train(state, number)
            checkpoints.save(number, state)
        checkpoints.wait()
        return {"step": step, "before": before, "after": whole(state)}


def dcp_state(world: int) -> tuple[dict[str, Any], dict[str, Any]]:
    state = fsdp_state(world)
    train(state, 0)  # so that the optimizer has moments to load into
    model_state, optimizer_state = get_state_dict(state["model"], state["optimizer"])
    return state, {"model": model_state, "optimizer": optimizer_state, "epoch": 7}


def save_dcp(rank: int, world: int, root: Path) -> dict[str, Any]:
    """One step by `dcp.save`, a later one by `dcp.async_save`."""
    state, flat = dcp_state(world)
    writer = Writer(root / "disk", memory=root / f"memory-{rank}")
    save(flat, storage_writer=writer, checkpoint_id="step-1")
    train(state, 1)
    model_state, optimizer_state = get_state_dict(state["model"], state["optimizer"])
    flat = {"model": model_state, "optimizer": optimizer_state, "epoch": 8}
    future = async_save(flat, storage_writer=writer, checkpoint_id="step-2")
    assert isinstance(future, Future)
    future.result()
    writer.close()
    return whole(state)


def load_dcp(rank: int, world: int, root: Path) -> dict[str, Any]:
    state, flat = dcp_state(world)
    load(flat, storage_reader=Reader(root / "disk", memory=root / f"memory-{rank}"))
    set_state_dict(
        state["model"],
        state["optimizer"],
        model_state_dict=flat["model"],
        optim_state_dict=flat["optimizer"],
    )
    assert flat["epoch"] == 8
    return whole(state)
