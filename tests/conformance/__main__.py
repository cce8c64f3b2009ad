"""`python -m tests.conformance [TABLE …]`: play all tables, or those named, and print one JSON row."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
import time

import tests.conformance
from tests.conformance.case import Case
from tests.conformance.differences import DIFFERENCES
from tests.conformance.play import Player
from tests.conformance.targets import running


def all_cases() -> list[Case]:
    """The cases of every table, in the order of the modules' names."""
    names = [
        one.name for one in pkgutil.iter_modules(tests.conformance.__path__) if one.name.startswith("test_")
    ]
    modules = [importlib.import_module(f"tests.conformance.{name}") for name in names]
    return [case for module in modules for case in getattr(module, "TABLE", [])]


def main(wanted: list[str]) -> int:
    """Exits with 1 if a case fails that is no known difference, or a known one no longer differs."""
    cases = [case for case in all_cases() if not wanted or case.table in wanted]
    failed: dict[str, str] = {}
    began = time.monotonic()
    with running() as target:
        player = Player(target)
        for case in cases:
            try:
                player.play(case)
            except Exception as error:  # noqa: BLE001 - one case that breaks must not hide the others
                failed[str(case)] = str(error)
        player.close()
    known = {name for name in map(str, cases) if name in DIFFERENCES} if target.name == "embedded" else set()
    unexpected = [name for name in failed if name not in known]
    for name in unexpected:
        print(f"--- {name}\n{failed[name]}\n", file=sys.stderr)
    row = {
        "target": target.name,
        "cases": len(cases),
        "passed": len(cases) - len(failed),
        "failed": unexpected,
        "known_differences": sorted(known & failed.keys()),
        "no_longer_different": sorted(known - failed.keys()),
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(row))
    return 1 if unexpected or known - failed.keys() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
