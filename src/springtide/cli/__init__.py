"""The `springtide` program: comfort over the Kubernetes API, and the switch of the platform itself.

Called by the console script of the package and by `python -m springtide.cli`. Everything the commands
do, `kubectl` can do too; the exceptions are `up`, `down` and `status`, which concern the local process.

Start-up is kept short: this module imports click only, a command's module is imported when it is used.
"""

from __future__ import annotations

from springtide.cli.root import root

__all__ = ["main", "root"]


def main() -> None:
    """Run the program with the arguments of the process; ends it with the documented exit code."""
    root(prog_name="springtide")
