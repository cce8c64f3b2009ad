"""Whether a gang hangs, and which rank is the reason: from outside, without a change of the program. Pure.

A gang hangs when all its members are still: quiet, or spinning in a wait. Waits of gloo use no processor,
waits of NCCL use one fully, so both count. Who is the reason, the surest first:

1. a rank whose process is stopped, or stuck in the kernel: nothing it could do would be seen sooner;
2. a rank that has entered fewer collectives, or finished fewer steps, than its peers who wait;
3. a rank whose stack shows that it does not wait, while its peers do; of several, the group of stacks that
   is smallest;
4. the rank whose log fell silent first.

How long still must last depends on how sure that is: seconds for a stopped process; for the others at
least a minute, and more where experience or a declared phase says so (`quiet`). Where nobody waits for
anybody there is no hang between ranks: the program itself pauses, and gets very long. Called by the
controller for every look at a running gang.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from springtide.api.springtide import Evidence
from springtide.health.gang import FRAMES, Member, RankView
from springtide.health.quiet import Patience, patience, phases

STOPPED, STUCK = "T", "D"
_LIBRARY = re.compile(r"[(/](?:torch|site-packages|dist-packages|python3(?:\.\d+)?)/")
"""Frames that are not the program's own."""


@dataclass(frozen=True)
class HangSettings:
    """How long a gang may be still."""

    watch_seconds: float = 5.0
    """How often a gang with a quiet member is looked at; 0: hangs are not looked for."""
    stopped_seconds: float = 10.0
    """After this long a rank whose process is stopped (SIGSTOP) is a hang; nothing healthy looks like it."""
    stuck_seconds: float = 60.0
    """After this long a rank in uninterruptible sleep is: a disk, a network file system or a driver hangs."""
    still_seconds: float = 60.0
    """After this long ranks that wait for one that does not come are, where nothing longer was learned."""
    early_seconds: float = 900.0
    """The same before the first step: imports, compilation and loading take longer than anything later."""
    blind_seconds: float = 600.0
    """The same where neither marks nor stacks say who waits."""
    idle_seconds: float = 1800.0
    """After this long a gang is a hang of its own program, if nobody waits for a peer."""
    silent_seconds: float = 20.0
    """After this long without log, files and progress stacks are asked for, even of ranks that spin."""


@dataclass(frozen=True)
class Hang:
    """A gang that does not go on."""

    rank: RankView
    """The reason, as far as that is known."""
    known: bool
    """Whether one rank is the reason; else `rank` is only the first."""
    happened: str
    """In words, after the rank's name."""
    peers: str
    """What its peers do, in words."""
    confidence: float
    since: datetime
    detected_at: datetime
    phase: str
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True)
class Look:
    """What one look at a gang says."""

    hang: Hang | None = None
    again_seconds: float | None = None
    """When to look again; None: when something changes."""
    wants_stacks: tuple[Member, ...] = ()
    """Members whose stacks would tell more than what is known."""


@dataclass(frozen=True)
class _Suspect:
    rank: RankView
    known: bool
    happened: str
    confidence: float
    patience: Patience
    since: datetime


def look(members: Sequence[Member], learned_seconds: float, now: datetime, settings: HangSettings) -> Look:
    """Judge a gang all of whose members run and are seen."""
    suspect = _stopped(members, settings) or _still(members, learned_seconds, settings)
    wants = _unsampled(members, now, settings)
    if suspect is None:
        heed = wants or any(member.is_quiet or member.activity.stopped for member in members)
        return Look(again_seconds=settings.watch_seconds if heed else None, wants_stacks=wants)
    left_seconds = suspect.patience.seconds - (now - suspect.since).total_seconds()
    if left_seconds > 0:
        return Look(again_seconds=min(left_seconds, settings.watch_seconds), wants_stacks=wants)
    return Look(_hang(suspect, members, now))


