"""The embedded store: append-only revisions, watches, compaction. Only the server uses it.

`Store` holds state and history in memory over a `Log`: `SqliteLog` (durable) or `MemoryLog` (simulation).
"""

from springtide.store.errors import (
    Compacted,
    DatabaseCorrupt,
    FolderInUse,
    FolderUnusable,
    FormatUnknown,
    FutureRevision,
    RevisionConflict,
    StorageError,
    StoreError,
    WatcherTooSlow,
    WriteFailed,
)
from springtide.store.memory_log import MemoryLog
from springtide.store.revisions import Event, Log, Record
from springtide.store.sqlite_log import SqliteLog
from springtide.store.store import History, Page, Store
from springtide.store.watch import Watcher

__all__ = [
    "Compacted",
    "DatabaseCorrupt",
    "Event",
    "FolderInUse",
    "FolderUnusable",
    "FormatUnknown",
    "FutureRevision",
    "History",
    "Log",
    "MemoryLog",
    "Page",
    "Record",
    "RevisionConflict",
    "SqliteLog",
    "StorageError",
    "Store",
    "StoreError",
    "Watcher",
    "WatcherTooSlow",
    "WriteFailed",
]
