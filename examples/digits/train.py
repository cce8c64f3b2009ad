"""Recognise handwritten digits with PyTorch DistributedDataParallel, on data scikit-learn ships.

Runs on any number of processes, started by torchrun; see README.md beside this file. Needs `torch` and
`scikit-learn`; `springtide` is optional: without it the script trains just the same, unobserved.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

try:
    from springtide import sdk
except ImportError:
    sdk = None  # type: ignore[assignment]

HELD_OUT = 450  # of 1,797 digits; the rest is trained on


def main() -> None:
    options = parse_options()
    torch.set_num_threads(1)  # one core a process: threads of several ranks would fight for the cores
    dist.init_process_group("gloo")
    torch.manual_seed(options.seed + dist.get_rank())

    training, held_out = load_data(options.seed)
    sampler: DistributedSampler[Any] = DistributedSampler(training, shuffle=True, seed=options.seed)
    batches = DataLoader(training, batch_size=options.batch_size, sampler=sampler)
    model = DistributedDataParallel(build_model())
    if sdk is not None:
        sdk.watch(model)  # so that a rank that hangs or is slow can be told from those that wait for it
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate)

    state = {"model": model.module, "optimizer": optimizer, "epoch": -1}
    checkpoints = open_checkpoints()

    accuracy = 0.0
    for epoch in range(resume(checkpoints, state), options.epochs):
        sampler.set_epoch(epoch)
        set_learning_rate(optimizer, options, epoch)
        loss = train_epoch(model, optimizer, batches)
        accuracy = evaluate(model, held_out)
        state["epoch"] = epoch
        checkpoints.save(epoch, state)
        say(epoch + 1, options.epochs, loss, accuracy)
    accuracy = evaluate(model, held_out)
    checkpoints.wait()
    checkpoints.close()
    if dist.get_rank() == 0:
        print(f"digits: accuracy {accuracy:.3f} on {HELD_OUT} held-out digits, {options.epochs} epochs")
    dist.destroy_process_group()


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=32, help="per process")
    parser.add_argument("--learning-rate", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


def load_data(seed: int) -> tuple[TensorDataset, TensorDataset]:
    """(training, held out): images 1 x 8 x 8 in 0..1 and their digit. The same split on every rank."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(digits.target)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    parts = (order[HELD_OUT:], order[:HELD_OUT])
    training, held_out = (TensorDataset(images[part], labels[part]) for part in parts)
    return training, held_out


def build_model() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(32 * 4 * 4, 10),
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, options: argparse.Namespace, epoch: int) -> None:
    """Half a cosine, down to nearly nothing; it follows from the epoch, so resuming needs no state."""
    for group in optimizer.param_groups:
        group["lr"] = options.learning_rate * 0.5 * (1 + math.cos(math.pi * epoch / options.epochs))


def train_epoch(model: nn.Module, optimizer: torch.optim.Optimizer, batches: DataLoader[Any]) -> float:
    """One pass over this rank's share; the mean loss of this rank."""
    model.train()
    total = 0.0
    for images, labels in batches:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(batches)


@torch.no_grad()
def evaluate(model: DistributedDataParallel, held_out: TensorDataset) -> float:
    """Accuracy over all held-out digits; every rank judges its share and all ranks learn the result."""
    model.eval()
    images, labels = (tensor[dist.get_rank() :: dist.get_world_size()] for tensor in held_out.tensors)
    correct: Tensor = (model.module(images).argmax(dim=1) == labels).sum()
    dist.all_reduce(correct)
    return correct.item() / len(held_out)


def open_checkpoints() -> Any:
    """The platform's, which do not keep training waiting; without it, one file by `torch.save`."""
    return sdk.Checkpointer() if sdk is not None else OneFile(Path("checkpoints"))


def resume(checkpoints: Any, state: dict[str, Any]) -> int:
    """Fill model and optimizer from the newest checkpoint, if any; the epoch to start with."""
    _, newest = checkpoints.restore(like=state)
    if newest is None:
        return 0
    if dist.get_rank() == 0:
        print(f"resuming after epoch {newest + 1}")
    return int(newest) + 1


class OneFile:
    """The same calls with PyTorch alone: rank 0 writes a file, whole or not at all, while all wait.

    On one machine, or with a folder all ranks see. Random states are not in it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "newest.pt"

    def save(self, step: int, state: dict[str, Any]) -> None:
        if dist.get_rank() != 0:
            return
        self.path.parent.mkdir(exist_ok=True)
        kept = {name: one.state_dict() for name, one in state.items() if hasattr(one, "state_dict")}
        partial = self.path.with_suffix(".partial")
        torch.save({**kept, "epoch": step}, partial)
        partial.replace(self.path)

    def restore(self, like: dict[str, Any]) -> tuple[dict[str, Any], int | None]:
        if not self.path.exists():
            return like, None
        kept = torch.load(self.path, weights_only=True)
        for name, one in like.items():
            if hasattr(one, "load_state_dict"):
                one.load_state_dict(kept[name])
        return like, int(kept["epoch"])

    def wait(self) -> None:
        """What is saved is there when `save` returns."""

    def close(self) -> None:
        """Nothing is open."""


def say(epoch: int, epochs: int, loss: float, accuracy: float) -> None:
    if dist.get_rank() == 0:
        print(f"epoch {epoch}/{epochs}: loss {loss:.4f}, accuracy {accuracy:.3f}")
    if sdk is not None:
        sdk.report(step=epoch, total=epochs, metrics={"loss": loss, "accuracy": accuracy})


if __name__ == "__main__":
    main()
