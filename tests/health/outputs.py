"""Logs of failing programs as PyTorch 2.13 and Python 3.11 print them, made by small scripts and cut."""

# ruff: noqa: E501 - the lines are as long as the programs print them

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from springtide.health.tracebacks import LogLine
from tests.builders import at

SUMMARY = """\
E1122 01:31:31.018000 77 torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: {code}) local_rank: 0 (pid: 78) of binary: /venv/bin/python3
Traceback (most recent call last):
  File "/venv/bin/torchrun", line 8, in <module>
    sys.exit(main())
             ^^^^^^
  File "/venv/lib/python3.11/site-packages/torch/distributed/elastic/multiprocessing/errors/__init__.py", line 367, in wrapper
    return f(*args, **kwargs)
           ^^^^^^^^^^^^^^^^^^
  File "/venv/lib/python3.11/site-packages/torch/distributed/launcher/api.py", line 383, in launch_agent
    raise ChildFailedError(
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:\x20
============================================================
train.py FAILED
------------------------------------------------------------
Failures:
  <NO_OTHER_FAILURES>
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-01-01_00:00:10
  host      : localhost
  rank      : {rank} (local_rank: 0)
  exitcode  : {code} (pid: 78)
  error_file: <N/A>
  traceback : To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html
============================================================"""

RAISED = """\
step 0
step 1
[rank1]: Traceback (most recent call last):
[rank1]:   File "/code/train.py", line 10, in <module>
[rank1]:     step(n); time.sleep(0.1)
[rank1]:     ^^^^^^^
[rank1]:   File "/code/train.py", line 5, in step
[rank1]:     raise ValueError("bad shape")
[rank1]: ValueError: bad shape"""

PEER_COMPLAINS = """\
step 0
step 1
[rank0]: Traceback (most recent call last):
[rank0]:   File "/code/train.py", line 10, in <module>
[rank0]:     step(n); time.sleep(0.1)
[rank0]:     ^^^^^^^
[rank0]:   File "/code/train.py", line 7, in step
[rank0]:     dist.all_reduce(t)
[rank0]:   File "/venv/lib/python3.11/site-packages/torch/distributed/c10d_logger.py", line 83, in wrapper
[rank0]:     return func(*args, **kwargs)
[rank0]:            ^^^^^^^^^^^^^^^^^^^^^
[rank0]:   File "/venv/lib/python3.11/site-packages/torch/distributed/distributed_c10d.py", line 3252, in all_reduce
[rank0]:     work.wait()
[rank0]: RuntimeError: [/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:57744. This is typically caused by a remote worker crashing."""

BACKWARD_COMPLAINS = """\
[rank0]: Traceback (most recent call last):
[rank0]:   File "/code/train.py", line 31, in main
[rank0]:     loss.backward()
[rank0]:   File "/venv/lib/python3.11/site-packages/torch/autograd/graph.py", line 841, in _engine_run_backward
[rank0]:     return Variable._execution_engine.run_backward(
[rank0]: RuntimeError: [/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection reset by peer"""

CHAINED = """\
Traceback (most recent call last):
  File "/code/load.py", line 3, in load
    {}["a"]
    ~~^^^^^
KeyError: 'a'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/code/train.py", line 6, in <module>
    load()
  File "/code/load.py", line 5, in load
    raise RuntimeError("cannot load config\\nsecond line") from e
RuntimeError: cannot load config
second line"""

SYNTAX = """\
  File "/code/train.py", line 1
    x = (1,
        ^
SyntaxError: '(' was never closed"""

IN_LIBRARY = """\
Traceback (most recent call last):
  File "/code/train.py", line 4, in <module>
    main()
  File "/code/train.py", line 3, in main
    torch.nn.Linear(3,4)(torch.zeros(2,5))
  File "/venv/lib/python3.11/site-packages/torch/nn/modules/linear.py", line 134, in forward
    return F.linear(input, self.weight, self.bias)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x5 and 3x4)"""

