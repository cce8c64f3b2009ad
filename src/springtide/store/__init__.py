"""The embedded store: append-only revisions, watches, compaction. Only the server uses it.

`Store` holds state and history in memory over a `Log`: `SqliteLog` (durable) or `MemoryLog` (simulation).
"""

from springtide.store.database import Usage
from springtide.store.durations import Durations
from springtide.store.errors import (
    BackupUnusable,
    Compacted,
    DatabaseCorrupt,
    FolderInUse,
    FolderUnusable,
    FormatUnknown,
    FutureRevision,
    ObjectTooLarge,
    RevisionConflict,
    SpaceExceeded,
    StorageError,
    StoreError,
    WatcherTooSlow,
    WriteFailed,
)
from springtide.store.memory_log import MemoryLog
from springtide.store.revisions import Event, Log, Record
from springtide.store.sqlite_log import SqliteLog
from springtide.store.store import History, Limits, Page, Store
from springtide.store.watch import Watcher

__all__ = [
    "BackupUnusable",
    "Compacted",
    "DatabaseCorrupt",
    "Durations",
    "Event",
    "FolderInUse",
    "FolderUnusable",
    "FormatUnknown",
    "FutureRevision",
    "History",
    "Limits",
    "Log",
    "MemoryLog",
    "ObjectTooLarge",
    "Page",
    "Record",
    "RevisionConflict",
    "SpaceExceeded",
    "SqliteLog",
    "StorageError",
    "Store",
    "StoreError",
    "Usage",
    "Watcher",
    "WatcherTooSlow",
    "WriteFailed",
]
