"""What known error texts mean: which line is a cause, which a consequence, and who is to blame.

A table, first match wins, applied to exception texts by `evidence`. A consequence (`primary=False`) is
what a rank says when a peer has already failed: it never becomes the verdict while any cause is known.
Those that a program may also say for itself (a refused connection to its own database) count as
consequences only where the text or the traceback shows a collective library.
Sources: PyTorch (`torch.distributed.elastic`, c10d, gloo) and NCCL messages as they print; NVIDIA's Xid
catalog for the split between program and node.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from springtide.health.faults import Fault


@dataclass(frozen=True)
class Signature:
    """A pattern over `Type: message`, and the fault it shows."""

    pattern: re.Pattern[str]
    fault: Fault
    primary: bool = True
    only_in_collectives: bool = False


def _cause(pattern: str, fault: Fault) -> Signature:
    return Signature(re.compile(pattern), fault)


def _consequence(pattern: str, *, only_in_collectives: bool = True) -> Signature:
    return Signature(re.compile(pattern), Fault.PEER_LOST, False, only_in_collectives)


_COLLECTIVE = re.compile(
    r"gloo|nccl|c10d|TCPStore|torch\.distributed|[Rr]endezvous|ProcessGroup|MPI_", re.IGNORECASE
)

SIGNATURES: tuple[Signature, ...] = (
    # The inner CUDA error decides, also where a watchdog or a summary wraps it.
    _cause(r"uncorrectable (NVLink|ECC) error|CUDA error: .*ECC", Fault.DEVICE_ERROR),
    _cause(r"GPU has fallen off the bus|GPU is lost", Fault.DEVICE_ERROR),
    _cause(r"system not yet initialized|no CUDA-capable device|CUDA unknown error", Fault.DEVICE_ERROR),
    _cause(r"CUDA out of memory|OutOfMemoryError|DefaultCPUAllocator: can't allocate", Fault.OUT_OF_MEMORY),
    _cause(r"device-side assert|illegal memory access|cublas|cuDNN error", Fault.PROGRAM_ERROR),
    _cause(r"Detected mismatch between collectives|Duplicate GPU detected", Fault.PROGRAM_ERROR),
    # What the other ranks say once a rank is gone.
    _consequence(r"ChildFailedError|ChildFailedException", only_in_collectives=False),
    _consequence(r"SignalException|KeyboardInterrupt|got signal: (2|15)\b", only_in_collectives=False),
    _consequence(r"[Cc]onnection (closed by|reset by|closed by remote) peer|Connection reset|Broken pipe"),
    _consequence(r"remote (process|worker|peer).*(exited|crash|closed|gone)|socketProgress|ncclRemoteError"),
    _consequence(r"(recvValue|sendBytes|recv|send|recvBytes) failed|failed to recv, got 0 bytes"),
    _consequence(r"DistNetworkError|DistStoreError|RendezvousConnectionError|RendezvousClosedError"),
    _consequence(r"client socket has (timed out|failed to connect)|connect\(\) timed out|Connection refused"),
    _consequence(r"[Ww]atchdog caught collective operation timeout|Timed out (waiting|after)|wait timeout"),
    # Storage.
    _cause(r"No space left on device|Errno 28|Disk quota exceeded", Fault.DISK_FULL),
    _cause(r"Stale file handle|Errno 116|Transport endpoint is not connected|Errno 5\]", Fault.STORAGE_ERROR),
    _cause(r"\bMemoryError\b", Fault.OUT_OF_MEMORY),
    _cause(r"EADDRINUSE|Address already in use", Fault.PORT_TAKEN),
)


def match(text: str, *, in_collective: bool = False) -> Signature | None:
    """The first signature this text shows; `in_collective`: its traceback passed a collective library."""
    among_peers = in_collective or _COLLECTIVE.search(text) is not None
    return next(
        (
            signature
            for signature in SIGNATURES
            if (among_peers or not signature.only_in_collectives) and signature.pattern.search(text)
        ),
        None,
    )