GROUP = """\
  + Exception Group Traceback (most recent call last):
  |   File "/code/train.py", line 6, in <module>
  |     asyncio.run(m())
  |   File "/usr/lib/python3.11/asyncio/runners.py", line 190, in run
  |     return runner.run(main)
  |            ^^^^^^^^^^^^^^^^
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/code/train.py", line 2, in a
    |     async def a(): raise ValueError("inner")
    |                    ^^^^^^^^^^^^^^^^^^^^^^^^^
    | ValueError: inner
    +------------------------------------"""

INTERLEAVED = """\
[rank2]: Traceback (most recent call last):
[rank3]: Traceback (most recent call last):
[rank2]:   File "/code/train.py", line 20, in <module>
[rank3]:   File "/code/train.py", line 30, in <module>
[rank3]: KeyError: 'three'
[rank2]: KeyError: 'two'"""

CANNOT_OPEN = "/venv/bin/python3: can't open file '/code/missing.py': [Errno 2] No such file or directory"

NO_MODULE = "/venv/bin/python3: No module named no_such_module"

LAUNCHER_FINDS_NO_PROGRAM = """\
Traceback (most recent call last):
  File "/venv/bin/torchrun", line 8, in <module>
    sys.exit(main())
             ^^^^^^
  File "/venv/lib/python3.11/site-packages/torch/distributed/run.py", line 1028, in main
    run(args)
  File "/venv/lib/python3.11/site-packages/torch/distributed/launcher/api.py", line 373, in launch_agent
    result = agent.run()
  File "/usr/lib/python3.11/subprocess.py", line 1950, in _execute_child
    raise child_exception_type(errno_num, err_msg, err_filename)
FileNotFoundError: [Errno 2] No such file or directory: 'nosuchprog'"""

TORCHRUN_USAGE = """\
usage: torchrun [-h] [--nnodes NNODES] [--nproc-per-node NPROC_PER_NODE]
                training_script ...
torchrun: error: unrecognized arguments: --nope"""

RENDEZVOUS_FAILS = """\
[W1122 00:00:10.000000000 socket.cpp:767] [c10d] The client socket has failed to connect to [job-node-0-0]:29500 (errno: 111 - Connection refused).
Traceback (most recent call last):
  File "/venv/bin/torchrun", line 8, in <module>
    sys.exit(main())
             ^^^^^^
  File "/venv/lib/python3.11/site-packages/torch/distributed/run.py", line 1028, in main
    run(args)
  File "/venv/lib/python3.11/site-packages/torch/distributed/elastic/rendezvous/c10d_rendezvous_backend.py", line 80, in _call_store
    raise RendezvousConnectionError(
torch.distributed.elastic.rendezvous.api.RendezvousConnectionError: The connection to the C10d store has failed. See inner exception for details."""

ABORTED = """\
terminate called after throwing an instance of 'std::runtime_error'
  what():  tokenizer table is corrupt"""

ECC_IN_WATCHDOG = """\
[rank0]:[E101 00:00:10 ProcessGroupNCCL.cpp:1895] [PG ID 0 PG GUID 0(default_pg) Rank 0] Process group watchdog thread terminated with exception: CUDA error: uncorrectable ECC error encountered"""


def lines(text: str) -> list[LogLine]:
    """The text's lines, without timestamps."""
    return [LogLine(line) for line in text.splitlines()]


def stamped(text: str, second: float, every_seconds: float = 0.001) -> list[LogLine]:
    """The text's lines, the first at this second, the others closely behind."""
    start = at(second)
    return [
        LogLine(line, start + timedelta(seconds=number * every_seconds))
        for number, line in enumerate(text.splitlines())
    ]


def torchrun(text: str, *, rank: int, code: int = 1) -> str:
    """What torchrun adds below the output of a process that failed."""
    return f"{text}\n{SUMMARY.format(rank=rank, code=code)}"


def raw(found: Sequence[LogLine]) -> bytes:
    """The log as the API serves it with `timestamps=true`."""
    return b"".join(
        f"{line.time:%Y-%m-%dT%H:%M:%S.%f}000Z {line.text}\n".encode()
        if line.time
        else f"{line.text}\n".encode()
        for line in found
    )
