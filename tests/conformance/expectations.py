"""Whether an answer is what a step says it must be; in words if not. Pure; called by `play`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tests.conformance.case import Has, Length, Like, Not, Step
from tests.conformance.wire import Answer

_STEP = re.compile(r'\[(\d+)\]|\["([^"]*)"\]|\[([\w.-]+)=([^\]]*)\]|\.?([^.\[\]]+)')
_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')


def at(value: Any, path: str) -> Any:
    """What is at `path`; None if nothing is."""
    for match in _STEP.finditer(path):
        index, quoted, key, wanted, name = match.groups()
        if index is not None:
            value = value[int(index)] if isinstance(value, list) and int(index) < len(value) else None
        elif key is not None:
            items = value if isinstance(value, list) else []
            value = next(
                (item for item in items if isinstance(item, dict) and str(item.get(key)) == wanted), None
            )
        else:
            value = value.get(quoted if quoted is not None else name) if isinstance(value, dict) else None
    return value


def fits(found: Any, wanted: Any) -> bool:
    """Whether a value is the wanted one, or as wanted."""
    if isinstance(wanted, Like):
        return isinstance(found, str) and re.search(wanted.pattern, found) is not None
    if isinstance(wanted, Not):
        return not fits(found, wanted.unwanted)
    if isinstance(wanted, Length):
        return hasattr(found, "__len__") and len(found) == wanted.of
    if isinstance(wanted, Has):
        return _has(found, wanted.wanted)
    if isinstance(wanted, dict) and isinstance(found, dict):
        return wanted.keys() == found.keys() and all(fits(found[key], value) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(map(fits, found, wanted))
    return type(found) is type(wanted) and bool(found == wanted)


def faults(step: Step, answer: Answer) -> list[str]:
    """Everything that is not as the step says."""
    found = [*_status_faults(step, answer), *_warning_faults(step, answer)]
    for path, wanted in step.fields.items():
        if not fits(value := at(answer.json, path), wanted):
            found.append(f"{path} is {value!r}, not {wanted!r}")
    found += [
        f"{path} is {value!r}, not absent"
        for path in step.absent
        if (value := at(answer.json, path)) is not None
    ]
    for name, wanted in step.answer_headers.items():
        value = answer.header(name)
        if not fits(value, wanted if not isinstance(wanted, str) else Like(re.escape(wanted))):
            found.append(f"header {name} is {value!r}, not {wanted!r}")
    if step.text and step.text not in answer.text:
        found.append(f"the body has no {step.text!r}")
    if step.events is not None:
        found += _event_faults(step.events, answer)
    return found


def _status_faults(step: Step, answer: Answer) -> list[str]:
    allowed = step.status or (201 if step.method == "POST" else 200)
    allowed = allowed if isinstance(allowed, tuple) else (allowed,)
    found = (
        []
        if answer.status in allowed
        else [f"status is {answer.status}, not {' or '.join(map(str, allowed))}"]
    )
    if step.reason and at(answer.json, "reason") != step.reason:
        found.append(f"reason is {at(answer.json, 'reason')!r}, not {step.reason!r}")
    message = str(at(answer.json, "message"))
    fragments = [step.message] if isinstance(step.message, str) else step.message
    found += [f"message {message!r} has no {fragment!r}" for fragment in fragments if fragment not in message]
    if step.causes is not None:
        named = {cause.get("field", "") for cause in at(answer.json, "details.causes") or []}
        if named != set(step.causes):
            found.append(f"causes name {sorted(named)}, not {sorted(step.causes)}")
    return found


def _warning_faults(step: Step, answer: Answer) -> list[str]:
    if step.warnings is None:
        return []
    texts = [re.sub(r"\\(.)", r"\1", text) for text in _WARNING.findall(answer.header("warning"))]
    if len(texts) != len(step.warnings) or any(
        wanted not in text for wanted, text in zip(step.warnings, texts, strict=True)
    ):
        return [f"warnings are {texts}, not {list(step.warnings)}"]
    return []


def _event_faults(wanted: Any, answer: Answer) -> list[str]:
    events = answer.events
    if len(events) < len(wanted) or (not wanted and events):
        brief = [(one.get("type"), at(one, "object.metadata.name")) for one in events]
        return [f"{len(events)} events came, {len(wanted)} were expected: {brief}"]
    return [
        f"event {number}: {path} is {value!r}, not {expected!r}"
        for number, (one, fields) in enumerate(zip(events, wanted, strict=False))
        for path, expected in fields.items()
        if not fits(value := at(one, path), expected)
    ]


def _has(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(found, dict) and all(
            key in found and (_has(found[key], value) if isinstance(value, dict) else fits(found[key], value))
            for key, value in wanted.items()
        )
    if isinstance(found, str):
        return wanted in found
    return isinstance(found, list) and all(
        any((_has(item, one) if isinstance(one, dict) else fits(item, one)) for item in found)
        for one in wanted
    )
