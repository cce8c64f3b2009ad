"""A storage for torch.distributed.checkpoint: `dcp.save`, `async_save` and `load` through snapshots in
memory.

```python
from springtide.sdk.checkpoint.dcp import Reader, Writer

writer = Writer()  # keep it: its memory is used again
dcp.async_save(state_dict, storage_writer=writer, checkpoint_id=f"step-{step}")
dcp.load(state_dict, storage_reader=Reader())  # the newest committed step
```

For programs that use DCP already; the files are those of `Checkpointer`, with its checksums and COMMIT. DCP
plans who writes what, and reshards. This module imports PyTorch, and is imported by nobody but such programs.
DCP itself brings objects that are no tensors as pickles, and opens them as such.
"""

from __future__ import annotations

import io
import os
import re
import secrets
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.metadata import (
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    StorageMeta,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import (
    LoadItemType,
    LoadPlan,
    LoadPlanner,
    ReadItem,
    SavePlan,
    SavePlanner,
    WriteItem,
    WriteItemType,
)
from torch.distributed.checkpoint.storage import StorageReader, StorageWriter, WriteResult
from torch.futures import Future

from springtide.sdk.checkpoint import arrays, reading, sharing
from springtide.sdk.checkpoint.atomic import checkpoint_dir
from springtide.sdk.checkpoint.crew import node_of
from springtide.sdk.checkpoint.layout import CheckpointError, DamagedError, Manifest, Piece, Stored
from springtide.sdk.checkpoint.memory import memory_folder
from springtide.sdk.checkpoint.reading import Candidate, Part
from springtide.sdk.checkpoint.snapshots import Snapshots
from springtide.sdk.place import rank as rank_here

Path_ = str | os.PathLike[str]
_ID = re.compile(r"(?:step-)?(\d+)")
_TIMEOUT_SECONDS = 1800.0


def _root(directory: Path_ | None) -> Path:
    return Path(directory).absolute() if directory is not None else checkpoint_dir().absolute()


def _step_of(checkpoint_id: Path_) -> int:
    match = _ID.fullmatch(Path(checkpoint_id).name)
    if match is None:
        raise CheckpointError(f'checkpoint_id is {checkpoint_id!s}; name the step, such as "step-120"')
    return int(match[1])


def _future(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future


class Writer(StorageWriter):
    """Writes what DCP plans: a copy into the node's memory, then storage; `save` returns when it is
    committed.

    With `async_save` all of that is beside training. The number of the step comes from `checkpoint_id`.
    """

    def __init__(
        self,
        directory: Path_ | None = None,
        *,
        memory: bool | Path_ = True,
        keep: int = 2,
        keep_every: int = 0,
    ) -> None:
        super().__init__()
        self._snapshots = Snapshots(_root(directory), memory, keep, keep_every)
        self._step: int | None = None
        self._rank = 0
        self._opened = False

    def reset(self, checkpoint_id: Path_ | None = None) -> None:
        self._step = None if checkpoint_id is None else _step_of(checkpoint_id)

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        if not kwargs.get("use_collectives", True):
            raise CheckpointError("use_collectives=False is not supported: a step is committed by all ranks")
        rank = kwargs.get("rank")
        self._rank = rank_here() if rank is None else rank
        if not self._opened:
            self._snapshots.open(self._rank)
            self._opened = True

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        """Tells the coordinator where this rank is and what it has seen, once its last snapshot is whole."""
        if self._step is None:
            raise CheckpointError('checkpoint_id is missing; name the step, such as "step-120"')
        self._snapshots.settle()
        root = self._snapshots.memory or self._snapshots.directory
        seen = max(
            reading.in_memory(root, self._rank, 1).generation,
            reading.in_storage(self._snapshots.directory).generation,
        )
        return replace(plan, storage_data=(node_of(root), seen))

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        words = [plan.storage_data for plan in plans]
        session = f"{max(seen for _, seen in words) + 1:06d}-{secrets.token_hex(8)}"
        placed = []
        for rank, plan in enumerate(plans):
            local = tuple(other for other, (node, _) in enumerate(words) if node == words[rank][0])
            placed.append(replace(plan, storage_data=(sharing.Place(rank, len(plans), local), session)))
        return placed

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        place, session = plan.storage_data
        resolved = [(item, _resolved(item, planner)) for item in plan.items]
        stowed = [_stow(item, data) for item, data in resolved]
        places, own, size = sharing.offsets(stowed)
        assert self._step is not None
        manifest = Manifest(
            step=self._step,
            rank=place.rank,
            world=place.world,
            local=place.local,
            session=session,
            time=time.time(),
            bytes=size,
            own=own,
            tensors=_stored(resolved, stowed, places),
            tree={"dcp": _paths(plan.planner_data)},
        )
        self._snapshots.take(manifest, stowed, places)
        results = [
            WriteResult(item.index, stow.bytes, None)
            for (item, _), stow in zip(resolved, stowed, strict=True)
        ]
        return _future(results)

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:  # noqa: ARG002
        """Manifests say all that the metadata does; what is left is to wait until all parts are durable."""
        if not self._snapshots.wait("done", _TIMEOUT_SECONDS):
            raise CheckpointError(f"step {self._step} was not committed within {_TIMEOUT_SECONDS:.0f} s")
        if (error := self._snapshots.works[-1].error) is not None:
            raise error

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Path_) -> bool:
        return _ID.fullmatch(Path(checkpoint_id).name) is not None

    def storage_meta(self) -> StorageMeta | None:
        return StorageMeta(checkpoint_id=f"step-{self._step}")

    def close(self) -> None:
        """End the writer process, when all is written."""
        self._snapshots.close(finished=True)


def _resolved(item: WriteItem, planner: SavePlanner) -> Any:
    data = planner.resolve_data(item)
    return bytes(data.getbuffer()) if isinstance(data, io.BytesIO) else data.detach()


def _stow(item: WriteItem, data: Any) -> sharing.Stow:
    if item.type == WriteItemType.BYTE_IO:
        return sharing.Stow(item.index.fqn, (0,), (len(data),), data, len(data), own=True, local=False)
    assert item.tensor_data is not None
    start, size = tuple(item.tensor_data.chunk.offsets), tuple(item.tensor_data.chunk.sizes)
    count = data.numel() * data.element_size()
    return sharing.Stow(item.index.fqn, start, size, data, count, own=True, local=False)


def _stored(
    resolved: list[tuple[WriteItem, Any]], stowed: list[sharing.Stow], places: list[int]
) -> dict[str, Stored]:
    tensors: dict[str, Stored] = {}
    for (item, _), stow, at in zip(resolved, stowed, places, strict=True):
        piece = Piece(at, stow.bytes, stow.start, stow.size)
        if item.tensor_data is None:
            tensors[stow.name] = Stored(_BYTES, stow.size, (piece,), sharded=True)
            continue
        held = tensors.get(stow.name)
        dtype = str(item.tensor_data.properties.dtype).removeprefix("torch.")
        pieces = (*(held.pieces if held is not None else ()), piece)
        tensors[stow.name] = Stored(dtype, tuple(item.tensor_data.size), pieces, sharded=True)
    return tensors


_BYTES = "bytes"


def _paths(mappings: Any) -> dict[str, list[Any]]:
    """DCP's way from a flat name to its place in nested dicts."""
    return {name: list(path) for name, path in (mappings or {}).items()}


class Reader(StorageReader):
    """Reads a step: from this node's memory if all of it is there, else from storage; checks every byte it
    takes.

    Without `checkpoint_id` that is the newest committed one. Raises DamagedError, and reads nothing more, if
    a part is not what was written: name an earlier step then (`Checkpointer.restore` does that by itself).
    """

    def __init__(self, directory: Path_ | None = None, *, memory: bool | Path_ = True) -> None:
        super().__init__()
        self._directory = _root(directory)
        self._memory = memory_folder(memory, self._directory)
        self._step: int | None = None
        self._candidate: Candidate | None = None

    def reset(self, checkpoint_id: Path_ | None = None) -> None:
        self._step = None if checkpoint_id is None else _step_of(checkpoint_id)
        self._candidate = None

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:  # noqa: ARG002
        self._candidate = candidate = self._newest()
        described: dict[str, Any] = {}
        paths: dict[str, tuple[Any, ...]] = {}
        for part in candidate.parts.values():
            for name, path in (part.manifest.tree.get("dcp") or {}).items():
                paths[name] = tuple(path)
            for name, stored in part.manifest.tensors.items():
                _describe(described, name, stored)
        return Metadata(described, paths, storage_data={}, storage_meta=StorageMeta())

    def _newest(self) -> Candidate:
        survey = reading.in_storage(self._directory)
        wanted = [one for one in survey.candidates if self._step is None or one.step == self._step]
        if not wanted:
            what = "no step" if self._step is None else f"step {self._step}"
            problems = f" ({'; '.join(survey.problems)})" if survey.problems else ""
            raise CheckpointError(f"{what} is committed in {self._directory}{problems}")
        newest = max(wanted, key=lambda one: one.key)
        if self._memory is not None:
            for one in reading.in_memory(self._memory, 0, 0).candidates:
                if one.key == newest.key and one.parts.keys() >= newest.parts.keys():
                    return one
        return newest

    def set_up_storage_reader(
        self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any
    ) -> None:
        """Everything is known since `read_metadata`."""

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        return plan

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        return plans

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        assert self._candidate is not None
        found = [(item, *_find(self._candidate, item)) for item in plan.items]
        reading.check([(part, piece.at, piece.bytes) for _, part, piece, _ in found], torch.get_num_threads())
        for item, part, piece, dtype in found:
            _read(item, part, piece, dtype, planner)
        return _future(None)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Path_) -> bool:
        return _ID.fullmatch(Path(checkpoint_id).name) is not None


