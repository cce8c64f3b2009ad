"""Marks for tests of clients nobody here wrote, which leave connections to the garbage collector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

LEAVES_CONNECTIONS = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("collected_while_allowed"),
]
"""Warnings are errors: a socket that is collected later would break whichever test runs then."""


def leaves_connections(test: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a single test."""
    for mark in LEAVES_CONNECTIONS:
        test = mark(test)
    return test
