"""Linearizability and watch order over recorded histories: `python -m tests.endurance.histories`.

    --runs 1000 --seed 1    so many runs, from this seed on
    --planted               plant each known defect in turn, until a run finds it

Each run plays writers, readers and watchers on the real server in virtual time, while commits are slow or
fail and the server crashes (`world`). Then every object's operations must have an order that explains them
(`linearizability`), and every watch and list must agree with the log (`watching`).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable

from tests.endurance import linearizability, watching
from tests.endurance.operations import History
from tests.endurance.planted import PLANTED
from tests.endurance.world import KEYS, Scale, play

MOST_SEEDS = 60
"""A planted defect that so many runs do not find counts as not found."""


def faults(history: History) -> list[str]:
    """Everything wrong in a history."""
    return [
        *linearizability.violations(history.operations, history.listings, KEYS),
        *watching.violations(history),
    ]


def check(seeds: Iterable[int], scale: Scale | None = None) -> tuple[dict[int, list[str]], Counter[str]]:
    """Play the seeds; returns what is wrong by seed, and how much was checked."""
    wrong: dict[int, list[str]] = {}
    counted: Counter[str] = Counter()
    for seed in seeds:
        history = play(seed, scale)
        found = faults(history)
        if found:
            wrong[seed] = found
        counted["runs"] += 1
        counted["changes"] += len(history.truth)
        counted["lists"] += len(history.listings)
        counted["watches"] += len(history.watchings)
        counted["watches told 410"] += sum(one.expired for one in history.watchings)
        counted["events"] += sum(len(one.heard) for one in history.watchings)
        counted.update(f"operations {one.outcome}" for one in history.operations)
    return wrong, counted


def find(defect: str, first_seed: int) -> tuple[int, str]:
    """Plant a defect and play until it is found; how many runs that took (0: not found) and what was seen."""
    for number in range(MOST_SEEDS):
        with PLANTED[defect]():
            try:
                found = faults(play(first_seed + number))
            except Exception as error:  # noqa: BLE001 - a defect may also break the run itself, which is seen too
                found = [f"{type(error).__name__}: {error}"]
        if found:
            return number + 1, found[0]
    return 0, ""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--planted", action="store_true")
    options = parser.parse_args()
    if options.planted:
        missed = 0
        for defect in PLANTED:
            runs, seen = find(defect, options.seed)
            missed += not runs
            print(
                json.dumps({"proof": "planted", "defect": defect, "found in runs": runs, "seen": seen[:200]})
            )
        return 1 if missed else 0
    began = time.perf_counter()
    wrong, counted = check(range(options.seed, options.seed + options.runs))
    for seed, found in wrong.items():
        print(json.dumps({"proof": "histories", "seed": seed, "wrong": found[:5]}))
    seconds = round(time.perf_counter() - began, 1)
    print(json.dumps({"proof": "histories", **counted, "wrong runs": len(wrong), "seconds": seconds}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
