"""The pages of docs/faults, one a fault class, made of the verdicts and the signatures.

Called by docs/generate.py (`make generate`); a test there keeps the pages fresh. Pure: name to text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from springtide.faults.catalog import FAMILIES, about, catalog
from springtide.faults.fault import Fault
from springtide.faults.signature import Example, Role, Secondary, Signature
from springtide.faults.verdicts import VERDICTS

MADE = "Made from the code by `make generate`; do not edit."
_SECONDARY = {
    Secondary.YES: "A consequence, never a cause.",
    Secondary.MAYBE: "A consequence where a better cause is known.",
}
_ROLES = {
    Role.CASCADE: "A rank says it because another one failed.",
    Role.WRAPPER: "It carries or follows another error: that one decides where it is known.",
    Role.TEARDOWN: "Said while processes are stopped; never counts.",
    Role.BENIGN: "Looks like trouble and is none.",
}

_ABOUT = (
    "signatures tell what a line of a log, of the kernel or of a driver means. "
    "`springtide diagnose --lines FILE` asks them; `health` weighs what they say of all ranks and "
    "nodes of a job. They are YAML files in `src/springtide/faults/signatures`; a site changes what "
    "follows from one by its name in a RemediationPolicy (`signatures`)."
)
_ON_VERDICTS = (
    "Blame and action are those of the class; single signatures differ where its page says so. "
    "A consequence, a program's error or a guess (confidence below 0.5) never takes a node out."
)
_ON_WRITING = (
    "`name`, `pattern` (RE2, so that no line takes long), `fault`, `what`, `source` and `examples` are "
    "needed. `unless` and `context` narrow it down; `when` changes the verdict where line or context "
    "show more; `role` and `secondary` say what part the line plays; `confidence` how sure it is; "
    "`weight` decides between two that match. Groups `device`, `peer`, `rank` and `inner` are taken "
    "out. Every example is run as a test, and so is every line of `counter`, which must not match."
)


def pages() -> dict[str, str]:
    """Every page, by file name."""
    made = {f"{fault.value}.md": _page(fault) for fault in Fault}
    return {"index.md": _index(), **made}


def _index() -> str:
    rows = [
        f"| [{fault.value}]({fault.value}.md) | {verdict.meaning} | {verdict.blame} | `{verdict.action}` "
        f"| {len(_of(fault))} |"
        for fault, verdict in ((fault, VERDICTS[fault]) for fault in Fault)
    ]
    families = [
        f"| `{family}` | {about(family)} | {sum(one.family == family for one in catalog())} |"
        for family in FAMILIES
    ]
    return "\n".join(
        [
            "# Fault classes",
            "",
            MADE,
            "",
            f"{len(catalog())} {_ABOUT}",
            "",
            "| class | what has happened | blame | action | signatures |",
            "|---|---|---|---|---|",
            *rows,
            "",
            _ON_VERDICTS,
            "",
            "## Families of signatures",
            "",
            "| family | what it covers | signatures |",
            "|---|---|---|",
            *families,
            "",
            "## How a signature is written",
            "",
            _ON_WRITING,
            "",
        ]
    )


def _page(fault: Fault) -> str:
    verdict = VERDICTS[fault]
    own = _of(fault)
    parts = [
        f"# {fault.value}",
        "",
        MADE,
        "",
        verdict.meaning,
        "",
        "| blame | action | what to do next |",
        "|---|---|---|",
        f"| {verdict.blame} | `{verdict.action}` | {verdict.next_step} |",
        "",
    ]
    if not own:
        parts += [
            "No line of a log shows it: it is found from exit codes, pods, nodes, progress and counters.",
            "",
        ]
    else:
        parts += ["## Signatures", ""]
        for one in own:
            parts += _section(one)
    return "\n".join(parts)


def _section(one: Signature) -> list[str]:
    told = [one.what]
    verdict = VERDICTS[one.fault]
    if (one.own_blame, one.own_action) != (verdict.blame, verdict.action):
        told.append(f"Blame: {one.own_blame}; action: `{one.own_action}`.")
    told += [text for text in (_SECONDARY.get(one.secondary), _ROLES.get(one.role)) if text]
    told += [
        f"Other verdicts where the lines around it say more: {len(one.when)}." if one.when else "",
        f"Confidence {one.confidence}. [Source]({one.source}).",
    ]
    return [
        f"### {one.name}",
        "",
        " ".join(text for text in told if text),
        "",
        *_block([_line(example) for example in one.examples]),
        *(["Not this:", "", *_block([_line(example) for example in one.counter])] if one.counter else []),
    ]


def _block(lines: Sequence[str]) -> list[str]:
    return ["```text", *lines, "```", ""]


def _line(example: str | Example) -> str:
    text = example if isinstance(example, str) else example.line
    return re.sub(r"\s+", " ", text).strip()


def _of(fault: Fault) -> list[Signature]:
    return [one for one in catalog() if one.fault is fault]
