"""`watch`: tells a rank's own work from its waiting for peers, and counts the collectives it enters.

Peers that train together all take as long as the slowest of them, so only the time a rank works by itself
shows who is slow, and only the number of collectives it has entered shows who is behind. For
DistributedDataParallel a communication hook sees each bucket of gradients when it is ready: from the last
one until its sum is there, the rank waits. Other collectives are seen in `torch.distributed` itself. Called
by user code once, after the model is made; torch is imported only inside. Never raises.
"""

from __future__ import annotations

import sys
from functools import wraps

from springtide.sdk.marks import marks

TYPE_CHECKING = False  # importing `typing` would be most of this package's import time
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

COLLECTIVES = (
    "all_gather",
    "all_gather_into_tensor",
    "all_gather_object",
    "all_reduce",
    "all_to_all",
    "all_to_all_single",
    "barrier",
    "broadcast",
    "broadcast_object_list",
    "gather",
    "gather_object",
    "monitored_barrier",
    "recv",
    "reduce",
    "reduce_scatter",
    "reduce_scatter_tensor",
    "scatter",
    "scatter_object_list",
    "send",
)
"""Functions of `torch.distributed` in which ranks wait for each other."""
_SEEN = "__springtide_watches__"


def watch(
    model: Any = None,
    *,
    group: str = "",
    hook: Callable[[Any, Any], Any] | None = None,
    state: Any = None,
) -> Any:
    """Watch this rank wait for its peers; returns `model`.

    `model`: a DistributedDataParallel, whose steps are then counted by themselves; without one only what
    goes through `torch.distributed.all_reduce` and its like is seen. `group`: ranks of one group do the same
    work; name the stage of a pipeline, so that a stage that is slow by design is not held against its node.
    `hook` and `state`: a communication hook of your own, called as DDP would call it: DDP takes only one,
    so give it here instead of registering it. Never raises: what cannot be watched is said once on stderr.
    """
    try:
        import torch.distributed as dist

        marks.place(dist.get_rank() if dist.is_initialized() else None, group)
        _watch_collectives(dist)
        if model is not None and hasattr(model, "register_comm_hook"):
            _watch_reducer(model, hook or _average, state if hook is not None else model.process_group)
        marks.watched = True
    except Exception as error:  # noqa: BLE001 - watching must never end a training run
        print(f"springtide.sdk: waiting is not watched: {error!r}", file=sys.stderr, flush=True)  # noqa: T201
    return model


def _watch_collectives(dist: Any) -> None:
    """Count and time every collective that is called by its name in `torch.distributed`."""
    for name in COLLECTIVES:
        function = getattr(dist, name, None)
        if function is not None and not hasattr(function, _SEEN):
            setattr(dist, name, _timed(function))


def _timed(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def timed(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("async_op"):
            marks.count()
            return function(*args, **kwargs)
        marks.enter()
        try:
            return function(*args, **kwargs)
        finally:
            marks.leave()

    setattr(timed, _SEEN, function)
    return timed


def _watch_reducer(model: Any, hook: Callable[[Any, Any], Any], state: Any) -> None:
    """Stand before the hook that sums the gradients, and count steps by the buckets that are last."""
    device = _DeviceTimes(model)

    def watched(given: Any, bucket: Any) -> Any:
        if not bucket.is_last():
            marks.count()
            return hook(given, bucket)
        marks.step(busy_seconds=device.taken(bucket.buffer().is_cuda))
        marks.enter()
        future = hook(given, bucket)
        return future.then(_arrived)

    watched.__annotations__ = {}  # DDP compares them with its own classes, which are not imported here
    model.register_comm_hook(state, watched)
    marks.counts_steps = True


def _arrived(future: Any) -> Any:
    marks.leave()
    return future.value()


def _average(group: Any, bucket: Any) -> Any:
    """What DDP does without a hook: the mean over the ranks of its group."""
    import torch.distributed as dist

    all_reduce = getattr(dist.all_reduce, _SEEN, dist.all_reduce)
    tensor = bucket.buffer().div_(group.size())
    return all_reduce(tensor, group=group, async_op=True).get_future().then(_first)


def _first(future: Any) -> Any:
    return future.value()[0]


class _DeviceTimes:
    """How long a GPU worked for a step: from the start of forward to the last gradients, by its own clock.

    The host only queues work, so its clock says nothing. The events are read one or more steps later, and
    only once they have happened: reading them never waits.
    """

    def __init__(self, model: Any) -> None:
        self._began: Any = None
        self._open: list[tuple[Any, Any]] = []
        self._last: float | None = None
        if any(parameter.is_cuda for parameter in model.parameters()):
            model.register_forward_pre_hook(self._begin)

    def _begin(self, *_: Any) -> None:
        self._began = _device_event()

    def taken(self, on_device: bool) -> float | None:
        """Seconds of the newest step whose events have happened; None: not on a device, or none yet."""
        if not on_device or self._began is None:
            return None
        self._open.append((self._began, _device_event()))
        while self._open and self._open[0][1].query():
            began, ended = self._open.pop(0)
            self._last = began.elapsed_time(ended) / 1000
        del self._open[:-16]
        return self._last


def _device_event() -> Any:
    import torch

    make: Any = torch.cuda.Event
    event = make(enable_timing=True)
    event.record()
    return event
