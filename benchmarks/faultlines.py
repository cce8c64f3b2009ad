"""Precision and recall of the verdicts on labelled lines of logs: one JSON row a measure.

    python benchmarks/faultlines.py [--data FILE]

The lines are those of `faults/labelled.jsonl` below SPRINGTIDE_DATA: public threads, labelled by hand with
blame and action. They are a test set: signatures come from vendors' documents, sources and other threads.
Before anybody had looked at what was judged otherwise, 0.881 of blames and of actions were right; then whole
families that had been missed were widened and two classes got another blame. Scored are all lines and, apart,
those whose label is of high confidence. Beside ours the eight substrings of kcover's first version are scored
on the same lines: they know one verdict, that the job is to be started again, and no blame.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from springtide.faults import judge

SUBSTRINGS = (
    "ncclRemoteError",
    "NCCL error",
    "torch.distributed.elastic.multiprocessing.api: [ERROR]",
    "CUDA error: an illegal memory access was encountered",
    "CUDA error: the launch timed out and was terminated",
    "CUDA error: device-side assert triggered",
    "cuDNN error:",
    "unhandled cuda error",
)
"""BaizeAI/kcover, pkg/diagnosis/containerlogs/container_logs.go, first version."""
FIELDS = ("blame", "action")
Row = Mapping[str, Any]
Judge = Callable[[Row], Mapping[str, str]]


def springtide(row: Row) -> dict[str, str]:
    """Our verdict."""
    found = judge(row["line"], (row.get("context") or "").splitlines())
    return {
        "label": found.signature,
        "blame": found.blame.value,
        "action": found.action.value,
        "secondary": found.secondary.value,
    }


def kcover(row: Row) -> dict[str, str]:
    """Restart where a substring is there, else nothing; it blames nobody."""
    text = f"{row.get('context') or ''}\n{row['line']}"
    known = any(substring in text for substring in SUBSTRINGS)
    return {"blame": "unknown", "action": "restart_in_place" if known else "ignore", "secondary": "no"}


def scores(rows: Sequence[Row], judge_: Judge, field: str) -> Iterable[dict[str, Any]]:
    """One row a class, and one over all lines: accuracy, and the means over classes."""
    pairs = [(row[field], judge_(row)[field]) for row in rows]
    right = Counter(wanted for wanted, given in pairs if wanted == given)
    wanted_all, given_all = Counter(one for one, _ in pairs), Counter(one for _, one in pairs)
    for name in sorted(wanted_all | given_all):
        yield {
            "class": name,
            "lines": wanted_all[name],
            "precision": _share(right[name], given_all[name]),
            "recall": _share(right[name], wanted_all[name]),
        }
    yield {"class": "all", "lines": len(pairs), "accuracy": _share(sum(right.values()), len(pairs))}


def wrong_cordons(rows: Sequence[Row], judge_: Judge) -> int:
    """Lines labelled as consequences or as the program's for which a node would be taken out."""
    return sum(
        judge_(row)["action"] == "cordon_evict"
        for row in rows
        if row["secondary"] == "yes" or row["blame"] == "program"
    )


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def default_data() -> Path:
    """Where the labelled lines are, if they are there."""
    base = os.environ.get("SPRINGTIDE_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(base) / "faults" / "labelled.jsonl"


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=default_data())
    parser.add_argument("--wrong", action="store_true", help="also the lines that are judged otherwise")
    given = parser.parse_args()
    if not given.data.is_file():
        print(json.dumps({"benchmark": "faultlines", "skipped": f"no labelled lines at {given.data}"}))
        return
    rows = [json.loads(text) for text in given.data.read_text("utf-8").splitlines() if text.strip()]
    high = [row for row in rows if row.get("confidence") == "high"]
    for who, judge_ in (("springtide", springtide), ("kcover substrings", kcover)):
        for lines, chosen in (("all", rows), ("high confidence", high)):
            head = {"benchmark": "faultlines", "judge": who, "lines_of": lines}
            for field in FIELDS:
                for score in scores(chosen, judge_, field):
                    print(json.dumps({**head, "field": field, **score}))
            print(json.dumps({**head, "wrong_cordons": wrong_cordons(chosen, judge_)}))
    if given.wrong:
        for row in rows:
            found = springtide(row)
            if any(found[field] != row[field] for field in FIELDS):
                shown = {field: [row[field], found[field]] for field in ("label", *FIELDS, "secondary")}
                print(json.dumps({"judged_otherwise": shown, "confidence": row.get("confidence")}))


if __name__ == "__main__":
    main()