def _describe(described: dict[str, Any], name: str, stored: Stored) -> None:
    if stored.dtype == _BYTES:
        described[name] = BytesStorageMetadata()
        return
    if name not in described:
        properties = TensorProperties(dtype=arrays.torch_dtype(stored.dtype))
        described[name] = TensorStorageMetadata(properties, torch.Size(stored.shape), [])
    described[name].chunks.extend(
        ChunkStorageMetadata(torch.Size(piece.start), torch.Size(piece.size)) for piece in stored.pieces
    )


def _find(candidate: Candidate, item: ReadItem) -> tuple[Part, Piece, str]:
    start = None if item.storage_index.offset is None else tuple(item.storage_index.offset)
    for part in candidate.parts.values():
        stored = part.manifest.tensors.get(item.storage_index.fqn)
        for piece in stored.pieces if stored is not None else ():
            if stored is not None and (start is None or stored.dtype == _BYTES or piece.start == start):
                return part, piece, stored.dtype
    raise DamagedError(f"{item.storage_index.fqn} at {start} is in no part of step {candidate.step}")


def _read(item: ReadItem, part: Part, piece: Piece, dtype: str, planner: LoadPlanner) -> None:
    if item.type == LoadItemType.BYTE_IO:
        planner.load_bytes(item, io.BytesIO(part.mapping()[piece.at : piece.at + piece.bytes]))
        return
    target = planner.resolve_tensor(item).detach()
    if piece.bytes:
        box = tuple(
            slice(begin, begin + length)
            for begin, length in zip(item.storage_offsets, item.lengths, strict=True)
        )
        target.copy_(arrays.view("torch", part.mapping(), piece.at, dtype, piece.size)[box])
    planner.commit_tensor(item, target)