def _stopped(members: Sequence[Member], settings: HangSettings) -> _Suspect | None:
    """A rank that cannot go on, whatever it says it does: its process is stopped or stuck."""
    found: list[_Suspect] = []
    for member in members:
        since = member.heard_at if len(member.ranks) == 1 else member.spoke_at
        if since is None or not member.activity.stopped:
            continue
        for rank in member.ranks:
            if rank.state == STOPPED:
                patience = Patience(settings.stopped_seconds, "stopped")
                words = "its process is stopped (state T): it got SIGSTOP, or something froze it"
                found.append(_Suspect(rank, True, words, 0.95, patience, since))
            elif rank.state == STUCK and member.is_quiet:
                patience = Patience(settings.stuck_seconds, "stuck")
                words = "its process is in uninterruptible sleep (state D): a disk, a mount or a driver hangs"
                found.append(_Suspect(rank, True, words, 0.85, patience, since))
        if not any(rank.sample for rank in member.ranks) and len(member.ranks) == 1 and member.is_quiet:
            patience = Patience(settings.stuck_seconds, "stopped")
            words = "a process of it is stopped or in uninterruptible sleep"
            found.append(_Suspect(member.ranks[0], True, words, 0.7, patience, since))
    return min(found, key=lambda one: (one.patience.seconds, one.since), default=None)


def _still(members: Sequence[Member], learned_seconds: float, settings: HangSettings) -> _Suspect | None:
    """A gang of which nobody moves."""
    since = _still_since(members)
    if since is None:
        return None
    ranks = [rank for member in members for rank in member.ranks]
    waiting = [rank for rank in ranks if rank.waits is True]
    usual = patience(members, learned_seconds, settings.still_seconds, settings.early_seconds)
    if len(ranks) == 1 or (not waiting and all(rank.waits is False for rank in ranks)):
        words = "does nothing, and no rank waits for a peer: the program itself pauses"
        idle = _at_least(usual, settings.idle_seconds, "nobody waits for a peer")
        return _Suspect(ranks[0], len(ranks) == 1, words, 0.5, idle, since)
    return (
        _behind(ranks, waiting, usual, since)
        or _outlier(ranks, waiting, usual, since)
        or _all_wait(ranks, waiting, usual, since)
        or _first_silent(members, _at_least(usual, settings.blind_seconds, "nobody says who waits"), since)
    )


def _still_since(members: Sequence[Member]) -> datetime | None:
    """Since when every member is quiet, or spins in a wait; None: somebody moves."""
    moments: list[datetime] = []
    for member in members:
        if member.is_quiet and member.heard_at is not None:
            moments.append(member.heard_at)
        elif all(rank.waits is True and rank.sample for rank in member.ranks) and member.spoke_at is not None:
            moments.append(member.spoke_at)
        else:
            return None
    return max(moments, default=None)


def _behind(
    ranks: Sequence[RankView], waiting: Sequence[RankView], usual: Patience, since: datetime
) -> _Suspect | None:
    """The rank that has entered fewer collectives, or finished fewer steps, than those that wait."""
    for what, name in (("collective", "collectives entered"), ("step", "steps")):
        counts = {
            rank.rank: value
            for rank in ranks
            if rank.marks is not None and (value := getattr(rank.marks, what)) is not None
        }
        if len(counts) < len(ranks) or not waiting:
            continue
        least, most = min(counts.values()), max(counts.values())
        late = [rank for rank in ranks if counts[rank.rank] == least]
        if least < most and len(late) * 2 <= len(ranks):
            words = f"is behind: {least} {name}, its peers {most}"
            return _Suspect(late[0], len(late) == 1, words, 0.9 if len(late) == 1 else 0.6, usual, since)
    return None


def _outlier(
    ranks: Sequence[RankView], waiting: Sequence[RankView], usual: Patience, since: datetime
) -> _Suspect | None:
    """The rank that does not wait while the others do; of several, the smallest group of like stacks."""
    if not waiting:
        return None
    others = [rank for rank in ranks if rank.waits is not True]
    if not others:
        return None
    known = [rank for rank in others if rank.waits is False] or others
    groups = Counter(rank.shape for rank in known)
    smallest = min(known, key=lambda rank: (groups[rank.shape], rank.rank))
    alone = len(known) == 1 and len(others) == 1
    words = "does not wait while its peers do"
    return _Suspect(smallest, alone, words, 0.8 if alone else 0.5, usual, since)


def _all_wait(
    ranks: Sequence[RankView], waiting: Sequence[RankView], usual: Patience, since: datetime
) -> _Suspect | None:
    """All wait: in different places where the program lets them miss each other, else for a lost message."""
    if len(waiting) < len(ranks):
        return None
    groups = Counter(rank.shape for rank in ranks if rank.shape)
    if len(groups) < 2:
        words = "waits in the same collective as all its peers: what it waits for was lost on the way"
        return _Suspect(ranks[0], False, words, 0.4, usual, since)
    odd = min((rank for rank in ranks if rank.shape), key=lambda rank: (groups[rank.shape], rank.rank))
    clear = groups[odd.shape] * 2 < len(ranks)
    return _Suspect(odd, clear, "waits in another place than its peers", 0.7 if clear else 0.5, usual, since)


