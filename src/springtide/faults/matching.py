"""Say what a line means: find its signatures, let the telling one decide, look into wrappers and context.

Called for every line a collector sees (`worth_keeping`), and for every line of evidence `health` weighs
(`match`). All patterns are RE2, so the time is linear in the line whatever it holds; the filter in front
looks for their literal parts in one pass.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from springtide.api.springtide import Action, Blame
from springtide.faults.catalog import catalog
from springtide.faults.fault import Fault
from springtide.faults.signature import Role, Secondary, Signature, When

LINE_BYTES = 8192
"""More of a line is not looked at."""
CONTEXT_LINES = 50
"""More lines before a line, the nearest, are not looked at."""
CORDON_CONFIDENCE = 0.5
"""A verdict below this takes no node out of service."""

LAST_RESORT = -50
"""A signature of this weight or less is asked only where no other one matches."""

_PRECEDENCE = {Role.BENIGN: 0, Role.ROOT: 1, Role.CASCADE: 2, Role.WRAPPER: 3, Role.TEARDOWN: 4}
"""What decides where a line shows several: a benign pattern is narrower than what it looks like."""
_NEVER_KEPT = (Role.BENIGN, Role.TEARDOWN)


@dataclass(frozen=True)
class Override:
    """What a site says about one signature instead of the built-in verdict."""

    blame: Blame | None = None
    action: Action | None = None


@dataclass(frozen=True)
class Match:
    """What a line means."""

    signature: str
    """Name of the signature that decided."""
    family: str
    role: Role
    fault: Fault
    blame: Blame
    action: Action
    secondary: Secondary
    confidence: float
    device: str = ""
    """Device the line, or the lines before it, name: PCI address, `mlx5_0`, `nvme0n1`."""
    peer: str = ""
    """Host or address of the peer the line is about: the line speaks against it, not against the speaker."""
    rank: int | None = None
    """Global rank the line is about."""
    wrapper: str = ""
    """Name of the signature of the line itself, where an inner error or the context decided."""


@dataclass
class _Compiled:
    """A signature with its patterns; those beyond the first are compiled when first needed."""

    signature: Signature
    order: tuple[int, int, int, int]
    pattern: Any
    extras: dict[str, Any] = field(default_factory=dict)

    def found(self, name: str, text: bytes) -> bool:
        """Whether another pattern of the signature matches; `name` is the pattern itself."""
        if name not in self.extras:
            self.extras[name] = _compile(name)
        return self.extras[name].search(text) is not None


def match(
    line: str, context: Sequence[str] = (), overrides: Mapping[str, Override] | None = None
) -> Match | None:
    """The meaning of `line`, or None where no signature knows it.

    `context` holds the lines before it, oldest first; `overrides` maps names of signatures to what a site
    says about them.
    """
    before = _joined(context)
    found = _of_line(line, before)
    if found is None:
        return None
    decided = _decide(found, line, context, before)
    return overridden(decided, overrides or {})


def worth_keeping(line: str) -> str | None:
    """The name of a signature this line may belong to, or None for an ordinary line.

    The quick question for every line of every log; signatures of lines that never count are left out.
    """
    text = line.encode("utf-8", "replace")[:LINE_BYTES]
    hits = _kept().Match(text)
    if hits is None:
        return None
    best = min((_signatures()[index] for index in hits), key=lambda one: one.order)
    return None if best.signature.role in _NEVER_KEPT else best.signature.name


def _of_line(line: str, before: bytes) -> tuple[_Compiled, Any] | None:
    """The signature that decides about this line alone, with its match."""
    text = line.encode("utf-8", "replace")[:LINE_BYTES]
    hits: Iterable[int] = _kept().Match(text) or ()
    for one in sorted((_signatures()[index] for index in hits), key=lambda one: one.order):
        signature = one.signature
        if signature.unless and one.found(signature.unless, text):
            continue
        if signature.context and not one.found(signature.context, before):
            continue
        return one, one.pattern.search(text)
    return None


def _decide(found: tuple[_Compiled, Any], line: str, context: Sequence[str], before: bytes) -> Match:
    compiled, groups = found
    outer = _verdict(compiled, groups, line, before)
    if outer.role is not Role.WRAPPER:
        return outer
    inner = _named(groups, "inner")
    inside = _of_line(inner, before) if inner else None
    if inside is not None and inside[0].signature.role is not Role.WRAPPER:
        return _as_inner(_verdict(*inside, inner, before), outer)
    for earlier in reversed(context[-CONTEXT_LINES:]):
        cause = _of_line(earlier, b"")
        if cause is not None and cause[0].signature.role is Role.ROOT:
            return _as_inner(_verdict(*cause, earlier, b""), outer)
    return outer


def _as_inner(inner: Match, outer: Match) -> Match:
    rank = inner.rank if inner.rank is not None else outer.rank
    device, peer = inner.device or outer.device, inner.peer or outer.peer
    return replace(inner, wrapper=outer.signature, rank=rank, device=device, peer=peer)


def _verdict(compiled: _Compiled, groups: Any, line: str, before: bytes) -> Match:
    signature = compiled.signature
    rank = _named(groups, "rank")
    made = Match(
        signature=signature.name,
        family=signature.family,
        role=signature.role,
        fault=signature.fault,
        blame=signature.own_blame,
        action=signature.own_action,
        secondary=signature.secondary,
        confidence=signature.confidence,
        device=_named(groups, "device") or _device_in(before, signature),
        peer=_named(groups, "peer"),
        rank=int(rank) if rank.isdecimal() else _rank_prefix(line),
    )
    text = line.encode("utf-8", "replace")[:LINE_BYTES]
    for change in signature.when:
        if _applies(change, compiled, text, before):
            made = _changed(made, change)
            break
    return _guarded(made)


def _applies(change: When, compiled: _Compiled, text: bytes, before: bytes) -> bool:
    return (not change.line or compiled.found(change.line, text)) and (
        not change.context or compiled.found(change.context, before)
    )


def _changed(made: Match, change: When) -> Match:
    given = {name: getattr(change, name) for name in ("fault", "blame", "action", "secondary", "confidence")}
    return replace(made, **{name: value for name, value in given.items() if value is not None})


def overridden(made: Match, overrides: Mapping[str, Override]) -> Match:
    """What a site says of a meaning that was found without it."""
    override = overrides.get(made.signature)
    if override is None:
        return made
    return _guarded(replace(made, blame=override.blame or made.blame, action=override.action or made.action))


def _guarded(made: Match) -> Match:
    """A consequence, a program's error and a weak suspicion never take a node out, whoever says so."""
    barred = (
        made.secondary is Secondary.YES or made.blame is Blame.PROGRAM or made.confidence < CORDON_CONFIDENCE
    )
    if barred and made.action is Action.CORDON_EVICT:
        return replace(made, action=Action.RESTART_IN_PLACE)
    return made


