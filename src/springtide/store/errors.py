"""What can go wrong in the store. The server turns each into a Status, the CLI into a message with a hint.

StoreError
├── RevisionConflict     the object changed since the caller looked
├── Compacted            the revision asked for is no longer kept (HTTP 410)
├── FutureRevision       the revision asked for was never written
├── WatcherTooSlow       a watcher did not take its events in time and was cut off
├── ObjectTooLarge       one object is bigger than any may be (HTTP 413)
├── SpaceExceeded        the database is at its size limit; only deleting goes on (HTTP 507)
└── StorageError         the disk: what was wrong, where, and what to do
    ├── WriteFailed      this write is not durable and was undone (disk full, I/O error)
    ├── FolderInUse      another process holds the data folder
    ├── FolderUnusable   the data folder cannot be read, written or locked
    ├── FormatUnknown    the data folder was written by another version
    ├── DatabaseCorrupt  the database file failed its check
    └── BackupUnusable   a backup cannot be made, is damaged, or has nowhere to go
"""

from __future__ import annotations


class StoreError(Exception):
    """Base of everything the store raises."""


class RevisionConflict(StoreError):
    """The latest revision of `key` is not the one the writer expected."""

    def __init__(self, resource: str, key: str, expected: int, latest: int) -> None:
        self.expected = expected
        self.latest = latest
        super().__init__(f"{resource} {key}: expected revision {expected}, the latest is {latest}")


class Compacted(StoreError):
    """History up to and including `compacted` is gone; only newer revisions can be read or resumed."""

    def __init__(self, revision: int, compacted: int) -> None:
        self.revision = revision
        self.compacted = compacted
        super().__init__(f"too old resource version: {revision} (oldest kept: {compacted})")


class FutureRevision(StoreError):
    """A revision beyond the newest one, for example from another data folder."""

    def __init__(self, revision: int, newest: int) -> None:
        self.revision = revision
        self.newest = newest
        super().__init__(f"Too large resource version: {revision}, current: {newest}")


class WatcherTooSlow(StoreError):
    """The watcher's queue overflowed; it must resume from the last revision it saw."""


class ObjectTooLarge(StoreError):
    """One object, as JSON, is larger than `limit` bytes."""

    def __init__(self, resource: str, key: str, size: int, limit: int) -> None:
        self.limit = limit
        super().__init__(f"{resource} {key} has {size} bytes as JSON; the limit is {limit}")


class SpaceExceeded(StoreError):
    """The database holds as much as it may; objects can be deleted, which makes room."""

    def __init__(self, in_use: int, limit: int) -> None:
        self.in_use = in_use
        self.limit = limit
        super().__init__(
            f"database space exceeded: {in_use} bytes are in use, the limit is {limit}; "
            "delete objects, or raise --database-limit"
        )


class StorageError(StoreError):
    """The disk or the data folder; `hint` says what a person can do."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.hint = hint
        super().__init__(message)


class WriteFailed(StorageError):
    """The write was not committed and has been undone; reads go on, later writes are tried again."""


class FolderInUse(StorageError):
    """Another process serves this data folder."""


class FolderUnusable(StorageError):
    """The data folder cannot be opened."""


class FormatUnknown(StorageError):
    """The data folder's format version is not one this program reads."""


class DatabaseCorrupt(StorageError):
    """The database file failed its integrity check."""


class BackupUnusable(StorageError):
    """A backup that cannot be written, read or restored."""
