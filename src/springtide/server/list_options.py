"""The options of a list or a watch, as its query gives them: version, match, page, time.

Called by the list, watch and deletecollection verbs. Rules and wording: `metav1.ListOptions`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from springtide.server.request import Request
from springtide.server.schema_rules import FieldError
from springtide.server.status import BadRequest, Timeout, forbidden_field, invalid, unsupported

_EXACT, _NOT_OLDER_THAN = "Exact", "NotOlderThan"
_MATCH = "resourceVersionMatch"


@dataclass(frozen=True, slots=True)
class ListOptions:
    """What a list or a watch asks for. `version` is 0 where none is given."""

    version: int
    has_version: bool
    match: str
    limit: int
    continue_: str
    timeout_seconds: int
    bookmarks: bool
    send_initial_events: bool | None

    @property
    def exact(self) -> bool:
        """Whether this very version is meant: a page of a version is, too, where nothing else is said."""
        return self.match == _EXACT or (not self.match and self.limit > 0 and self.version > 0)


def parse(request: Request, *, watch: bool = False) -> ListOptions:
    """Raises BadRequest for what cannot be read, Invalid for what does not go together."""
    query = request.query
    initial = query.get("sendInitialEvents")
    options = ListOptions(
        version=_number(request, "resourceVersion"),
        has_version=bool(query.get("resourceVersion")),
        match=query.get(_MATCH, ""),
        limit=max(0, _number(request, "limit")),
        continue_=query.get("continue", ""),
        timeout_seconds=max(0, _number(request, "timeoutSeconds")),
        bookmarks=request.flag("allowWatchBookmarks"),
        send_initial_events=None if initial is None else request.flag("sendInitialEvents"),
    )
    if not options.match and initial is None:
        return options
    if errors := list(_watch_errors(options) if watch else _list_errors(options)):
        raise invalid("meta.k8s.io", "ListOptions", "", errors)
    return options


def too_large_version(wanted: int, current: int) -> Timeout:
    """Somebody asks for a state that has not come to be. Clients know this cause, and try again."""
    return Timeout(
        f"Too large resource version: {wanted}, current: {current}",
        causes=[FieldError("ResourceVersionTooLarge", "", "Too large resource version")],
        retry_after_seconds=1,
    )


def _list_errors(options: ListOptions) -> Iterator[FieldError]:
    if options.match:
        if not options.has_version:
            rule = "resourceVersionMatch is forbidden unless resourceVersion is provided"
            yield forbidden_field(_MATCH, rule)
        if options.continue_:
            yield forbidden_field(_MATCH, "resourceVersionMatch is forbidden when continue is provided")
        if options.match not in (_EXACT, _NOT_OLDER_THAN):
            yield unsupported(_MATCH, options.match, (_EXACT, _NOT_OLDER_THAN, ""))
        if options.match == _EXACT and options.has_version and options.version == 0:
            yield forbidden_field(_MATCH, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
    if options.send_initial_events is not None:
        yield forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list")


def _watch_errors(options: ListOptions) -> Iterator[FieldError]:
    if options.send_initial_events is None:
        rule = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        yield forbidden_field(_MATCH, rule)
    elif options.match != _NOT_OLDER_THAN:
        rule = f"sendInitialEvents requires setting resourceVersionMatch to {_NOT_OLDER_THAN}"
        yield forbidden_field(_MATCH, rule)
    if options.match and options.match != _NOT_OLDER_THAN:
        yield unsupported(_MATCH, options.match, (_NOT_OLDER_THAN,))
    if options.match and options.continue_:
        yield forbidden_field(_MATCH, "resourceVersionMatch is forbidden when continue is provided")


def _number(request: Request, name: str) -> int:
    text = request.query.get(name, "") or "0"
    digits = text.removeprefix("-") if name != "resourceVersion" else text
    if not digits.isascii() or not digits.isdigit() or len(digits) > 19:
        raise BadRequest(f'{name}: Invalid value: "{text}": must be a whole number')
    return int(text)