def _named(groups: Any, name: str) -> str:
    """A group's text, "" where the pattern has no such group or it took no part."""
    found = groups.groupdict().get(name)
    return found.decode("utf-8", "replace") if found is not None else ""


def _device_in(before: bytes, signature: Signature) -> str:
    """A PCI address in the lines before, for kernel lines of GPUs that span several lines."""
    if signature.family not in ("xid", "nvidia") or not before:
        return ""
    found = _pci_address().findall(before)
    return found[-1].decode() if found else ""


def _rank_prefix(line: str) -> int | None:
    """The global rank of torchrun's `[rank3]:` prefix, or of c10d's `[Rank 3]`."""
    found = _rank_pattern().search(line[:200].encode("utf-8", "replace"))
    return int(found.group(1)) if found is not None else None


def _joined(context: Sequence[str]) -> bytes:
    kept = (one.encode("utf-8", "replace")[:LINE_BYTES] for one in context[-CONTEXT_LINES:])
    return b"\n".join(kept)


def _compile(pattern: str) -> Any:
    import re2

    return re2.compile(pattern, _options())


@functools.cache
def _options() -> Any:
    """RE2 says on stderr what it cannot compile unless it is told not to; errors are raised either way."""
    import re2

    options = re2.Options()
    options.log_errors = False
    return options


@functools.cache
def _pci_address() -> Any:
    return _compile(r"\b[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}(?:\.[0-7])?\b")


@functools.cache
def _rank_pattern() -> Any:
    return _compile(r"\[(?:rank|Rank |PG .{0,60}Rank )(\d{1,7})\]")


@functools.cache
def _kept() -> Any:
    """All patterns behind a search for their literal parts: says which ones match, by index."""
    import re2

    made = re2.Filter()
    for signature in catalog():
        made.Add(signature.pattern, _options())
    made.Compile()
    return made


@functools.cache
def _signatures() -> tuple[_Compiled, ...]:
    chosen = _kept()
    return tuple(_Compiled(one, _order(one, index), chosen.re(index)) for index, one in enumerate(catalog()))


def _order(signature: Signature, index: int) -> tuple[int, int, int, int]:
    """First those that are no last resort, by role, then by weight; last resorts by weight alone."""
    weight = signature.weight
    last = -weight if weight <= LAST_RESORT else 0
    return last, _PRECEDENCE[signature.role], -weight, index
