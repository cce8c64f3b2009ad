"""Teaches a Python program the names of its peers where the pod cannot have an /etc/hosts of its own.

Put first on PYTHONPATH by `pod.py`. Looks names up in the file that SPRINGTIDE_HOSTS_FILE names before it
asks the system, reading it anew on every miss so that peers that appear later are found. Stands alone: it
runs in the user's program. A `sitecustomize` the user has elsewhere still runs.
"""

import importlib.machinery
import importlib.util
import os
import socket
import sys

_system_getaddrinfo = socket.getaddrinfo
_system_gethostbyname = socket.gethostbyname


def _lookup(host: object) -> str | None:
    name = host.decode() if isinstance(host, bytes) else host
    path = os.environ.get("SPRINGTIDE_HOSTS_FILE", "")
    if not isinstance(name, str) or not path:
        return None
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - as light as can be in the user's process
            for line in file:
                address, *names = line.partition("#")[0].split() or [""]
                if name.rstrip(".").lower() in names and ":" not in address:
                    return address
    except OSError:
        return None
    return None


def _getaddrinfo(host, *args, **kwargs):  # type: ignore[no-untyped-def]
    return _system_getaddrinfo(_lookup(host) or host, *args, **kwargs)


def _gethostbyname(host):  # type: ignore[no-untyped-def]
    return _lookup(host) or _system_gethostbyname(host)


socket.getaddrinfo = _getaddrinfo
socket.gethostbyname = _gethostbyname


def _run_next() -> None:
    """The sitecustomize this file hides, if any."""
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    path = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]  # noqa: PTH100
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


_run_next()
