"""Did every watch and list tell what was committed: no gap, no change of order, nothing twice, no way back?

Held against the log itself, which is below everything that could go wrong: collections, watchers, verbs.
Called by `histories`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from tests.endurance.operations import Change, Data, Heard, History, Listing, Outcome, Watching


def violations(history: History) -> list[str]:
    """A sentence for everything that is wrong."""
    return [
        *_revisions(history),
        *(fault for listing in history.listings for fault in _listing(listing, history.truth)),
        *(fault for watching in history.watchings for fault in _watching(watching, history.truth)),
        *_ends(history),
    ]


def _revisions(history: History) -> Iterator[str]:
    """The log only goes up, what was acknowledged is in it, and no answer is older than one given before."""
    numbers = [change.revision for change in history.truth]
    if any(later <= earlier for earlier, later in pairwise(numbers)):
        yield "the log's revisions do not only grow"
    known = {(change.revision, change.key): change for change in history.truth}
    for one in history.operations:
        if one.outcome is Outcome.OK and one.revision and (one.revision, one.key) not in known:
            yield f"{one.action} of {one.key} was answered with {one.revision}, which is not in the log"
    newest = 0
    answers = [(one.returned, one.invoked, one.revision) for one in history.listings if not one.cached]
    begun = sorted((invoked, revision) for _, invoked, revision in answers)
    ended = sorted((returned, revision) for returned, _, revision in answers)
    position = 0
    for invoked, revision in begun:
        while position < len(ended) and ended[position][0] < invoked:
            newest = max(newest, ended[position][1])
            position += 1
        if revision < newest:
            yield f"a list at revision {revision} was answered after one at revision {newest} had been"


def _listing(listing: Listing, truth: list[Change]) -> Iterator[str]:
    expected: dict[str, tuple[int, Data]] = {}
    for change in truth:
        if change.revision > listing.revision:
            break
        if change.deleted:
            expected.pop(change.key, None)
        else:
            expected[change.key] = (change.revision, change.data)
    if listing.items != expected:
        yield f"a list at revision {listing.revision} is {listing.items}, but then there was {expected}"


def _watching(watching: Watching, truth: list[Change]) -> Iterator[str]:
    """The events must be those of the log after `after`, one by one, as far as the watch came."""
    who = f"the watch of client {watching.client} after {watching.after}"
    state = state_at(truth, watching.after, selecting=watching.selecting)
    if watching.before != state:
        yield f"{who} began with {watching.before}, but then there was {state}"
        return
    due = _events(watching, truth)
    pending = next(due, None)
    seen = watching.after
    for heard in watching.heard:
        if heard.type == "BOOKMARK":
            if heard.revision < seen:
                yield f"{who}: a bookmark goes back from {seen} to {heard.revision}"
            if pending is not None and pending.revision <= heard.revision:
                yield f"{who}: a bookmark says {heard.revision}, but {pending.revision} has not been told"
            seen = max(seen, heard.revision)
            continue
        if heard != pending:
            yield f"{who} said {heard}, but {pending} was next"
            return
        if heard.revision <= seen:
            yield f"{who}: {heard.revision} came after {seen}"
        seen = heard.revision
        pending = next(due, None)


def _events(watching: Watching, truth: list[Change]) -> Iterator[Heard]:
    """What a watch must say, in order: an object may enter and leave its selection while it lives."""
    inside = dict(watching.before)
    for change in truth:
        if change.revision <= watching.after:
            continue
        before = change.key in inside
        if change.deleted or (watching.selecting and not change.selected):
            if before:
                del inside[change.key]
                yield Heard("DELETED", change.key, change.revision)
            continue
        inside[change.key] = change.data
        yield Heard("MODIFIED" if before else "ADDED", change.key, change.revision, change.data)


def _ends(history: History) -> Iterator[str]:
    last = history.truth[-1].revision if history.truth else 0
    for selecting, state in history.finals:
        expected = state_at(history.truth, last, selecting=selecting)
        if state != expected:
            yield f"at the end a watching client knows {state}, but there is {expected}"


def state_at(truth: list[Change], revision: int, *, selecting: bool) -> dict[str, Data]:
    """What existed at a revision, of all or of what bears the label."""
    state: dict[str, Data] = {}
    for change in truth:
        if change.revision > revision:
            break
        if change.deleted or (selecting and not change.selected):
            state.pop(change.key, None)
        else:
            state[change.key] = change.data
    return state