def _first_silent(members: Sequence[Member], blind: Patience, since: datetime) -> _Suspect:
    """Without marks and stacks: the rank whose log, or else whose processes, fell silent first."""

    def silent_from(member: Member) -> datetime:
        return member.activity.log_time or member.heard_at or since

    first = min(members, key=silent_from)
    return _Suspect(first.ranks[0], False, "fell silent before its peers", 0.4, blind, since)


def _at_least(usual: Patience, seconds: float, why: str) -> Patience:
    return usual if usual.seconds >= seconds else Patience(seconds, why)


def _unsampled(members: Sequence[Member], now: datetime, settings: HangSettings) -> tuple[Member, ...]:
    """Members that say nothing and use their processor, of whom no new stack is known.

    Of quiet ones the node takes stacks by itself. Nothing is asked for while anybody of the gang speaks.
    """
    spoken = [member.spoke_at for member in members]
    if any(one is None or (now - one).total_seconds() < settings.silent_seconds for one in spoken):
        return ()
    return tuple(
        member for member in members if not member.is_quiet and not all(rank.sample for rank in member.ranks)
    )


def _hang(suspect: _Suspect, members: Sequence[Member], now: datetime) -> Hang:
    ranks = [rank for member in members for rank in member.ranks]
    return Hang(
        rank=suspect.rank,
        known=suspect.known,
        happened=f"hangs: {suspect.happened}",
        peers=_peers_wait_in([rank for rank in ranks if rank is not suspect.rank]),
        confidence=suspect.confidence,
        since=suspect.since,
        detected_at=now,
        phase=next(iter(phases(members)), ""),
        evidence=tuple(_evidence(suspect, ranks, now)),
    )


def _peers_wait_in(peers: Sequence[RankView]) -> str:
    """Where most of the peers stand: the innermost call of their own below which they wait."""
    places = Counter(_place(rank) for rank in peers if rank.frames)
    if not places:
        return ""
    (place, count), *_ = places.most_common(1)
    return (
        f"{count} of {len(peers)} peers stand in {place}" if len(peers) > 1 else f"its peer stands in {place}"
    )


def _place(rank: RankView) -> str:
    """The innermost frame, and the innermost of the program's own below it."""
    own = next((one for one in rank.frames if not _LIBRARY.search(one)), "")
    inner = rank.frames[0]
    return f"{inner}, called by {own}" if own and own != inner else inner


def _evidence(suspect: _Suspect, ranks: Sequence[RankView], now: datetime) -> list[Evidence]:
    """The suspect's stack first, then one line a rank: its numbers and where it stands."""
    found: list[Evidence] = []
    root = suspect.rank
    if root.sample is not None:
        line = (
            f"rank {root.rank}: state {root.state or '?'}: {' < '.join(root.frames[:FRAMES]) or 'no stack'}"
        )
        found.append(Evidence(source=f"stacks:{_pod(root)}", line=line, time=root.sample.time))
    for rank in sorted(ranks, key=lambda one: (one is not root, one.rank))[:16]:
        if rank.marks is not None:
            line = f"rank {rank.rank}: step {rank.marks.step}, {rank.marks.collective} collectives entered"
            line += ", waits in the last" if rank.marks.waiting_since is not None else ""
            found.append(Evidence(source=f"marks:{_pod(rank)}", line=line, time=rank.marks.time))
        if rank is not root and rank.frames:
            line = f"rank {rank.rank}: state {rank.state or '?'}: {_place(rank)}"
            at = rank.sample.time if rank.sample is not None else None
            found.append(Evidence(source=f"stacks:{_pod(rank)}", line=line, time=at))
    still_seconds = (now - suspect.since).total_seconds()
    line = f"no sign of life for {still_seconds:.0f} s; patience {suspect.patience.seconds:.0f} s"
    found.append(Evidence(source="activity", line=f"{line} ({suspect.patience.why})", time=suspect.since))
    return found


def _pod(rank: RankView) -> str:
    return rank.report.pod.metadata.name if rank.report.pod is not None else rank.report.host
