"""Watch streams as state machines: chunks of any size, bookmarks, errors, nonsense."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.api.core import ConfigMap
from springtide.client import Gone, ServerError
from springtide.client.forms import typed
from springtide.client.watch import Bookmark, EventReader, LineSplitter, WatchEvent
from tests.client.fake_api import config_map


@given(lines=st.lists(st.binary(min_size=1).filter(lambda b: not set(b"\n\r") & set(b))), cuts=st.data())
def test_lines_do_not_depend_on_how_bytes_arrive(lines: list[bytes], cuts: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    splitter, found = LineSplitter(), list[bytes]()
    while stream:
        size = cuts.draw(st.integers(1, len(stream)))
        found += splitter.feed(stream[:size])
        stream = stream[size:]
    assert found == lines
    assert splitter.rest() == b""


def test_a_cut_line_is_not_a_line() -> None:
    splitter = LineSplitter()
    assert list(splitter.feed(b"one\r\n\ntw")) == [b"one"]
    assert splitter.rest() == b"tw"


def event(type_: str, version: int, **fields: object) -> bytes:
    obj = config_map("a") | {
        "metadata": {"name": "a", "namespace": "default", "resourceVersion": str(version)}
    }
    return json.dumps({"type": type_, "object": obj | fields}).encode() + b"\n"


def test_events_are_typed_and_move_the_version_on() -> None:
    reader = EventReader(typed(ConfigMap), "1")
    found = reader.feed(event("ADDED", 5) + event("MODIFIED", 6) + event("DELETED", 8))
    changes = [e for e in found if isinstance(e, WatchEvent)]
    assert [(e.type, e.object.metadata.resource_version) for e in changes] == [
        ("ADDED", "5"), ("MODIFIED", "6"), ("DELETED", "8"),
    ]  # fmt: skip
    assert reader.resource_version == "8"


def test_a_bookmark_has_nothing_but_a_version() -> None:
    reader = EventReader(typed(ConfigMap), "1")
    line = b'{"type":"BOOKMARK","object":{"kind":"ConfigMap","metadata":{"resourceVersion":"77"}}}\n'
    assert list(reader.feed(line)) == [Bookmark("77")]
    assert reader.resource_version == "77"


def test_unknown_fields_of_newer_servers_survive() -> None:
    reader = EventReader(typed(ConfigMap), "1")
    (found,) = reader.feed(event("ADDED", 2, futureField={"x": 1}))
    assert isinstance(found, WatchEvent)
    assert found.object.unknown == {"futureField": {"x": 1}}


def test_an_expired_version_is_gone_and_earlier_events_are_delivered_first() -> None:
    reader = EventReader(typed(ConfigMap), "1")
    error = b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}\n'
    events = reader.feed(event("ADDED", 5) + error)
    assert isinstance(next(events), WatchEvent)
    with pytest.raises(Gone, match="too old"):
        next(events)
    assert reader.resource_version == "5"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"<html>\n", "an event cannot be read"),
        (b'{"type":"ADDED","object":[]}\n', "an event cannot be read"),
        (b'{"type":"RENAMED","object":{}}\n', "unknown event type 'RENAMED'"),
    ],
)
def test_nonsense_is_the_servers_error_and_named(line: bytes, complaint: str) -> None:
    with pytest.raises(ServerError, match=complaint):
        list(EventReader(typed(ConfigMap), "1").feed(line))
