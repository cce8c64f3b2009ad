"""The cache: newer wins, deletions stay deleted, indexes follow."""

import pytest

from springtide.api.core import ConfigMap
from springtide.api.meta import ObjectMeta
from springtide.runtime import Cache


def cm(name: str, version: int | str, *, uid: str = "u", **data: str) -> ConfigMap:
    metadata = ObjectMeta(name=name, namespace="ns", uid=uid, resource_version=str(version))
    return ConfigMap(metadata=metadata, data=data)


def versions(cache: Cache[ConfigMap]) -> dict[str, str]:
    return {obj.metadata.name: obj.metadata.resource_version for obj in cache.list()}


def test_a_write_is_seen_before_the_watch_tells() -> None:
    cache = Cache[ConfigMap]()
    cache.put(cm("a", 5))
    cache.observe(cm("a", 7, x="written"))
    cache.put(cm("a", 6, x="older event"))
    assert versions(cache) == {"a": "7"}
    cache.put(cm("a", 8))
    assert versions(cache) == {"a": "8"}


def test_a_late_answer_does_not_bring_a_deleted_object_back() -> None:
    cache = Cache[ConfigMap]()
    cache.put(cm("a", 5))
    cache.remove(cm("a", 9))
    cache.observe(cm("a", 7))
    assert len(cache) == 0
    cache.observe(cm("a", 11, uid="new"))
    assert versions(cache) == {"a": "11"}


def test_the_watch_may_be_past_a_deletion_of_something_it_never_showed() -> None:
    cache = Cache[ConfigMap]()
    cache.bookmark("20")
    cache.observe(cm("a", 15))
    assert len(cache) == 0


def test_a_deletion_does_not_take_the_successor() -> None:
    cache = Cache[ConfigMap]()
    cache.put(cm("a", 5))
    cache.observe(cm("a", 8, uid="new"))
    cache.remove(cm("a", 7))
    assert versions(cache) == {"a": "8"}


def test_a_list_removes_what_it_misses_but_not_what_was_written_since() -> None:
    cache = Cache[ConfigMap]()
    cache.replace([cm("a", 1), cm("b", 2), cm("c", 3)], "3")
    cache.observe(cm("new", 9))
    cache.observe(cm("b", 8))
    cache.replace([cm("a", 4), cm("b", 5)], "6")
    assert versions(cache) == {"a": "4", "b": "8", "new": "9"}


def test_a_server_restored_from_a_backup_is_believed() -> None:
    cache = Cache[ConfigMap]()
    cache.replace([cm("a", 30), cm("b", 31)], "31")
    cache.replace([cm("a", 3)], "5")
    assert versions(cache) == {"a": "3"}
    cache.put(cm("c", 6))
    assert versions(cache) == {"a": "3", "c": "6"}


def test_versions_that_are_no_numbers_are_never_compared() -> None:
    cache = Cache[ConfigMap]()
    cache.put(cm("a", "x1"))
    cache.observe(cm("a", "x2"))
    assert versions(cache) == {"a": "x1"}
    cache.put(cm("a", "x0"))
    assert versions(cache) == {"a": "x0"}
    cache.replace([], "x9")
    assert versions(cache) == {}


def test_the_same_version_again_takes_its_place_in_silence() -> None:
    cache, heard = Cache[ConfigMap](), list[object]()
    cache.observe(cm("a", 5))
    cache.on_change(lambda old, new: heard.append(new))
    shared = cm("a", 5)
    cache.put(shared)
    assert cache.get("ns/a") is shared
    assert len(heard) == 1


def test_indexes_follow_changes_and_keep_order() -> None:
    cache = Cache[ConfigMap]({"data": lambda obj: obj.data})
    for number, name in enumerate(("c", "a", "b"), 1):
        cache.put(cm(name, number, x="", **{name: ""}))
    assert [o.metadata.name for o in cache.by_index("data", "x")] == ["c", "a", "b"]
    cache.put(cm("a", 9, y=""))
    assert [o.metadata.name for o in cache.by_index("data", "x")] == ["c", "b"]
    assert [o.metadata.name for o in cache.by_index("data", "y")] == ["a"]
    cache.remove(cm("c", 10))
    assert [o.metadata.name for o in cache.by_index("data", "x")] == ["b"]
    assert cache.by_index("data", "never") == []
    with pytest.raises(KeyError):
        cache.by_index("nobody added this", "x")


def test_an_index_added_late_covers_what_is_there() -> None:
    cache = Cache[ConfigMap]()
    cache.put(cm("a", 1, x=""))
    index = lambda obj: obj.data  # noqa: E731
    cache.add_index("data", index)
    cache.add_index("data", index)
    assert len(cache.by_index("data", "x")) == 1
    with pytest.raises(ValueError, match="index 'data' exists with another function"):
        cache.add_index("data", lambda obj: obj.data)


def test_callbacks_hear_before_and_after() -> None:
    cache = Cache[ConfigMap]()
    cache.put(cm("early", 1))
    heard = list[tuple[str, str]]()

    def on_change(old: ConfigMap | None, new: ConfigMap | None) -> None:
        heard.append(tuple(obj.metadata.resource_version if obj else "-" for obj in (old, new)))  # type: ignore[arg-type]

    cache.on_change(on_change)
    cache.put(cm("a", 2))
    cache.put(cm("a", 3))
    cache.put(cm("a", 3))
    cache.remove(cm("a", 4))
    assert heard == [("-", "1"), ("-", "2"), ("2", "3"), ("3", "-")]
